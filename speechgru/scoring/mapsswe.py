"""MAPSSWE, NIST's significance test, and the comparison of two systems' transcript files.

MAPSSWE takes two trained models as they are and asks about other speech of the same kind; the
bootstrap (`significance`) also treats the models as samples of their systems.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechgru.errors import ScoringError, printable
from speechgru.files import Json
from speechgru.scoring.align import CORRECT, INSERTION, align
from speechgru.scoring.graph import WordGraph, plain_graph
from speechgru.scoring.interval import LEVEL, t_tails
from speechgru.scoring.lines import tidy
from speechgru.scoring.significance import Comparison, crossed_bootstrap
from speechgru.scoring.transcripts import Format, read_matched

FEW = 50  # segments; with fewer, z is not close enough to normal
NOT_READ = -1  # in the place of errors: an alternative of the reference that was not chosen

Errors = list[list[int]]  # (utterances,) of (2 × words + 1,): see `segments`


@dataclass(frozen=True, slots=True)
class MatchedPairs:
    """The matched pairs sentence segment word error test (`mapsswe`) of A against B."""

    segments: int
    mean: float  # of the errors of A minus the errors of B, per segment
    deviation: float  # standard deviation of the same
    z: float
    p: float  # two-sided

    @property
    def verdict(self) -> str:
        """Of A: "better", "worse" or "no difference shown"."""
        return "no difference shown" if self.p >= LEVEL else "better" if self.z < 0 else "worse"


def mapsswe(
    references: Sequence[str], hypotheses_a: Sequence[str], hypotheses_b: Sequence[str]
) -> MatchedPairs:
    """NIST's matched pairs sentence segment word error test, for one trained model per system.

    Errors cluster, so words are not independent, and utterances are few. Segments are between the
    two: a stretch with errors of either system, bounded by two words that both got right, or by the
    end of the utterance. z = mean / (deviation / √segments) of the difference in errors per
    segment, over the segments with errors (Gillick & Cox 1989, ICASSP, "Some statistical issues in
    the comparison of speech recognition algorithms"; two words and the rest as in NIST SCTK's
    sc_stats). The normal approximation needs some 50 segments.

    Where every segment differs by the same amount the deviation is 0, and sc_stats prints z = 0
    even if one system won them all. Here z = sum / √(sum of squares), ±√segments: what z tends to
    as segments without errors are added.

    Args: three lists of texts, (utterances,) each.
    """
    texts = [
        [plain_graph(tidy(text).split()) for text in side]
        for side in (references, hypotheses_a, hypotheses_b)
    ]
    return _test(_errors(texts[0], texts[1]), _errors(texts[0], texts[2]))


def segments(errors_a: Sequence[int], errors_b: Sequence[int]) -> list[tuple[int, int]]:
    """Errors of A and of B in every segment of one utterance.

    Args:
        errors_a, errors_b: errors along n reference words, (2n + 1,): even positions are the gaps
            before, between and after words (insertions), odd positions the words (1 when
            substituted or deleted; NOT_READ).
    """
    found: list[tuple[int, int]] = []
    open_a = open_b = right = 0  # errors of the open segment; words both got right since the last
    for position, (a, b) in enumerate(zip(errors_a, errors_b, strict=True)):
        if a > 0 or b > 0:
            open_a, open_b, right = open_a + max(a, 0), open_b + max(b, 0), 0
        elif position % 2 and a == b == 0:
            right += 1
            if right == 2 and (open_a or open_b):
                found.append((open_a, open_b))
                open_a = open_b = 0
    return [*found, (open_a, open_b)] if open_a or open_b else found


@dataclass(frozen=True, slots=True)
class PairReport:
    """Two systems' transcripts of one reference, compared in both ways."""

    names: tuple[tuple[str, ...], tuple[str, ...]]  # files of A and of B, one per trained model
    utterances: int
    words: int
    bootstrap: Comparison
    matched_pairs: tuple[MatchedPairs, ...]  # of A's and B's first files, second files, …

    @property
    def unmatched(self) -> list[str]:
        """Files without a partner: those of one system beyond the number of the other's."""
        return [file for names in self.names for file in names[len(self.matched_pairs) :]]

    def to_json(self) -> Json:
        """Every figure as plain JSON values."""
        return {
            "a": list(self.names[0]),
            "b": list(self.names[1]),
            "utterances": self.utterances,
            "words": self.words,
            "bootstrap": self.bootstrap.to_json(),
            "mapsswe": [asdict(test) | {"verdict": test.verdict} for test in self.matched_pairs],
        }


def compare_files(
    reference: str | Path,
    hypothesis_a: str | Path,
    hypothesis_b: str | Path,
    margin: float | None = None,
    format: Format | None = None,
    ignore_case: bool = False,
) -> PairReport:
    """Compare any two systems' files, as `transcripts.read_matched` reads and matches them:
    bootstrap over speakers or utterances, and MAPSSWE.

    Args:
        hypothesis_a, hypothesis_b: a file, or the files of a system's seeds separated by commas.
        margin: the difference in WER too small to matter; a tenth of the mean WER if None.

    Raises:
        ScoringError: a file cannot be read, the files contain different ids, or too little to
            compare.
    """
    if margin is not None and not 0 < margin < 1:
        raise ScoringError(
            f"a margin of {100 * margin:g} percentage points: expected above 0 and below 100"
        )
    files = [split_names(hypothesis_a), split_names(hypothesis_b)]
    texts = read_matched(reference, *files[0], *files[1], format=format, ignore_case=ignore_case)
    errors = [_errors(texts.references, each) for each in texts.hypotheses]
    errors_a, errors_b = errors[: len(files[0])], errors[len(files[0]) :]
    words = np.array([_words(utterance) for utterance in errors[0]])
    return PairReport(
        names=(tuple(map(printable, files[0])), tuple(map(printable, files[1]))),
        utterances=len(texts.ids),
        words=int(words.sum()),
        bootstrap=crossed_bootstrap(
            _sums(errors_a), _sums(errors_b), words, texts.speakers, margin=margin
        ),
        matched_pairs=tuple(_test(a, b) for a, b in zip(errors_a, errors_b, strict=False)),
    )


def split_names(names: str | Path) -> list[Path]:
    """An existing file, whatever its name, or several separated by commas. Raises ScoringError for
    an empty name."""
    if isinstance(names, Path) or os.path.exists(names):
        return [Path(names)]
    listed = names.split(",")
    if "" in listed:
        raise ScoringError(f"{names!r}: expected files separated by commas, without empty names")
    return list(map(Path, listed))


def _test(errors_a: Errors, errors_b: Errors) -> MatchedPairs:
    pairs = [pair for a, b in zip(errors_a, errors_b, strict=True) for pair in segments(a, b)]
    differences = np.array([a - b for a, b in pairs], dtype=np.float64)
    n, total = len(differences), float(differences.sum())
    deviation = float(differences.std(ddof=1)) if n > 1 else 0.0
    if deviation > 0:
        z = total / n / (deviation / math.sqrt(n))
    else:
        z = total / math.sqrt(float((differences**2).sum())) if total else 0.0
    return MatchedPairs(n, total / n if n else 0.0, deviation, z, t_tails(z, math.inf))


def _sums(models: Sequence[Errors]) -> NDArray[np.int64]:
    """Errors of every model and utterance, (models, utterances)."""
    sums = [[sum(max(error, 0) for error in utterance) for utterance in each] for each in models]
    return np.array(sums, dtype=np.int64)


def _words(errors: Sequence[int]) -> int:
    """The number of words of the reading that was chosen."""
    return sum(error != NOT_READ for error in errors[1::2])


def _errors(references: Sequence[WordGraph], hypotheses: Sequence[WordGraph]) -> Errors:
    """Errors along each reference: gap, word, gap, …, gap."""
    found = []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        errors = [0, *[NOT_READ, 0] * len(reference.words)]
        for word in align(reference, hypothesis):
            if word.mark == INSERTION:
                errors[2 * word.number] += 1
            elif word.reference:
                errors[2 * word.number - 1] = int(word.mark != CORRECT)
        found.append(errors)
    return found
