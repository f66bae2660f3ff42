"""One normalisation rule for references and hypotheses.

Design choices:
- The same rule applies to training targets and to both sides when scoring; `describe` puts it in
  words.
- No rule is specific to a language: a letter is what Unicode says is one, with its combining marks.
"""

import unicodedata

from speechgru.recipe import TextRecipe

# ’ ‛ ʼ ＇: typographic variants of the apostrophe
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u201b\u02bc\uff07", "'"))
# Kept inside a word only: apostrophe, and the (non-)joiners of Persian and Indic scripts
JOINERS = "'\u200c\u200d"


def normalise(text: str, recipe: TextRecipe) -> str:
    """`text` by the recipe's rule; idempotent.

    Unicode NFC; invisible format and control characters are removed, except for joiners inside
    words; case is converted; typographic apostrophes become '; with `punctuation: remove`,
    everything but letters, digits, combining marks and apostrophes inside words becomes a space;
    runs of white space become one space.
    """
    text = "".join(c for c in text if c in JOINERS or not _invisible(c))
    text = unicodedata.normalize("NFC", text)
    if recipe.case != "keep":
        cased = text.lower() if recipe.case == "lower" else text.upper()
        text = unicodedata.normalize("NFC", cased)
    text = text.translate(APOSTROPHES)
    if recipe.punctuation == "remove":
        text = _without_punctuation(text)
    return " ".join(text.split())


def describe(recipe: TextRecipe) -> str:
    """The rule in one line, for the output of `evaluate`."""
    case = {"lower": "lower case", "upper": "upper case", "keep": "case kept"}[recipe.case]
    punctuation = (
        "punctuation removed except apostrophes inside words"
        if recipe.punctuation == "remove"
        else "punctuation kept"
    )
    return f"Unicode NFC, {case}, {punctuation}, white space collapsed"


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
        joiner = char in JOINERS[1:]
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
