"""Streams: the same text in any pieces, the text of the whole, and where utterances end."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tones import RATE, say

from speechgru.audio import resample
from speechgru.checkpoint import Checkpoint, ModelConfig, new_checkpoint
from speechgru.decoding import BeamSearch, Greedy
from speechgru.decoding.greedy import GreedySearch
from speechgru.errors import AudioError, RecipeError, SpeechgruError
from speechgru.features import FeatureExtractor
from speechgru.recipe import FeatureRecipe, ModelRecipe, TextRecipe
from speechgru.recognizer import Recognizer
from speechgru.streaming import Endpointing, Final
from speechgru.text import Vocabulary

DECODERS = pytest.mark.parametrize("decoder", [Greedy, BeamSearch])
TEXT = "am mo oa ma am oa"


def checkpoint(**model: object) -> Checkpoint:
    """An untrained model that outputs many tokens and many blanks."""
    torch.manual_seed(3)
    defaults = {"bidirectional": False, "hidden_size": 12, "lookahead": 4, "conv_channels": 4}
    config = ModelConfig(
        text=TextRecipe(),
        features=FeatureRecipe(sample_rate=RATE, mels=16, low_hz=100, normalise="running"),
        model=ModelRecipe(**(defaults | model)),
    )
    made = new_checkpoint(config, Vocabulary.from_texts(["amo am"]), {})
    made.extract.fit([say(TEXT, seed) for seed in range(3)])
    with torch.no_grad():
        made.model.head.weight *= 12
    made.model.eval()
    return made


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(checkpoint())


def run(recognizer: Recognizer, samples: np.ndarray, sizes: list[int], **options) -> list[Final]:
    """The finals of a stream fed pieces of these sizes, and the rest at once."""
    stream, finals = recognizer.stream(**options), []
    for part in np.split(samples, np.cumsum(sizes)):
        finals += stream.accept(part)
    return finals + stream.finish()


# Equality ---------------------------------------------------------------------------------------


@DECODERS
@settings(max_examples=10)
@given(sizes=st.lists(st.integers(0, 6000), max_size=6), seed=st.integers(0, 5))
def test_a_stream_in_any_pieces_has_the_transcript_of_the_whole(recognizer, decoder, sizes, seed):
    model = recognizer.checkpoint
    decoding = Recognizer(model, decoder=decoder(model.vocabulary))
    wave = say(TEXT, seed)
    (final,) = run(decoding, wave, sizes, endpointing=None)
    assert final.start == 0
    assert final.transcript == decoding.transcribe(wave)


@pytest.mark.parametrize("samples", [1, 79, 255, 256, 800, 801, 4001])
def test_short_streams_equal_the_whole(recognizer, samples):
    wave = say(TEXT)[:samples]
    finals = run(recognizer, wave, [samples // 3], endpointing=None)
    text = recognizer.transcribe(wave).text
    assert [final.text for final in finals] == ([text] if text else [])


def test_a_stream_without_samples_has_no_utterance(recognizer):
    stream = recognizer.stream()
    assert stream.accept(np.empty(0, np.float32)) == []
    assert stream.finish() == []


def test_the_look_ahead_reads_what_silence_after_the_end_is(recognizer):
    """Were it anything else, a model would wait for it, and write words late where silence
    follows."""
    wave = say(TEXT)
    (alone,) = recognizer.emissions([wave])
    (longer,) = recognizer.emissions([np.pad(wave, (0, RATE))])
    frames = len(alone.log_probs) - 1  # after the last one, the convolutions read zeros
    assert len(longer.log_probs) > frames + 1
    np.testing.assert_allclose(alone.log_probs[:frames], longer.log_probs[:frames], atol=1e-5)


def test_integers_channels_and_another_rate_are_converted_as_elsewhere(recognizer):
    wave = say(TEXT)
    high = resample(wave, RATE, 44100)
    stereo = np.stack([high, high], axis=1)
    expected = recognizer.transcribe(high, 44100).text
    assert run(recognizer, stereo, [5000], sample_rate=44100, endpointing=None)[0].text == expected
    integers = (wave * 32767).astype(np.int16)
    expected = recognizer.transcribe(integers).text
    assert run(recognizer, integers, [999], endpointing=None)[0].text == expected


@pytest.mark.parametrize("inverted", [-1.0, -0.9])
def test_channels_that_cancel_are_mixed_alike_in_any_pieces(recognizer, inverted):
    wave = np.pad(say(TEXT), (RATE // 2, 0))
    noise = 0.003 * np.random.default_rng(1).standard_normal((len(wave), 2))
    stereo = (np.stack([wave, inverted * wave], axis=1) + noise).astype(np.float32)
    sizes = [[], [1, 1, 7000, 3], random_sizes(3, len(stereo))]
    first, *others = (run(recognizer, stereo, each, endpointing=None) for each in sizes)
    assert first[0].text == recognizer.transcribe(stereo).text
    assert all(other == first for other in others)


def test_another_number_of_channels_is_refused(recognizer):
    stream = recognizer.stream()
    stream.accept(np.zeros((5, 2), np.float32))
    with pytest.raises(AudioError, match="1 channels, after 2"):
        stream.accept(np.zeros(5, np.float32))


def test_partial_texts_grow_into_the_final_one(recognizer):
    stream, wave, partials = recognizer.stream(endpointing=None), say(TEXT), []
    for begin in range(0, len(wave), 400):
        stream.accept(wave[begin : begin + 400])
        partials.append(stream.partial)
    (final,) = stream.finish()
    assert stream.partial == ""
    assert len(set(partials)) > 3
    assert all(final.text.startswith(partial) for partial in partials)
    assert partials[0] == ""


def test_a_partial_text_that_is_not_read_costs_nothing(recognizer, monkeypatch):
    asked, nbest = [], GreedySearch.nbest
    monkeypatch.setattr(GreedySearch, "nbest", lambda self, n: asked.append(n) or nbest(self, n))
    stream = recognizer.stream(endpointing=None)
    stream.accept(say(TEXT))
    assert asked == []
    assert stream.partial
    assert asked == [1]


# Endpoints --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(stream_run) -> Recognizer:
    return Recognizer.load(stream_run, "cpu")


def pause(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(7)
    return (0.003 * rng.standard_normal(round(RATE * seconds))).astype(np.float32)


def random_sizes(seed: int, samples: int) -> list[int]:
    rng = np.random.default_rng(seed)
    longest = int(rng.choice([160, 2000, 20000]))
    return rng.integers(0, longest, 2 * samples // longest).tolist()


def check_pieces(recognizer: Recognizer, wave: np.ndarray, rules: Endpointing) -> list[Final]:
    """The finals, which are the same in three random sequences of pieces."""
    expected = run(recognizer, wave, [], endpointing=rules)
    for seed in range(3):
        sizes = random_sizes(seed, len(wave))
        assert run(recognizer, wave, sizes, endpointing=rules) == expected
    return expected


def test_an_utterance_ends_in_a_long_pause_only(trained):
    parts = [say("am mo", 1), pause(1.5), say("oa", 2), pause(0.4), say("ma", 3), pause(0.1)]
    finals = check_pieces(trained, np.concatenate(parts), Endpointing(silence=0.7))
    assert [final.text for final in finals] == ["am mo", "oa ma"]
    first, second = (len(parts[0]) / RATE, sum(map(len, parts[:2])) / RATE)
    assert finals[0].start == 0
    assert first < finals[1].start < second
    word = finals[1].transcript.words[0]
    assert abs(word.start - second - 0.05) < 0.1  # say() begins with 50 ms of silence


@pytest.mark.parametrize("gap", [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8])
def test_a_word_that_begins_as_an_utterance_ends_is_not_cut(trained, gap):
    wave = np.concatenate([say("am", 1), pause(gap), say("mo", 2), pause(gap), say("oa", 3)])
    finals = run(trained, wave, [], endpointing=Endpointing(silence=0.5))
    assert " ".join(final.text for final in finals) == "am mo oa"


def test_silence_before_the_first_word_is_dropped(trained):
    wave = np.concatenate([pause(4.0), say("am", 1)])
    rules = Endpointing(silence=0.5, initial_silence=1.0)
    (final,) = check_pieces(trained, wave, rules)
    assert final.text == "am"
    assert 3.0 < final.start < 4.0
    assert run(trained, pause(4.0), [], endpointing=rules) == []


def test_an_utterance_without_a_pause_is_cut_between_words(trained):
    wave = say("am mo oa ma am oa mo ma am mo oa ma am oa mo ma", 4)
    finals = check_pieces(trained, wave, Endpointing(longest=1.5))
    assert len(finals) >= 2
    assert all(final.transcript.duration < 1.7 for final in finals)
    assert " ".join(final.text for final in finals) == trained.transcribe(wave).text
    ends = [final.start + final.transcript.duration for final in finals]
    np.testing.assert_allclose([final.start for final in finals[1:]], ends[:-1], atol=1e-3)


@pytest.mark.parametrize("text", ["amomamaoamomaoamaomoamomaoma", "am amomamaoamomaoamaomoamo"])
def test_a_word_longer_than_an_utterance_is_cut_between_its_tokens(trained, text):
    wave = say(text, 4)
    whole = trained.transcribe(wave).text
    for longest in np.arange(1.0, 1.3, 0.02):
        finals = run(trained, wave, [], endpointing=Endpointing(longest=longest))
        assert len(finals) >= 2
        assert "".join(final.text for final in finals) == whole.replace(" ", "")


@pytest.mark.parametrize("text", ["am", "mo", "oa", "ma"])
def test_a_word_cut_at_its_end_is_recognised(trained, text):
    wave = say(text, 5)[: -RATE // 20]  # without the silence at its end
    finals = run(trained, wave, [300])
    assert [final.text for final in finals] == [text]


def test_levels_decide_about_silence_as_in_a_whole_recording(trained):
    assert run(trained, np.zeros(8000, np.float32), [3000]) == []


def test_a_long_stream_needs_no_more_memory(trained):
    stream = trained.stream()
    for number in range(30):
        stream.accept(np.concatenate([say("am mo", number), pause(1.0)]))
    kept = [*stream._log_probs, *stream._levels, stream._waiting]
    assert sum(array.nbytes for array in kept) < 4 * RATE * 4


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "features", "found"),
    [
        ({"bidirectional": True, "lookahead": 0}, {}, "bidirectional"),
        ({}, {"normalise": "speech"}, "normalise"),
        ({}, {"deltas": 1}, "deltas"),
    ],
)
def test_a_model_that_needs_the_whole_recording_is_refused(model, features, found):
    made = checkpoint(**model)
    recipe = made.extract.recipe.model_copy(update=features)
    made = replace(made, extract=FeatureExtractor(recipe))
    with pytest.raises(RecipeError, match=found):
        Recognizer(made).stream()


@pytest.mark.parametrize(
    "samples",
    [np.array([0.0, np.nan]), np.array([np.inf]), np.array([1e30]), np.array(["a"]),
     np.zeros((2, 2, 2)), np.array([1, 2], np.int64), np.array(0.5)],
)  # fmt: skip
def test_samples_that_are_none_are_refused_and_the_stream_continues(recognizer, samples):
    stream = recognizer.stream(endpointing=None)
    wave = say(TEXT)
    stream.accept(wave[:2000])
    with pytest.raises(AudioError):
        stream.accept(samples)
    stream.accept(wave[2000:])
    assert stream.finish()[0].text == recognizer.transcribe(wave).text


def test_a_finished_stream_takes_no_more(recognizer):
    stream = recognizer.stream()
    stream.finish()
    for call in (stream.finish, lambda: stream.accept(np.zeros(1, np.float32))):
        with pytest.raises(AudioError, match="finished"):
            call()


@pytest.mark.parametrize("rate", [0, 999, 10_000_000])
def test_a_rate_that_no_recorder_has_is_refused(recognizer, rate):
    with pytest.raises(AudioError, match=f"{rate} Hz"):
        recognizer.stream(sample_rate=rate)


@pytest.mark.parametrize(
    "values", [{"silence": 0.1}, {"silence": 6}, {"longest": 0.5}, {"silence": float("nan")}]
)
def test_rules_that_make_no_sense_are_refused(values):
    with pytest.raises(SpeechgruError, match="silence"):
        Endpointing(**values)
