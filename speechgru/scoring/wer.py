"""WER and CER with their counts and interval.

Design choices
- Words are aligned as NIST's sclite does (`align`), so counts equal sclite's. Its errors cost 4
  (substitution) and 3 (others); tools in which each costs 1 (jiwer, Kaldi) find other splits into
  S, D and I and, rarely, a smaller sum.
- A corpus rate is summed errors over summed reference words, never a mean of ratios.
- CER counts Unicode characters after NFC, the space between words among them, aligned by jiwer
  (each error costs 1). Of a text with alternatives, the reading chosen by the words counts.
- An empty reference counts its insertions and adds no words. A rate over no reference at all is
  the errors themselves (as if over one word), as in jiwer: 0 when both sides are empty.
- Both sides are tidied (`lines.tidy`: NFC and single spaces), and nothing else: normalising letter
  case and punctuation is the caller's task.
- The confidence interval, 10,000 bootstrap draws, is computed when it is first asked for.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jiwer
import numpy as np

from speechgru.errors import ScoringError
from speechgru.files import Json
from speechgru.scoring.align import CORRECT, DELETION, INSERTION, SUBSTITUTION, AlignedWord, align
from speechgru.scoring.graph import WordGraph, plain_graph
from speechgru.scoring.interval import rate_interval
from speechgru.scoring.lines import tidy
from speechgru.scoring.transcripts import Format, MatchedTexts, read_matched


@dataclass(frozen=True, slots=True)
class Counts:
    """Errors of an alignment, and the length of its reference. (An optional word that is missing
    counts as a word of the reference that is right, as in sclite.)"""

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
    """One utterance, its two texts (tidied; the readings that were aligned) and their counts."""

    id: str
    reference: str
    hypothesis: str
    words: Counts
    characters: Counts
    speaker: str | None = None
    alignment: tuple[AlignedWord, ...] = ()


@dataclass(frozen=True)
class Score:
    """A corpus: the utterances in the order given, and the summed counts."""

    utterances: tuple[UtteranceScore, ...]
    words: Counts
    characters: Counts

    @cached_property
    def _interval(self) -> tuple[tuple[float, float], str]:
        counts = [utterance.words for utterance in self.utterances]
        speakers = [utterance.speaker for utterance in self.utterances]
        alone = len(set(speakers)) == len(speakers)  # each utterance has its own
        return rate_interval(
            np.array([count.errors for count in counts]),
            np.array([count.reference for count in counts]),
            None if alone else speakers,
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
        speakers: (utterances,); None or "" where unknown.

    Raises:
        ScoringError: no utterances, lists of different length, or an id that occurs twice.
    """
    total = len(references)
    ids = [str(number) for number in range(1, total + 1)] if ids is None else ids
    speakers = [None] * total if speakers is None else [each or None for each in speakers]
    _check(total, hypotheses=len(hypotheses), ids=len(ids), speakers=len(speakers))
    if len(set(ids)) < total:
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise ScoringError(f"the utterance id {twice!r} occurs twice; ids must be unique")

    sides = (
        [plain_graph(tidy(text).split()) for text in side] for side in (references, hypotheses)
    )
    return _score(ids, speakers, *sides)


def score_matched(texts: MatchedTexts) -> Score:
    """Score the hypotheses of texts that were read from files: the first file's."""
    return _score(texts.ids, texts.speakers, texts.references, texts.hypotheses[0])


def score_files(
    reference: str | Path,
    hypothesis: str | Path,
    format: Format | None = None,
    ignore_case: bool = False,
) -> Score:
    """Score two files, as `transcripts.read_matched` reads and matches them.

    Raises:
        ScoringError: a file cannot be read, or the two contain different ids.
    """
    return score_matched(
        read_matched(reference, hypothesis, format=format, ignore_case=ignore_case)
    )


def _score(
    ids: Sequence[str],
    speakers: Sequence[str | None],
    references: Sequence[WordGraph],
    hypotheses: Sequence[WordGraph],
) -> Score:
    alignments = [tuple(align(*pair)) for pair in zip(references, hypotheses, strict=True)]
    refs = [
        _text(word.reference for word in alignment if word.hypothesis or word.mark)
        for alignment in alignments
    ]
    hyps = [
        _text(word.hypothesis for word in alignment if word.reference or word.mark)
        for alignment in alignments
    ]
    words = [_word_counts(alignment) for alignment in alignments]
    characters = _character_counts(jiwer.process_characters(refs, hyps))
    utterances = tuple(
        UtteranceScore(*fields)
        for fields in zip(ids, refs, hyps, words, characters, speakers, alignments, strict=True)
    )
    return Score(utterances, sum(words, Counts()), sum(characters, Counts()))


def _text(words: Iterable[str]) -> str:
    return " ".join(word for word in words if word)


def _word_counts(alignment: Sequence[AlignedWord]) -> Counts:
    marks = Counter(word.mark for word in alignment)
    s, d, i = (marks[mark] for mark in (SUBSTITUTION, DELETION, INSERTION))
    return Counts(marks[CORRECT] + s + d, s, d, i)


def _check(total: int, **lengths: int) -> None:
    if total == 0:
        raise ScoringError("no utterances to score; expected at least one")
    for name, length in lengths.items():
        if length != total:
            raise ScoringError(f"{total} references but {length} {name}; expected equal numbers")


def _character_counts(output: jiwer.CharacterOutput) -> list[Counts]:
    counts = []
    for reference, chunks in zip(output.references, output.alignments, strict=True):
        spans = {"substitute": 0, "delete": 0, "insert": 0, "equal": 0}
        for chunk in chunks:
            spans[chunk.type] += max(
                chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
            )
        counts.append(Counts(len(reference), spans["substitute"], spans["delete"], spans["insert"]))
    return counts
