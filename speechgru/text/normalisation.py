"""One normalisation rule for references and hypotheses.

Design choices:
- The same rule applies to training targets and to both sides when scoring; `describe` puts it in
  words.
- A letter is what Unicode says is one, with its combining marks. Only case can depend on the
  language, where the recipe states it.
"""

import unicodedata
from functools import lru_cache

from speechgru.recipe import TextRecipe

# ’ ‘ ‛ ʼ ＇ ´ ` ′: variants of the apostrophe, and what is typed for it (o‘zbek, l´eau)
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u201b\u02bc\uff07\u00b4`\u2032", "'"))
# Kept inside a word only: apostrophe; the (non-)joiners of Persian and Indic scripts; the middle
# dot of Catalan (col·legi); the geresh and gershayim of Hebrew (צה״ל)
JOINERS = "'\u200c\u200d\u00b7\u05f3\u05f4"
INVISIBLE_JOINERS = "\u200c\u200d"
BREAK = "\u200b"  # between words of Khmer, Thai, … that are written without space
CHILLUS = {  # letters of Malayalam, spelled with a virama and a joiner before Unicode 5.1
    f"{consonant}\u0d4d\u200d": letter for consonant, letter in zip("ണനരലളക", "ൺൻർൽൾൿ", strict=True)
}
TURKISH = {
    "lower-tr": str.maketrans({"I": "ı", "İ": "i"}),
    "upper-tr": str.maketrans({"i": "İ", "ı": "I"}),
}


def normalise(text: str, recipe: TextRecipe) -> str:
    """`text` by the recipe's rule; idempotent.

    Unicode NFC; a zero-width space becomes a space, other invisible format and control characters
    are removed, except for joiners inside words; case is converted; typographic apostrophes become
    '; with `punctuation: remove`, everything but letters, digits, combining marks and, inside
    words, the characters of JOINERS becomes a space; runs of white space become one space. With
    `spell_numbers`, whole numbers become words first.
    """
    text = text.replace(BREAK, " ")
    if recipe.spell_numbers is not None:
        from speechgru.text.numbers import spell_numbers

        text = spell_numbers(text, recipe.spell_numbers)
    words = (_normalised(word, recipe.case, recipe.punctuation) for word in text.split())
    return " ".join(filter(None, words))


@lru_cache(maxsize=100_000)  # words recur: a manifest of millions of lines is read in seconds
def _normalised(text: str, case: str, punctuation: str) -> str:
    """Text without white space, by the rule, which looks no further than the next white space."""
    for spelling, letter in CHILLUS.items():
        text = text.replace(spelling, letter)
    text = "".join(c for c in text if c in JOINERS or not _invisible(c))
    text = unicodedata.normalize("NFC", text)
    if case != "keep":
        text = text.translate(TURKISH.get(case, {}))
        cased = text.lower() if case.startswith("lower") else text.upper()
        text = unicodedata.normalize("NFC", cased)
    text = text.translate(APOSTROPHES)
    if punctuation == "remove":
        text = _without_punctuation(text)
    return " ".join(text.split())


def describe(recipe: TextRecipe) -> str:
    """The rule in one line, for the output of `evaluate`."""
    case = {
        "lower": "lower case", "upper": "upper case", "keep": "case kept",
        "lower-tr": "lower case (Turkish)", "upper-tr": "upper case (Turkish)",
    }[recipe.case]  # fmt: skip
    punctuation = (
        "punctuation removed except apostrophes inside words"
        if recipe.punctuation == "remove"
        else "punctuation kept"
    )
    spelled = f"numbers spelled ({recipe.spell_numbers}), " if recipe.spell_numbers else ""
    return f"{spelled}Unicode NFC, {case}, {punctuation}, white space collapsed"


def _invisible(char: str) -> bool:
    """Format characters (soft hyphen, byte order mark, …), variation selectors, and control
    characters except white space."""
    category = unicodedata.category(char)
    control = category == "Cc" and not char.isspace()
    return control or category == "Cf" or "\ufe00" <= char <= "\ufe0f"


def _is_mark(char: str) -> bool:
    return char != "" and unicodedata.category(char).startswith("M")


def _without_punctuation(text: str) -> str:
    kept: list[str] = []
    for i, char in enumerate(text):
        before, after = kept[-1] if kept else " ", text[i + 1 : i + 2]
        joiner = char in INVISIBLE_JOINERS
        continues = after.isalnum() or (joiner and _is_mark(after))  # such as a virama
        keep = (
            char.isalnum()
            or (_is_mark(char) and before not in "' ")
            or (char in JOINERS and before not in JOINERS + " " and continues)
        )
        if not keep and joiner:
            continue
        kept.append(char if keep else " ")
    return "".join(kept)
