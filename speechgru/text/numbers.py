"""Whole numbers as words, by num2words, which is an extra."""

import math
import re
from functools import lru_cache

from speechgru.errors import SpeechgruError

# A whole number, and what may surround a word of a sentence. Others stay as they are, since they
# can be read in several ways: 3.5, 1,000, 10:30, 2nd, 007, and groups of three digits after spaces,
# as telephone numbers have them, unless the spaces are of a kind that is typed between thousands.
NUMBER = re.compile(
    r"(?<!\S)([\"'„“”‚‘’«»(\[¿¡]*)"
    r"(?P<number>[1-9][0-9]{0,2}(?:\s[0-9]{3})+|0|[1-9][0-9]*)"
    r"([\"'“”‘’«»)\].,;:!?…]*)(?!\S)"
)
GROUPING = "\u00a0\u2009\u202f"  # no-break space, thin space, narrow no-break space
LONGEST = 12  # digits

# Numbers from which on num2words (0.5.14) may not return, by language
ENDLESS = {"am": 1_000_000}


def spell_numbers(text: str, language: str) -> str:
    """`text` with its whole numbers in words.

    Raises SpeechgruError: num2words is missing, or does not know the language or a number.
    """
    return NUMBER.sub(lambda match: _with_words(match, language), text)


def _with_words(match: re.Match[str], language: str) -> str:
    digits = re.sub(f"[{GROUPING}]", "", match["number"])
    if not digits.isdecimal() or len(digits) > LONGEST:
        return match[0]
    return f"{match[1]}{_spelled(int(digits), language)}{match[3]}"


@lru_cache(maxsize=10_000)
def _spelled(number: int, language: str) -> str:
    try:
        from num2words import num2words
    except ImportError:
        raise SpeechgruError(
            f"text.spell_numbers {language}: num2words is not installed; "
            "`pip install speechgru[numbers]`"
        ) from None
    try:
        if number >= ENDLESS.get(language[:2], math.inf):
            raise ValueError
        spelled: str = num2words(number, lang=language)
    except NotImplementedError:
        raise SpeechgruError(
            f"text.spell_numbers {language!r:.40}: not a language of num2words; expected a code "
            "such as en, de or pt_BR"
        ) from None
    except (ArithmeticError, LookupError, TypeError, ValueError):  # the limits of some languages
        raise SpeechgruError(
            f"text.spell_numbers {language}: num2words cannot spell {number}; write it as words"
        ) from None
    return spelled
