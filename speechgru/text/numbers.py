"""Whole numbers as words, by num2words, which is an extra."""

import math
import re

from speechgru.errors import SpeechgruError

# A number of up to twelve digits, and what may surround a word of a sentence. Others stay as they
# are, since they can be read in several ways: 3.5, 1,000, 10:30, 2nd, 007, telephone numbers.
NUMBER = re.compile(r"([\"'„“”‚‘’«»(\[¿¡]*)(0|[1-9]\d{0,11})([\"'“”‘’«»)\].,;:!?…]*)", re.ASCII)

# Numbers from which on num2words (0.5.14) may not return, by language
ENDLESS = {"am": 1_000_000}


def spell_number(word: str, language: str) -> str:
    """`word` with its number in words; unchanged unless it is a whole number.

    Raises SpeechgruError: num2words is missing, or does not know the language or the number.
    """
    match = NUMBER.fullmatch(word)
    if match is None:
        return word
    try:
        from num2words import num2words
    except ImportError:
        raise SpeechgruError(
            f"text.spell_numbers {language}: num2words is not installed; "
            "`pip install speechgru[numbers]`"
        ) from None
    try:
        if int(match[2]) >= ENDLESS.get(language[:2], math.inf):
            raise ValueError
        spelled: str = num2words(int(match[2]), lang=language)
    except NotImplementedError:
        raise SpeechgruError(
            f"text.spell_numbers {language!r:.40}: not a language of num2words; expected a code "
            "such as en, de or pt_BR"
        ) from None
    except (ArithmeticError, LookupError, TypeError, ValueError):  # the limits of some languages
        raise SpeechgruError(
            f"text.spell_numbers {language}: num2words cannot spell {match[2]}; write it as words"
        ) from None
    return f"{match[1]}{spelled}{match[3]}"
