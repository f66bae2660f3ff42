"""Error counts of `speechgru score` against those of NIST's sclite (Debian package sctk).

    python -m benchmarks.sclite --pairs 1000
    python -m benchmarks.sclite --examples SCTK/src/sclite/testdata

compares generated pairs of texts, with and without alternatives and optional words on either side,
or SCTK's own examples. Exit status 1 if any count differs.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from speechgru.errors import SpeechgruError
from speechgru.scoring import read_matched, score_files, score_matched

SCLITE = Path("/usr/lib/sctk/bin/sclite")
MARKUP = ("none", "reference", "both")  # sides with alternatives and optional words
VOCABULARY = "abcdef"

Counts = tuple[int, int, int, int]  # correct, substitutions, deletions, insertions

# reference, format, hypothesis, options of sclite; letter case is ignored
EXAMPLES = (
    ("csrnab.ref", "trn", "csrnab.hyp", "-i wsj"),
    ("csrnab1.ref", "trn", "csrnab1.hyp", "-i wsj"),
    ("demo.ref.txt", "trn", "demo.hyp.txt", "-i spu_id"),
    ("tests.ref", "trn", "tests.hyp", "-i spu_id"),
    ("tests.ref.utf8-3bytes", "trn", "tests.hyp.utf8-3bytes", "-i spu_id -e utf-8"),
    ("tests.ref.utf8-4bytes", "trn", "tests.hyp.utf8-4bytes", "-i spu_id -e utf-8"),
    ("test.turkish.ref", "trn", "test.turkish.hyp", "-i spu_id -e utf-8 babel_turkish"),
    ("test.vietnamese.ref.trn", "trn", "test.vietnamese.hyp.trn",
     "-i spu_id -e utf-8 babel_vietnamese"),
    ("lvc_ref.stm", "stm", "lvc_hyp.ctm", ""),
    ("lvc_refe.stm", "stm", "lvc_hyp.ctm", ""),
    ("lvc_refm.stm", "stm", "lvc_hypm.ctm", ""),
    ("lvc_refr.stm", "stm", "lvc_hypr.ctm", ""),
    ("lvc_ref.stm", "stm", "lvc_hypr.ctm", ""),
    ("lvc_refr.stm", "stm", "lvc_hyp.ctm", ""),
    ("lvc_ref.stm", "stm", "lvc_hypc.ctm", ""),
    ("test.cantonese.stm", "stm", "test.cantonese.ctm", "-e utf-8"),
    *(
        ("stm2ctm_missing.ref.stm", "stm", f"stm2ctm_missing.hyp{missing}.ctm", "")
        for missing in ("", "-missall", "-missfile1", "-missfile1chanA", "-missfile1chanb",
                        "-missfile2", "-missfile2chanA", "-missfile2chanB")
    ),
    ("tima_ref.ctm", "ctm", "tima_hyp.ctm", ""),
)  # fmt: skip
# What SCTK itself expects (testdata/base/test13_D.raw); Debian's build gives 256, 103 and 47.
EXPECTED = {"tima_ref.ctm": (566, 255, 104, 48)}


def make_pairs(number: int, markup: str, seed: int = 0) -> list[tuple[str, str]]:
    """(reference, hypothesis) pairs of up to 12 words of a vocabulary of 6: many equally good
    alignments, from which sclite's must be chosen."""
    rng = random.Random(f"{markup} {seed}")
    return [(_text(rng, markup != "none"), _text(rng, markup == "both")) for _ in range(number)]


def _text(rng: random.Random, markup: bool, depth: int = 0) -> str:
    words = []
    for _ in range(rng.randint(min(depth, 1), 3 if depth else 12)):
        draw = rng.random()
        if markup and draw < 0.15 and depth < 3:
            texts = [
                "@" if rng.random() < 0.2 else _text(rng, markup, depth + 1)
                for _ in range(rng.randint(2, 3))
            ]
            words.append("{ " + " / ".join(texts) + " }")
        elif markup and draw < 0.25:
            words.append(f"({rng.choice(VOCABULARY)})")
        else:
            words.append(rng.choice(VOCABULARY))
    return " ".join(words)


def write_pairs(folder: Path, pairs: Sequence[tuple[str, str]]) -> tuple[Path, Path]:
    files = (folder / "ref.trn", folder / "hyp.trn")
    for side, file in enumerate(files):
        lines = [f"{pair[side]} (s-{number})\n" for number, pair in enumerate(pairs)]
        file.write_text("".join(lines))
    return files


def sclite_counts(*arguments: str | Path) -> list[Counts]:
    """Counts per utterance, in sclite's order. -D makes words in parentheses optional."""
    command = (SCLITE, *arguments, "-D", "-o", "pra", "stdout")
    done = subprocess.run(command, capture_output=True, check=True, timeout=300)
    found = re.findall(rb"Scores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    return [tuple(map(int, each)) for each in found]  # type: ignore[misc]


def our_counts(reference: Path, hypothesis: Path) -> list[Counts]:
    score = score_matched(read_matched(reference, hypothesis))
    counts = [utterance.words for utterance in score.utterances]
    return [(c.hits, c.substitutions, c.deletions, c.insertions) for c in counts]


def compare_pairs(number: int) -> int:
    """Prints the number of pairs that differ by kind; returns their sum."""
    wrong = 0
    for markup in MARKUP:
        with tempfile.TemporaryDirectory() as folder:
            reference, hypothesis = write_pairs(Path(folder), make_pairs(number, markup))
            theirs = sclite_counts("-r", reference, "-h", hypothesis, "-i", "spu_id", "-s")
            ours = our_counts(reference, hypothesis)
        differ = sum(a != b for a, b in zip(ours, theirs, strict=True))
        print(f"{number} pairs, markup: {markup:9}  {differ} differ")
        wrong += differ
    return wrong


def compare_examples(folder: Path) -> int:
    """Prints the summed counts of both for each example; returns the number that differ."""
    wrong = 0
    for reference, format, hypothesis, options in EXAMPLES:
        kinds = ([], []) if format == "trn" else ([format], ["ctm"])
        files = ("-r", folder / reference, *kinds[0], "-h", folder / hypothesis, *kinds[1])
        theirs = tuple(map(sum, zip(*sclite_counts(*files, *options.split()), strict=True)))
        theirs = EXPECTED.get(reference, theirs)
        try:
            words = score_files(folder / reference, folder / hypothesis, format, True).words
            ours = (words.hits, words.substitutions, words.deletions, words.insertions)
        except SpeechgruError as error:
            ours = str(error)
        print(f"{reference} {hypothesis}: {ours}" + ("" if ours == theirs else f", not {theirs}"))
        wrong += ours != theirs
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--examples", type=Path, help="SCTK's folder src/sclite/testdata")
    options = parser.parse_args()
    differing = (
        compare_examples(options.examples) if options.examples else compare_pairs(options.pairs)
    )
    sys.exit(differing > 0)
