"""Beam search without limits is exact in every mode; with limits its scores are right."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from speechgru.decoding import BeamSearch, Emission, Greedy
from speechgru.decoding.graph import Options
from speechgru.decoding.hypothesis import Hypothesis
from speechgru.decoding.lexicon import build_lexicon
from speechgru.errors import SpeechgruError
from speechgru.lm.ngram import NGram
from speechgru.lm.smoothing import train
from speechgru.text import Vocabulary
from speechgru.text.units import Pieces, Words
from tests.decoding.brute_force import Case, best_texts, best_token_sequences
from tests.lm.texts import corpus

LETTERS = Vocabulary.from_texts(["ab "])
UNSPACED = Vocabulary(("<blank>", "a", "b", "c"))
SENTENCES = ["a b", "ab a", "b b a", "a", "ba ab", "a ab b"]
NO_LIMITS = {"beam": 4000, "token_threshold": -math.inf, "beam_threshold": math.inf}


def emission(frames: int, vocabulary: Vocabulary, seed: int, sharpness: float = 1.5) -> Emission:
    logits = sharpness * np.random.default_rng(seed).normal(size=(frames, len(vocabulary)))
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return Emission(log_probs.astype(np.float32), seconds_per_frame=0.04)


def words() -> NGram:
    return train(corpus(SENTENCES), 3, "word").model


def characters() -> NGram:
    return train(corpus(SENTENCES, "character"), 3, "character").model


def pairs(lm: NGram | None, *spelled: tuple[str, str]) -> tuple[tuple[str, str, int], ...]:
    known = spelled or (("a", "a"), ("ab", "ab"), ("ba", "ba"))
    return tuple((word, spelling, lm.number(word) if lm else 0) for word, spelling in known)


AMBIGUOUS = (("a", "a"), ("one", "ab"), ("won", "ab"), ("both", "a b"), ("b", "b"))
HOT = (("ab", 1.0), ("a b", 0.7), ("b", 0.4))
CASES = {
    "free": Case(LETTERS),
    "free, bonus": Case(LETTERS, word_score=0.8),
    "free, characters": Case(LETTERS, characters(), lm_weight=0.7, word_score=0.3),
    "free, hot": Case(LETTERS, hotwords=HOT),
    "free, characters, hot": Case(LETTERS, characters(), lm_weight=0.7, hotwords=HOT),
    "free, unspaced script, hot": Case(
        Vocabulary.from_texts(["a東b"]),
        hotwords=(("東a", 1.0), ("東", 0.4), ("a", 0.7), ("a東b", 0.5)),
    ),
    "free, unspaced": Case(UNSPACED),
    "free, unspaced, hot": Case(UNSPACED, hotwords=(("ab", 1.0), ("bab", 1.5), ("c", -0.5))),
    "closed": Case(LETTERS, pairs=pairs(None)),
    "closed, words": Case(LETTERS, words(), pairs(words()), lm_weight=0.8, word_score=0.6),
    "closed, characters": Case(LETTERS, characters(), pairs(None), lm_weight=0.5),
    "closed, words, hot": Case(LETTERS, words(), pairs(words()), hotwords=HOT),
    "closed, two spellings": Case(
        LETTERS, words(), pairs(words(), ("a", "a"), ("a", "ab"), ("b", "b"))
    ),
    "closed, homophones and spaces": Case(LETTERS, words(), pairs(words(), *AMBIGUOUS)),
    "closed, phrases": Case(LETTERS, pairs=pairs(None, ("a", "a"), ("b", "b"), ("a b", "a b"))),
    "closed, unspaced": Case(UNSPACED, pairs=pairs(None)),
    "open": Case(LETTERS, pairs=pairs(None), unknown_cost=1.2),
    "open, words": Case(LETTERS, words(), pairs(words()), 0.9, lm_weight=0.8, word_score=-0.4),
    "open, characters": Case(LETTERS, characters(), pairs(None), 0.9, lm_weight=0.5),
    "open, words, hot": Case(LETTERS, words(), pairs(words()), 1.5, hotwords=HOT),
    "open, homophones and spaces": Case(LETTERS, words(), pairs(words(), *AMBIGUOUS), 1.0),
    "open, unspaced": Case(UNSPACED, pairs=pairs(None), unknown_cost=1.0),
}


def decoder(case: Case, **limits: float) -> BeamSearch:
    lexicon = None
    if case.pairs is not None:
        numbers: dict[str, list[int]] = {}
        for word, _, number in case.pairs:
            numbers.setdefault(word, [number])
        spelled = [(word, spelling) for word, spelling, _ in case.pairs]
        lexicon = build_lexicon(spelled, case.vocabulary, case.lm, numbers)
    options = Options(
        lm_weight=case.lm_weight,
        word_score=case.word_score,
        unknown_cost=case.unknown_cost,
        **limits,  # type: ignore[arg-type]
    )
    return BeamSearch(case.vocabulary, options, case.lm, lexicon, dict(case.hotwords))


def written(found: Hypothesis, case: Case) -> str:
    return found.text or " ".join(case.vocabulary.decode(found.tokens).split())


def merged(
    expected: Sequence[tuple[str | tuple[int, ...], str, float]], case: Case
) -> dict[str, float]:
    """The score of each text as users see it: the sum over its spellings or token sequences, each
    in its best reading."""
    best: dict[tuple[str, str | tuple[int, ...]], float] = {}
    for spelling, text, score in expected:
        shown = spelling if isinstance(spelling, str) else case.vocabulary.decode(spelling)
        key = " ".join(shown.split()) if case.pairs is None else text
        best[key, spelling] = max(best.get((key, spelling), -math.inf), score)
    scores: dict[str, float] = {}
    for (key, _), score in best.items():
        scores[key] = float(np.logaddexp(scores.get(key, -math.inf), score))
    return scores


@pytest.mark.parametrize("name", CASES)
def test_no_limits_give_every_text_its_score(name: str) -> None:
    case = CASES[name]
    decode = decoder(case, **NO_LIMITS)
    for seed in range(3):
        spoken = emission(6, case.vocabulary, seed)
        expected = merged(best_texts(spoken.log_probs, case), case)
        found = decode.nbest(spoken, len(expected) + 1)
        assert {written(h, case): h.score for h in found} == pytest.approx(expected, abs=1e-4)
        assert len(found) == len(expected)
        assert written(decode(spoken), case) == written(found[0], case)
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


LIMITED = {"beam": 20, "token_threshold": -8.0, "beam_threshold": 12.0}
PIECES = Pieces(("<blank>", " a", " ", "b", "a"))
WORDS = Words(("<blank>", " a", " ab", " b", " ba"))
TOKEN_CASES = {
    "pieces, free": Case(PIECES, word_score=0.8),
    "pieces, free, hot": Case(PIECES, hotwords=HOT),
    "pieces, closed": Case(PIECES, pairs=pairs(None)),
    "pieces, closed, words, hot": Case(PIECES, words(), pairs(words()), hotwords=HOT),
    "pieces, closed, homophones": Case(PIECES, words(), pairs(words(), *AMBIGUOUS)),
    "pieces, open": Case(PIECES, pairs=pairs(None), unknown_cost=1.2),
    "pieces, open, words, hot": Case(PIECES, words(), pairs(words()), 1.5, 0.8, 0.3, HOT),
    "pieces, open, homophones": Case(PIECES, words(), pairs(words(), *AMBIGUOUS), 1.0),
    "words, free, hot": Case(WORDS, hotwords=HOT),
    "words, closed, words, hot": Case(WORDS, words(), pairs(words()), hotwords=HOT),
    "words, open, homophones": Case(WORDS, words(), pairs(words(), *AMBIGUOUS), 1.0),
}


@pytest.mark.parametrize("name", TOKEN_CASES)
def test_no_limits_give_every_sequence_of_pieces_or_words_its_score(name: str) -> None:
    case = TOKEN_CASES[name]
    decode = decoder(case, **NO_LIMITS | {"beam": 20_000})
    for seed in range(2):
        spoken = emission(5, case.vocabulary, seed)
        sequences = best_token_sequences(spoken.log_probs, case)
        expected = merged(sequences, case)
        found = decode.nbest(spoken, len(expected) + 1)
        assert {written(h, case): h.score for h in found} == pytest.approx(expected, abs=1e-4)
        assert len(found) == len(expected)
        for one in found[:50]:
            spelled = [
                case.vocabulary.decode(one.tokens[w.first : w.last + 1]) for w in one.words or ()
            ]
            assert all(spelled)


@pytest.mark.parametrize("name", ["pieces, free, hot", "pieces, open, words, hot"])
def test_limits_keep_the_best_of_pieces(name: str) -> None:
    case = TOKEN_CASES[name]
    for seed in range(5):
        spoken = emission(12, PIECES, seed)
        best = decoder(case, **NO_LIMITS).nbest(spoken, 2)[0]
        found = decoder(case, **LIMITED | {"beam": 2000}).nbest(spoken, 2)[0]
        assert found.tokens == best.tokens
        assert found.score == pytest.approx(best.score, abs=0.1)  # some paths are lost


def same(ours: list, theirs: list) -> bool:  # type: ignore[type-arg]
    return [(h.tokens, h.text, h.score, h.acoustic, h.lm) for h in ours] == [
        (h.tokens, h.text, h.score, h.acoustic, h.lm) for h in theirs
    ]


@pytest.mark.parametrize("name", ["free, characters, hot", "closed, words", "open, words, hot"])
def test_pieces_give_what_the_whole_gives(name: str) -> None:
    decode = decoder(CASES[name], **LIMITED)
    spoken = emission(300, LETTERS, 1)
    whole = decode.nbest(spoken, 5)
    rng = np.random.default_rng(0)
    for _ in range(5):
        search = decode.start()
        cuts = np.sort(rng.integers(0, 300, 6))
        for piece in np.split(spoken.log_probs, cuts):
            search.feed(piece)
        assert same(search.nbest(5), whole)


def test_a_search_can_go_on_after_it_was_asked() -> None:
    decode = decoder(CASES["closed, words"], **LIMITED)
    spoken = emission(60, LETTERS, 2)
    search = decode.start()
    for frame in range(60):
        search.feed(spoken.log_probs[frame : frame + 1])
        before = Emission(spoken.log_probs[: frame + 1], 0.04)
        assert same(search.nbest(3), decoder(CASES["closed, words"], **LIMITED).nbest(before, 3))


def test_memory_stays_small_over_hours() -> None:
    decode = decoder(CASES["open, words"], **LIMITED)
    search = decode.start()
    spoken = emission(2000, LETTERS, 3, sharpness=3.0)
    search.feed(spoken.log_probs)
    room = len(search.prefixes)
    for _ in range(20):
        search.feed(spoken.log_probs)
    assert len(search.prefixes) <= 32 * room  # the text itself, but not what was dropped
    assert search.nodes <= len(search.prefixes)
    text = search.nbest(1)[0].tokens
    assert search.nodes < 2 * len(text) + 40 * 20 * 3


@pytest.mark.parametrize("name", ["free", "free, hot", "closed", "closed, characters", "open"])
def test_a_weight_of_0_is_no_language_model(name: str) -> None:
    case = replace(CASES[name], lm=None)
    unit = words() if case.pairs else characters()
    weighted = replace(case, lm=unit, lm_weight=0.0)
    if case.pairs:
        weighted = replace(weighted, pairs=pairs(unit))
    for seed in range(5):
        spoken = emission(50, LETTERS, seed)
        for ours, theirs in zip(
            decoder(weighted, **LIMITED).nbest(spoken, 5),
            decoder(case, **LIMITED).nbest(spoken, 5),
            strict=True,
        ):
            assert (ours.tokens, ours.text, ours.score) == (
                theirs.tokens,
                theirs.text,
                theirs.score,
            )


@pytest.mark.parametrize("name", CASES)
def test_wider_beams_score_no_worse(name: str) -> None:
    case = CASES[name]
    for seed in range(4):
        spoken = emission(40, case.vocabulary, seed)
        scores = [
            decoder(case, **{**NO_LIMITS, "beam": beam})(spoken).score
            for beam in (4, 16, 64, 256, 1024)
        ]
        assert all(b >= a - 1e-6 for a, b in pairwise(scores))


def test_a_beam_of_1_follows_the_best_path() -> None:
    for seed in range(10):
        spoken = emission(60, LETTERS, seed, sharpness=6.0)
        narrow = decoder(CASES["free"], beam=1)(spoken)
        assert narrow.tokens == Greedy(LETTERS)(spoken).tokens
        assert narrow.score >= Greedy(LETTERS)(spoken).score - 1e-3


def test_equal_scores_have_one_order() -> None:
    flat = np.full((6, 4), math.log(0.25), np.float32)
    found = [decoder(CASES["free"], beam=7).nbest(Emission(flat, 0.04), 7) for _ in range(3)]
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_threads_share_a_decoder() -> None:
    decode = decoder(CASES["open, words, hot"], **LIMITED)
    spoken = [emission(200, LETTERS, seed) for seed in range(16)]
    alone = [decode(one) for one in spoken]
    with ThreadPoolExecutor(4) as pool:
        assert same(list(pool.map(decode, spoken)), alone)


def test_a_closed_vocabulary_writes_only_its_words() -> None:
    """Even where the model is sure of other letters, and where the recording breaks off."""
    decode = decoder(CASES["closed, words"])
    rng = np.random.default_rng(0)
    for _ in range(200):
        frames = int(rng.integers(0, 12))
        row = rng.integers(0, 4, frames)
        sure = np.log(np.full((frames, 4), 1e-9) + np.eye(4)[row]).astype(np.float32)
        found = decode(Emission(sure, 0.04))
        assert found.text is not None
        assert set(found.text.split()) <= {"a", "ab", "ba"}
        assert found.text == LETTERS.decode(found.tokens)


def test_impossible_words_are_found_when_nothing_else_fits() -> None:
    sure = np.log(np.full((5, 4), 1e-9) + np.eye(4)[[3, 0, 3, 0, 3]]).astype(np.float32)  # b b b
    assert decoder(CASES["closed"])(Emission(sure, 0.04)).text in {"ba", "ab", "a"}


def test_frames_are_where_the_tokens_are() -> None:
    best = [0, 2, 2, 0, 0, 3, 0, 3, 1, 2]
    sure = np.log(np.full((10, 4), 1e-3) + np.eye(4)[best]).astype(np.float32)
    found = decoder(CASES["free"])(Emission(sure, 0.04))
    assert (found.tokens, found.frames) == ((2, 3, 3, 1, 2), (1, 5, 7, 8, 9))


@pytest.mark.parametrize("name", CASES)
def test_frames_grow(name: str) -> None:
    for seed in range(3):
        found = decoder(CASES[name], **LIMITED)(emission(50, CASES[name].vocabulary, seed))
        assert len(found.frames) == len(found.tokens)
        assert all(a < b for a, b in pairwise(found.frames))
        assert not found.frames or found.frames[-1] < 50


def test_scores_are_reported_apart() -> None:
    case = CASES["closed, words"]
    for found in decoder(case, **NO_LIMITS).nbest(emission(6, LETTERS, 0), 10):
        assert found.text is not None
        assert found.acoustic is not None
        assert found.lm == pytest.approx(words().scores(found.text.split()).sum(), abs=1e-5)
        other = case.lm_weight * found.lm + case.word_score * len(found.text.split())
        assert found.score == pytest.approx(found.acoustic + other, abs=1e-6)


def test_nothing_heard_is_nothing_written() -> None:
    for name in ("free", "closed, words", "open, words, hot"):
        found = decoder(CASES[name])(Emission(np.zeros((0, 4), np.float32), 0.04))
        assert (found.tokens, found.frames) == ((), ())


def test_log_probabilities_that_are_none() -> None:
    with pytest.raises(SpeechgruError):
        decoder(CASES["free"])(Emission(np.full((3, 4), np.nan, np.float32), 0.04))
    with pytest.raises(ValueError, match="shape"):
        decoder(CASES["free"])(Emission(np.zeros((3, 5), np.float32), 0.04))
    certain = np.full((3, 4), -np.inf, np.float32)
    certain[:, 0] = 0
    assert decoder(CASES["free"])(Emission(certain, 0.04)).tokens == ()
