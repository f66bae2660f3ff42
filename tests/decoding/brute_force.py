"""Every path of a small emission, every reading of every token sequence, and their scores."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from speechgru.lm.ngram import SPACE, NGram
from speechgru.text import Vocabulary

Reading = tuple[tuple[str, int, bool], ...]  # (written word, number in the LM, known)


@dataclass(frozen=True)
class Case:
    """What to decode with. `pairs` are (word, spelling, number in the LM)."""

    vocabulary: Vocabulary
    lm: NGram | None = None
    pairs: tuple[tuple[str, str, int], ...] | None = None
    unknown_cost: float | None = None
    lm_weight: float = 1.0
    word_score: float = 0.0
    hotwords: tuple[tuple[str, float], ...] = ()


def best_texts(log_probs: np.ndarray, case: Case) -> list[tuple[str, str, float]]:
    """(spelling, text, score) of every text, best first."""
    acoustic = label_probabilities(log_probs)
    found: dict[tuple[str, Reading], list[float]] = defaultdict(list)
    for labels, log_prob in acoustic.items():
        spelling = case.vocabulary.decode(labels)
        if case.pairs is None:
            found[spelling, ()].append(log_prob)
            continue
        stripped = spelling[:-1] if spelling.endswith(" ") else spelling
        for reading in readings(stripped, case) if stripped or not spelling else ():
            found[stripped, reading].append(log_prob)
    texts = []
    for (spelling, reading), terms in found.items():
        text = " ".join(word for word, _, _ in reading) if case.pairs is not None else spelling
        score = float(np.logaddexp.reduce(terms)) + other_scores(spelling, reading, case)
        texts.append((spelling, text, score))
    return sorted(texts, key=lambda item: -item[2])


def label_probabilities(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    frames, size = log_probs.shape
    found: dict[tuple[int, ...], float] = defaultdict(lambda: -np.inf)
    for path in itertools.product(range(size), repeat=frames):
        score = sum(float(log_probs[frame, token]) for frame, token in enumerate(path))
        labels = tuple(token for token, _ in itertools.groupby(path) if token)
        found[labels] = np.logaddexp(found[labels], score)
    return found


def readings(spelling: str, case: Case) -> Iterator[Reading]:
    assert case.pairs is not None
    if not spelling:
        yield ()
        return
    for end in range(1, len(spelling) + 1):
        if end < len(spelling) and spelling[end] != " ":
            continue
        head, tail = spelling[:end], spelling[end + 1 :]
        if end < len(spelling) and not tail:
            continue
        choices = [(word, number, True) for word, other, number in case.pairs if other == head]
        if not choices and case.unknown_cost is not None and " " not in head:
            choices = [(head, 0, False)]
        for choice in choices:
            for rest in readings(tail, case):
                yield (choice, *rest)


def other_scores(spelling: str, reading: Reading, case: Case) -> float:
    total = 0.0
    if case.pairs is None:
        total += case.word_score * len(spelling)
    for _, _, known in reading:
        total += case.word_score - (0.0 if known else case.unknown_cost or 0.0)
    if case.lm is not None:
        if case.lm.unit == "character":
            units = [SPACE if char == " " else char for char in spelling]
        else:
            units = [case.lm.words[number] for _, number, _ in reading]
        total += case.lm_weight * float(case.lm.scores(units).sum())
    space = " " if " " in case.vocabulary.tokens else ""
    text = f"{space}{spelling}{space}"
    for phrase, boost in case.hotwords:
        before, after = ("" if char == "東" else space for char in (phrase[0], phrase[-1]))
        wanted = f"{before}{phrase}{after}"
        times = sum(text.startswith(wanted, begin) for begin in range(len(text)))
        total += times * boost * len(phrase)
    return total


# Where words begin with tokens that begin with a space: a text is its tokens -------------------


def best_token_sequences(
    log_probs: np.ndarray, case: Case
) -> list[tuple[tuple[int, ...], str, float]]:
    """(tokens, text, score) of every token sequence and reading, best first."""
    found = []
    for labels, log_prob in label_probabilities(log_probs).items():
        for reading in [()] if case.pairs is None else token_readings(labels, case):
            text = " ".join(word for word, _, _ in reading if word)
            score = log_prob + scores_by_token(labels, reading, case)
            found.append((labels, text, float(score)))
    return sorted(found, key=lambda item: -item[2])


def token_readings(labels: tuple[int, ...], case: Case) -> Iterator[Reading]:
    assert case.pairs is not None
    if not labels:
        yield ()
        return
    starts = [place for place, token in enumerate(labels) if token in case.vocabulary.starts]
    for end in [*(place for place in starts if place > 0), len(labels)]:
        head, tail = labels[:end], labels[end:]
        choices = [
            (word, number, True)
            for word, other, number in case.pairs
            if case.vocabulary.covers(other) and tuple(case.vocabulary.encode(other)) == head
        ]
        spaced = any(0 < place < end for place in starts)
        if not choices and case.unknown_cost is not None and not spaced:
            choices = [(case.vocabulary.decode(head).strip(), 0, False)]
        for choice in choices:
            for rest in token_readings(tail, case):
                yield (choice, *rest)


def scores_by_token(labels: tuple[int, ...], reading: Reading, case: Case) -> float:
    total = case.word_score * (len(labels) if case.pairs is None else len(reading))
    total -= sum(case.unknown_cost or 0.0 for _, _, known in reading if not known)
    if case.lm is not None:
        units = [case.lm.words[number] for _, number, _ in reading]
        total += case.lm_weight * float(case.lm.scores(units).sum())
    for phrase, boost in case.hotwords:
        wanted = tuple(case.vocabulary.encode(phrase))
        for begin in range(len(labels)):
            after = labels[begin + len(wanted) : begin + len(wanted) + 1]
            whole = not after or after[0] in case.vocabulary.starts
            matches = labels[begin : begin + len(wanted)] == wanted
            total += boost * len(phrase) * (matches and whole)
    return total
