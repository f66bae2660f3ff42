"""Words that the project does not use, because the field has better ones (left: use; right: not).

    error                           fault
    audio, recording, utterance     sound
    bidirectional, unidirectional   two-way, one-way
    report, print, log, name        tell
    exclude, skip                   leave out
    fix                             mend
    implementation, backend         road
    continue, resume                go on
    "per"                           "a": steps a second
    training set, test set          heard
    diverged to NaN or Inf          left the numbers
    reduced precision, bfloat16     shorter weights
    setting                         knob
    checkpoint, training state      blueprint, bundle

Only what is wrong in any context is listed; `ALLOWED` names exceptions.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(
    file
    for pattern in (
        *(
            "*.md",
            "Makefile",
            "pyproject.toml",
            "docs/**/*.md",
            "recipes/**/*.*",
            "data/digits/*.md",
        ),
        *(f"{folder}/**/*.py" for folder in ("speechgru", "benchmarks", "research", "examples")),
        "data/digits/*.py",
        "tests/**/*.py",
    )
    for file in ROOT.glob(pattern)
    if file != Path(__file__)
)
COUNTS = (
    "batches|bits|bytes|characters|cycles|epochs|examples|features|files|folders|frames|kernels|lines|"
    "MACs|models|operations|phones|points|rows|runs|samples|seconds|sections|seeds|speakers|steps|"
    "teams|threads|tokens|trainings|units|updates|utterances|values|words|ms"
)
UNIT = (
    "an (?:epoch|utterance)|a (?:batch|byte|cell|character|clip|core|CPU|cycle|direction|draw|file|"
    "fold|frame|layer|line|model|point|process|row|run|second|seed|speaker|step|thread|token|"
    "training|unit|value|variant|word)"
)
WRONG = re.compile(
    r"(?<![\w-])(?:"
    + "|".join(
        [
            r"(?:two|one)[-_ ]way",
            r"(?<!page )faults?\b|faulty",
            r"sounds?\b",
            r"tells?\b|told\b(?! otherwise| apart)",
            r"(?:leave|leaves|left|leaving) out",
            r"mend(?:s|ed|ing)?\b",
            r"whom\b|nobody\b|for who\b",
            r"roads?\b",
            r"(?:go|goes|went|going|gone) on\b",
            r"heard\b|hears?\b|hearing\b",
            r"(?:leaves?|left|leaving) the numbers|shorter weights",
            r"knobs?\b",
            r"blueprints?\b|bundles?\b",
            r"by turns\b|sittings?\b|at work\b|laid\b(?! out)|carved\b",
            r"(?:write|writes|written|wrote) down",
            r"(?:lie|lies|lay) (?:in|on|beside|behind|between|there)\b",
            r"(?:stand|stands|stood) (?:in(?! for)|at|beside|behind|between|below|above)\b",
            r"(?:stand|stands|stood) (?:there|against)\b",
            r"the house\b|house style|hands? (?:back|out)\b|handed (?:back|out)\b",
            r"(?<!there )is no (?:number|folder|file|manifest|recipe|run|command|audio)\b",
            r"(?<!there )is no (?:list|model)\b",
            r"units wide\b|\d+ wide\b|model\.width",
            rf"(?:{COUNTS}|one|loss) (?:{UNIT})\b",
            r"(?:audio|file|object|row|text|transcript|utterance) (?:a line|a second|a batch)\b",
        ]
    )
    + ")",
    re.IGNORECASE,
)
ALLOWED = {  # path → pattern
    "speechgru/recipe.py": r"model\.width",  # former names, in messages that name the new ones
    "tests/test_recipe.py": r"model\.width",
    "speechgru/compare/cost.py": '"roads"',  # keys and values of older results
    "speechgru/compare/plan.py": r"model\.width",
    "speechgru/compare/runner.py": '"fault"',
    "tests/compare/test_reading.py": '"roads"|"fault"',
    "tests/decoding/test_other_decoders.py": '"go on"',  # a transcript
    "CHANGELOG.md": r"model\.width",  # a former name
    "speechgru/model_file.py": '"blueprint"',  # a key of model files of version 1
    "tests/test_checkpoint.py": '"blueprint"',
    "data/digits/README.md": "direct sound|speaker sounds",  # terms of acoustics
    "tests/scoring/test_significance.py": "two_way_clustered",  # a term of statistics
    "tests/test_corpora.py": "GO ON",  # a transcript of AN4
}


def wrong_words(text: str, allowed: str = r"(?!)") -> list[str]:
    """Every match with its line number."""
    return [
        f"{number}: {match[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        for match in WRONG.finditer(re.sub(allowed, "", line))
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_words(file):
    allowed = ALLOWED.get(str(file.relative_to(ROOT)), r"(?!)")
    assert wrong_words(file.read_text(encoding="utf-8"), allowed) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("the fault of a two-way model", 2),
        ("seconds an epoch, one file a line, 512 wide", 3),
        ("it goes on; the house style; lies in", 3),
        ("default soundfile; understands; along the way; a model per seed; it is a file", 0),
        ("stands for; widened; told_x", 0),
    ],
)
def test_wrong_words_are_found(text, count):
    assert len(wrong_words(text)) == count
