"""WER and CER with their counts, interval and alignments.

Design choices
- Words are aligned by jiwer (Levenshtein, all three errors cost 1). NIST's sclite weighs a
  substitution 4 and the others 3, so its split into S, D and I may differ a little, the sum hardly.
- A corpus rate is summed errors over summed reference words, never a mean of ratios.
- CER counts Unicode characters after NFC, the space between words among them, as jiwer does.
- An empty reference counts its insertions and adds no words. A rate over no reference at all is
  the errors themselves (as if over one word), as in jiwer: 0 when both sides are empty.
- Both sides are tidied (`trn.tidy`: NFC and single spaces), and nothing else: normalising letter
  case and punctuation is the caller's task.
- The confidence interval, 10,000 bootstrap draws, is computed when it is first asked for.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from unicodedata import category

import jiwer
import numpy as np
from rich.cells import cell_len

from speechgru.errors import ScoringError
from speechgru.files import Json
from speechgru.scoring.interval import rate_interval
from speechgru.scoring.trn import read_matched, tidy

LINE_WIDTH = 80  # columns of an aligned pair before it continues below


@dataclass(frozen=True, slots=True)
class Counts:
    """Errors of an alignment, and the length of its reference."""

    reference: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def hits(self) -> int:
        return self.reference - self.substitutions - self.deletions

    @property
    def rate(self) -> float:
        """Errors per reference word (or character), which can exceed 1; of an empty reference, the
        number of errors."""
        return self.errors / max(self.reference, 1)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.reference + other.reference,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


@dataclass(frozen=True, slots=True)
class UtteranceScore:
    """One utterance, its two texts (tidied) and their counts."""

    id: str
    reference: str
    hypothesis: str
    words: Counts
    characters: Counts
    speaker: str | None = None


@dataclass(frozen=True)
class Score:
    """A corpus: the utterances in the order given, and the summed counts."""

    utterances: tuple[UtteranceScore, ...]
    words: Counts
    characters: Counts

    @cached_property
    def _interval(self) -> tuple[tuple[float, float], str]:
        counts = [utterance.words for utterance in self.utterances]
        return rate_interval(
            np.array([count.errors for count in counts]),
            np.array([count.reference for count in counts]),
            [utterance.speaker for utterance in self.utterances],
        )

    @property
    def wer_ci95(self) -> tuple[float, float]:
        """95 % interval of the WER over other speakers or utterances (`ci_unit`) of the same
        kind."""
        return self._interval[0]

    @property
    def ci_unit(self) -> str:
        """Either "speaker" or "utterance": what is resampled for `wer_ci95`."""
        return self._interval[1]

    @property
    def wer(self) -> float:
        return self.words.rate

    @property
    def cer(self) -> float:
        return self.characters.rate

    def to_json(self) -> Json:
        """The figures as plain JSON values; rates are fractions, not per cent."""
        words, characters = self.words, self.characters
        return {
            "wer": self.wer,
            "wer_ci95": list(self.wer_ci95),
            "ci_unit": self.ci_unit,
            "words": words.reference,
            "substitutions": words.substitutions,
            "deletions": words.deletions,
            "insertions": words.insertions,
            "cer": self.cer,
            "characters": characters.reference,
            "character_substitutions": characters.substitutions,
            "character_deletions": characters.deletions,
            "character_insertions": characters.insertions,
            "utterances": len(self.utterances),
            "speakers": len({u.speaker for u in self.utterances if u.speaker is not None}),
        }


def score(
    references: Sequence[str],
    hypotheses: Sequence[str],
    ids: Sequence[str] | None = None,
    speakers: Sequence[str | None] | None = None,
) -> Score:
    """Score hypotheses against references, pair by pair.

    Args:
        references, hypotheses: texts, (utterances,) each; either may be empty strings.
        ids: unique names, (utterances,); "1", "2", … if not given.
        speakers: (utterances,); None where unknown.

    Raises:
        ScoringError: no utterances, lists of different length, or an id that occurs twice.
    """
    total = len(references)
    ids = [str(number) for number in range(1, total + 1)] if ids is None else ids
    speakers = [None] * total if speakers is None else speakers
    _check(total, hypotheses=len(hypotheses), ids=len(ids), speakers=len(speakers))
    if len(set(ids)) < total:
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise ScoringError(f"the utterance id {twice!r} occurs twice; ids must be unique")

    refs, hyps = [tidy(text) for text in references], [tidy(text) for text in hypotheses]
    words = _counts(jiwer.process_words(refs, hyps))
    characters = _counts(jiwer.process_characters(refs, hyps))
    utterances = tuple(
        UtteranceScore(*fields)
        for fields in zip(ids, refs, hyps, words, characters, speakers, strict=True)
    )
    return Score(utterances, sum(words, Counts()), sum(characters, Counts()))


def score_files(reference: str | Path, hypothesis: str | Path) -> Score:
    """Score two trn or plain text files, matched by id (by line, in plain text).

    Raises:
        ScoringError: a file cannot be read, or the two contain different ids.
    """
    ids, (references, hypotheses) = read_matched(reference, hypothesis)
    return score(references, hypotheses, ids)


def worst(result: Score, n: int) -> tuple[UtteranceScore, ...]:
    """The n utterances with most word errors (then highest rate), those without any excluded."""
    wrong = [u for u in result.utterances if u.words.errors]
    return tuple(sorted(wrong, key=lambda u: (-u.words.errors, -u.words.rate, u.id))[:n])


def alignment_lines(utterance: UtteranceScore) -> str:
    """The reference above the hypothesis, aligned by words, with S, D and I below.

    Aligned in a monospaced font, with wide (CJK) and combining characters too. Beyond `LINE_WIDTH`
    columns, it continues in further rows of three. No newline at the end.

    >>> print(alignment_lines(score(["one two three"], ["one too three four"]).utterances[0]))
    1: 2 errors in 3 words (1 S, 0 D, 1 I)
    REF: one two three ****
    HYP: one too three four
             S         I
    """
    counts, speaker = utterance.words, f" [{utterance.speaker}]" if utterance.speaker else ""
    lines = [
        f"{_printable(utterance.id)}{_printable(speaker)}: {plural(counts.errors, 'error')} in "
        f"{plural(counts.reference, 'word')} "
        f"({counts.substitutions} S, {counts.deletions} D, {counts.insertions} I)"
    ]
    rows, used = ["REF:", "HYP:", "    "], 0
    for ref, hyp, mark in aligned_words(utterance):
        width = max(cell_len(ref), cell_len(hyp))
        if used and len("REF:") + used + 1 + width > LINE_WIDTH:
            lines += [row.rstrip() for row in rows]
            rows, used = ["REF:", "HYP:", "    "], 0
        cells = (ref or "*" * width, hyp or "*" * width, mark)
        rows = [
            f"{row} {cell}{' ' * (width - cell_len(cell))}"
            for row, cell in zip(rows, cells, strict=True)
        ]
        used += 1 + width
    lines += [row.rstrip() for row in rows]
    return "\n".join(lines).rstrip("\n")


def _check(total: int, **lengths: int) -> None:
    if total == 0:
        raise ScoringError("no utterances to score; expected at least one")
    for name, length in lengths.items():
        if length != total:
            raise ScoringError(f"{total} references but {length} {name}; expected equal numbers")


def _counts(output: jiwer.WordOutput | jiwer.CharacterOutput) -> list[Counts]:
    counts = []
    for reference, chunks in zip(output.references, output.alignments, strict=True):
        spans = {"substitute": 0, "delete": 0, "insert": 0, "equal": 0}
        for chunk in chunks:
            spans[chunk.type] += max(
                chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
            )
        counts.append(Counts(len(reference), spans["substitute"], spans["delete"], spans["insert"]))
    return counts


def aligned_words(utterance: UtteranceScore) -> list[tuple[str, str, str]]:
    """(reference word, hypothesis word, mark), "" where a side has none."""
    output = jiwer.process_words(utterance.reference, utterance.hypothesis)
    rows = []
    for chunk in output.alignments[0]:
        refs = output.references[0][chunk.ref_start_idx : chunk.ref_end_idx]
        hyps = output.hypotheses[0][chunk.hyp_start_idx : chunk.hyp_end_idx]
        mark = {"equal": "", "substitute": "S", "delete": "D", "insert": "I"}[chunk.type]
        for ref, hyp in zip_longest(refs, hyps, fillvalue=""):
            rows.append((_printable(ref), _printable(hyp), mark))
    return rows


def _printable(text: str) -> str:
    """Control characters would act on the terminal that the alignment is printed on."""
    return "".join("\N{REPLACEMENT CHARACTER}" if category(c) == "Cc" else c for c in text)


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
