"""The same emissions through decoders of other projects; skipped where they do not install."""

import math
from pathlib import Path

import numpy as np
import pytest

from speechgru.decoding import BeamSearch, Emission
from speechgru.decoding.graph import Options
from speechgru.decoding.lexicon import build_lexicon, word_numbers
from speechgru.lm.arpa import arpa_bytes
from speechgru.lm.ngram import NGram
from speechgru.lm.smoothing import train
from speechgru.text import Vocabulary
from tests.lm.texts import corpus

SENTENCES = ["go on", "go", "on and on", "stop", "go and stop", "no", "no go", "stop on no", "and"]
VOCABULARY = Vocabulary.from_texts(SENTENCES)
WIDE = {"beam": 3000, "token_threshold": -60.0, "beam_threshold": 1e9}


@pytest.fixture(scope="module")
def lm() -> NGram:
    return train(corpus(SENTENCES), 3, "word").model


@pytest.fixture(scope="module")
def arpa(lm: NGram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lm") / "lm.arpa"
    path.write_bytes(arpa_bytes(lm, compress=False))
    return path


def spoken(text: str, rng: np.random.Generator, height: float) -> Emission:
    """A spike per character, with blanks between."""
    rows = []
    for token in VOCABULARY.encode(text):
        rows += [rng.normal(size=len(VOCABULARY)) for _ in range(2)]
        rows[-2][0] += 2 * height
        rows[-1][token] += height
        rows[-1][rng.integers(1, len(VOCABULARY))] += height / 2
    logits = np.array(rows)
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return Emission(log_probs.astype(np.float32), 0.04)


def test_prefix_search_equals_ctc_beam_decoder() -> None:
    other = pytest.importorskip("ctc_beam_decoder")
    theirs = other.BeamSearchDecoder(["", *VOCABULARY.tokens[1:]])
    ours = BeamSearch(VOCABULARY, Options(**WIDE))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for text in SENTENCES * 5:
        emission = spoken(text, rng, 5.0)
        text, _, _, _, score = theirs.decode_beams(emission.log_probs, 3000, -1e9, -1e9)[0]
        found = ours(emission)
        assert " ".join(VOCABULARY.decode(found.tokens).split()) == text
        assert found.score == pytest.approx(score, abs=1e-3)


def test_word_model_equals_ctc_beam_decoder(lm: NGram, arpa: Path) -> None:
    """An open lexicon; its cost of unknown words is in log10 and has the model's weight."""
    other = pytest.importorskip("ctc_beam_decoder")
    alpha, beta, unknown = 0.7, 0.5, -3.0
    theirs = other.BeamSearchDecoder(
        ["", *VOCABULARY.tokens[1:]], None, str(arpa), list(lm.words[3:]), alpha, beta, unknown
    )
    options = Options(
        lm_weight=alpha,
        word_score=beta,
        unknown_cost=-unknown * alpha * math.log(10),
        **WIDE,  # type: ignore[arg-type]
    )
    ours = decoder(lm, options)
    rng = np.random.default_rng(1)
    for text in SENTENCES * 5:
        emission = spoken(text, rng, 12.0)
        # without a limit for tokens, it scores an empty word after a space at the end
        text, _, _, _, score = theirs.decode_beams(emission.log_probs, 3000, -1e9, -8.0)[0]
        found = ours(emission)
        assert found.text == text
        assert found.score == pytest.approx(score, abs=1e-3)


def test_lexicon_and_word_model_equal_flashlight(lm: NGram, arpa: Path) -> None:
    flashlight = pytest.importorskip("flashlight.lib.text.decoder")
    kenlm = pytest.importorskip("flashlight.lib.text.decoder.kenlm")
    dictionary = pytest.importorskip("flashlight.lib.text.dictionary")
    words = dictionary.Dictionary()
    for word in [*lm.words[3:], "<unk>"]:
        words.add_entry(word)
    model = kenlm.KenLM(str(arpa), words)
    space = VOCABULARY.encode(" ")[0]
    trie = flashlight.Trie(len(VOCABULARY), space)
    for word in lm.words[3:]:
        trie.insert([*VOCABULARY.encode(word), space], words.get_index(word), 0.0)
    weight, bonus = 0.9, 0.4
    options = flashlight.LexiconDecoderOptions(
        3000, len(VOCABULARY), 1e9, weight * math.log(10), bonus, -math.inf, 0.0, True,
        flashlight.CriterionType.CTC,
    )  # fmt: skip
    unknown = words.get_index("<unk>")
    theirs = flashlight.LexiconDecoder(options, trie, model, space, 0, unknown, [], False)
    ours = decoder(lm, Options(lm_weight=weight, word_score=bonus, **WIDE))  # type: ignore[arg-type]
    rng = np.random.default_rng(2)
    for text in SENTENCES * 5:
        emission = spoken(text + " ", rng, 12.0)  # in its lexicon, words end with a space
        best = theirs.decode(emission.log_probs.ctypes.data, *emission.log_probs.shape)[0]
        found = ours(emission)
        assert found.text == " ".join(words.get_entry(word) for word in best.words if word >= 0)
        assert found.score == pytest.approx(best.score, abs=1e-3)


def decoder(lm: NGram, options: Options) -> BeamSearch:
    numbers = word_numbers(lm, VOCABULARY, str)
    lexicon = build_lexicon([(word, word) for word in numbers], VOCABULARY, lm, numbers)
    return BeamSearch(VOCABULARY, options, lm, lexicon)
