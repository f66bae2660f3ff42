"""What every decoder in the table does."""

import subprocess
import sys

import numpy as np
import pytest

from speechgru.decoding import DECODERS, Emission, make_decoder
from speechgru.errors import SpeechgruError
from speechgru.text import Vocabulary

VOCABULARY = Vocabulary.from_texts(["ab c"])


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("text", ["", "a", "ab ca", "aa"])
def test_a_certain_emission_is_decoded_to_its_text(name, text):
    tokens = VOCABULARY.encode(text)
    frames = [token for number in tokens for token in (0, number)] + [0]
    log_probs = np.log(np.eye(len(VOCABULARY))[frames] * 0.998 + 0.0004).astype(np.float32)
    hypothesis = make_decoder(name, VOCABULARY)(Emission(log_probs, 0.04))
    assert VOCABULARY.decode(hypothesis.tokens) == text
    assert hypothesis.frames == tuple(range(1, 2 * len(tokens), 2))


@pytest.mark.parametrize("name", DECODERS)
def test_an_emission_without_frames_is_no_text(name):
    empty = Emission(np.zeros((0, len(VOCABULARY)), np.float32), 0.04)
    assert make_decoder(name, VOCABULARY)(empty).tokens == ()


def test_an_unknown_decoder_is_refused_with_the_choices():
    with pytest.raises(SpeechgruError, match=f"'gredy'.*{'.*'.join(DECODERS)}"):
        make_decoder("gredy", VOCABULARY)


def test_the_time_of_a_frame():
    emission = Emission(np.zeros((10, 5), np.float32), seconds_per_frame=0.03, start=1.016)
    assert emission.seconds(0) == pytest.approx(1.016)
    assert emission.seconds(4) == pytest.approx(1.136)
    assert emission.seconds(0.5) == pytest.approx(1.031)


def test_decoding_and_scoring_load_no_torch():
    """For a runtime without it."""
    program = """
import sys
import speechgru.decoding, speechgru.formats, speechgru.scoring.mapsswe, speechgru.text
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
