"""Recognizer: any source to its text, whoever shares its batch; faults stay with their source."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from tones import RATE, say

import speechgru
from speechgru import kernels
from speechgru.audio import resample
from speechgru.batches import AudioCache
from speechgru.cells import RecurrentLayer
from speechgru.errors import AudioError, CheckpointError, SpeechgruError
from speechgru.manifest import Utterance, read_manifest
from speechgru.recognizer import WINDOW, Recognizer, Transcript, _mono, choose_device


@pytest.fixture(scope="module")
def recognizer(tone_run: Path) -> Recognizer:
    return Recognizer.load(tone_run, "cpu")


@pytest.fixture(scope="module")
def utterances(tones: Path) -> list[Utterance]:
    return read_manifest(tones / "test.jsonl")


def texts(results: object) -> list[str]:
    return [result.text for result in results]  # type: ignore[attr-defined]


# Sources ------------------------------------------------------------------------------------------


def test_file_utterance_and_samples_give_one_text(recognizer, utterances):
    utterance = utterances[2]
    wave, rate = soundfile.read(utterance.audio, dtype="float32")
    assert rate == RATE
    heard = {
        recognizer.transcribe(source)
        for source in (str(utterance.audio), utterance.audio, utterance, wave)
    }
    assert heard == {Transcript(utterance.text, round(len(wave) / RATE, 3))}


@pytest.mark.parametrize(
    "change",
    [
        lambda wave: (np.round(wave * 32767).astype(np.int16), None),
        lambda wave: (wave.astype(np.float64), RATE),
        lambda wave: (np.stack([wave, wave], axis=1), None),
        lambda wave: (np.stack([wave * 1.5, wave * 0.5], axis=1), None),
        lambda wave: (wave[:, None], None),
        lambda wave: (wave[::-1][::-1], None),  # not contiguous
        lambda wave: (resample(wave, RATE, 16000), 16000),
        lambda wave: (resample(wave, RATE, 44100).astype(np.float64), 44100),
    ],
)
def test_samples_of_any_kind_and_rate(recognizer, utterances, change):
    wave = soundfile.read(utterances[2].audio, dtype="float32")[0]
    samples, rate = change(wave)
    assert recognizer.transcribe(samples, rate).text == utterances[2].text


def test_an_utterance_is_its_part_of_the_file(recognizer, tmp_path):
    first, second = say("am mo", 1), say("oa", 2)
    soundfile.write(tmp_path / "both.wav", np.concatenate([first, second]), RATE)
    duration = len(first) / RATE
    parts = [
        Utterance(tmp_path / "both.wav", duration, "", "1"),
        Utterance(tmp_path / "both.wav", len(second) / RATE, "", "2", offset=duration),
    ]
    assert texts(recognizer.transcribe_all(parts)) == ["am mo", "oa"]


def test_whole_numbers_are_scaled_to_the_range_of_floats():
    """Most models do not mind: their features are normalised."""
    samples = np.array([-32768, 0, 16384], np.int16)
    assert _mono(samples).tolist() == [-1.0, 0.0, 0.5]


@pytest.mark.parametrize("length", [1, 10, 199, 200, 201, 279, 280, 400])
def test_sound_shorter_than_a_word_is_no_fault(recognizer, length):
    rng = np.random.default_rng(length)
    result = recognizer.transcribe(0.001 * rng.standard_normal(length))
    assert len(result.text) <= 2
    assert result.duration == round(length / RATE, 3)


def test_silence_is_no_fault(recognizer):
    assert recognizer.transcribe(np.zeros(RATE, np.float32)).duration == 1.0


@pytest.mark.parametrize(
    ("samples", "named"),
    [
        (np.zeros(0, np.float32), r"shape \(0,\)"),
        (np.zeros((0, 2), np.float32), r"shape \(0, 2\)"),
        (np.zeros((4, 0), np.float32), r"shape \(4, 0\)"),
        (np.zeros((2, 2, 2), np.float32), r"shape \(2, 2, 2\)"),
        (np.zeros((1, 800), np.float32), r"shape \(1, 800\): .*\(n, channels\).*samples\.T"),
        (np.zeros((2, 16), np.float32), r"shape \(2, 16\): .*samples\.T"),
        (np.zeros((800, 33), np.float32), r"shape \(800, 33\): .*at most 32 channels"),
        (np.zeros(9, np.int32), "type int32"),
        (np.zeros(9, np.complex64), "type complex64"),
        (np.array(["a"]), "type <U1"),
        (np.array([0.0, np.nan]), "NaN or infinity"),
        (np.array([0.0, -np.inf]), "NaN or infinity"),
    ],
)
@pytest.mark.parametrize("rate", [None, 44100])
def test_samples_that_are_no_sound_are_refused(recognizer, samples, named, rate):
    with pytest.raises(AudioError, match=named):
        recognizer.transcribe(samples, rate)


@pytest.mark.parametrize("rate", [None, 44100])
@pytest.mark.parametrize(
    ("source", "kind"),
    [(torch.zeros(800), "Tensor"), ([0.0] * 800, "list"), (b"a.wav", "bytes"), (None, "NoneType")],
)
def test_sources_of_another_kind_are_refused(recognizer, source, kind, rate):
    with pytest.raises(AudioError, match=rf"a {kind}: expected a path.* tensor\.numpy\(\)"):
        recognizer.transcribe(source, rate)


@pytest.mark.parametrize("rate", [0, -16000, 10**9])
def test_rates_that_are_none_are_refused(recognizer, rate):
    with pytest.raises(AudioError, match=f"rate of {rate} Hz; expected 1000 to 768000"):
        recognizer.transcribe(np.zeros(100), rate)


# Batches ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(recognizer: Recognizer, utterances: list[Utterance]) -> list[Transcript]:
    return [recognizer.transcribe(utterance) for utterance in utterances]


@given(st.data())
def test_a_text_is_the_same_alone_in_a_batch_and_in_any_order(recognizer, utterances, alone, data):
    order = data.draw(st.lists(st.sampled_from(range(len(utterances))), max_size=20))
    batch_seconds = data.draw(st.sampled_from([0.1, 2.0, 60.0]))
    reader = Recognizer(recognizer.checkpoint, "cpu", batch_seconds)
    results = list(reader.transcribe_all([utterances[i] for i in order]))
    assert results == [alone[i] for i in order]


class Speaker(torch.nn.Module):
    """Says these tokens, a frame each."""

    def __init__(self, tokens: list[int]) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, features, lengths):
        log_probs = torch.full((*features.shape[:2], 1 + max(self.tokens)), -9.0)
        log_probs[:, range(len(self.tokens)), self.tokens] = 0
        return log_probs, lengths


@pytest.mark.parametrize("said", ["a _ m", "  a m ", "_ _a_ _ _ m _", "aa  _   mm"])
def test_a_text_never_holds_two_spaces_in_a_row(recognizer, said):
    """Of tokens, "_" is blank: two spaces with one between them are two, as two letters are."""
    vocabulary = recognizer.checkpoint.vocabulary
    tokens = [vocabulary.blank if c == "_" else vocabulary.encode(f"a{c}")[1] for c in said]
    reader = Recognizer(replace(recognizer.checkpoint, model=Speaker(tokens)), "cpu")
    assert reader._decode([torch.zeros(len(tokens), 20)]) == ["a m"]


class Babbler(torch.nn.Module):
    """Says its second token in every other frame, behind an utterance's end as well."""

    def forward(self, features, lengths):
        log_probs = torch.full((*features.shape[:2], 4), -9.0)
        log_probs[:, ::2, 2] = log_probs[:, 1::2, 0] = 0
        return log_probs, lengths


def test_what_the_model_says_of_padding_is_not_heard(recognizer):
    checkpoint = replace(recognizer.checkpoint, model=Babbler())
    frames = [1, 2, 9, 4, 0]
    texts = Recognizer(checkpoint, "cpu")._decode([torch.zeros(n, 20) for n in frames])
    letter = checkpoint.vocabulary.decode([2])
    assert texts == [letter * ((n + 1) // 2) for n in frames]


def test_more_sources_than_a_window(recognizer, utterances, alone):
    count = 2 * WINDOW + 3
    sources = (utterances[i % len(utterances)] for i in range(count))  # no list, no length
    results = list(recognizer.transcribe_all(sources))
    assert results == [alone[i % len(alone)] for i in range(count)]


def test_results_come_while_the_sources_are_still_coming(recognizer, utterances):
    taken = 0

    def sources():
        nonlocal taken
        while True:
            taken += 1
            yield utterances[0]

    next(recognizer.transcribe_all(sources()))
    assert taken == WINDOW


def test_a_fault_stays_with_its_source(recognizer, utterances, alone, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    sources = [utterances[0], tmp_path / "text.wav", np.zeros(0), utterances[1], "nowhere.wav"]
    results = list(recognizer.transcribe_all(sources))
    assert [type(result) for result in results] == [
        Transcript, AudioError, AudioError, Transcript, AudioError
    ]  # fmt: skip
    assert [results[0], results[3]] == alone[:2]
    assert "text.wav" in str(results[1])
    with pytest.raises(AudioError, match=r"nowhere\.wav"):
        recognizer.transcribe("nowhere.wav")


def test_nothing_in_nothing_out(recognizer):
    assert list(recognizer.transcribe_all([])) == []


@given(
    st.dictionaries(st.integers(0, 99), st.floats(0.01, 50), max_size=40),
    st.sampled_from([0.5, 20.0, 60.0]),
)
def test_groups_hold_everyone_once_and_little_padding(recognizer, seconds, batch_seconds):
    groups = list(Recognizer(recognizer.checkpoint, "cpu", batch_seconds)._group(seconds))
    assert sorted(i for group in groups for i in group) == sorted(seconds)
    for group in groups:
        longest = max(seconds[i] for i in group)
        assert len(group) == 1 or len(group) * longest <= batch_seconds


@given(st.integers(0, 40), st.integers(1, 80), st.sampled_from([0.5, 20.0, 60.0]))
def test_groups_of_one_length_are_full(recognizer, count, quarters, batch_seconds):
    seconds = dict.fromkeys(range(count), quarters / 4)
    groups = list(Recognizer(recognizer.checkpoint, "cpu", batch_seconds)._group(seconds))
    full = max(1, int(batch_seconds // (quarters / 4)))
    assert [len(group) for group in groups[:-1]] == [full] * ((count - 1) // full if count else 0)


def test_a_cache_is_used(recognizer, utterances, alone):
    cache = AudioCache(RATE, 10_000_000)
    for utterance in utterances[:3]:
        cache.read(utterance)
    reads = []
    cache.read = lambda u, read=cache.read: reads.append(u.id) or read(u)  # type: ignore[method-assign]
    assert list(recognizer.transcribe_all(utterances[:3], cache)) == alone[:3]
    assert reads == [u.id for u in utterances[:3]]


# Loading ------------------------------------------------------------------------------------------


def test_the_public_name_and_its_json(tone_run, utterances):
    result = speechgru.Recognizer.load(str(tone_run)).transcribe(utterances[0].audio)
    assert isinstance(result, speechgru.Transcript)
    assert result.to_json() == {"text": utterances[0].text, "duration": result.duration}


def test_a_model_file_and_its_folder_are_the_same(tone_run, utterances, alone):
    loaded = Recognizer.load(tone_run / "model.safetensors", "cpu")
    assert list(loaded.transcribe_all(utterances)) == alone


def test_a_model_that_trained_is_not_left_in_training(recognizer):
    assert not recognizer.checkpoint.model.training


@pytest.mark.parametrize("name", ["nowhere", "n" * 300])  # longer than a file system allows
def test_what_is_no_model(tmp_path, name):
    with pytest.raises(CheckpointError) as caught:
        Recognizer.load(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path}/{name}: no such file; expected a run folder")


def test_an_unknown_precision_names_the_choices(tone_run):
    with pytest.raises(SpeechgruError, match=r"'int3': expected one of float32"):
        Recognizer.load(tone_run, "cpu", "int3")


@pytest.mark.parametrize("precision", kernels.PRECISIONS)
def test_every_layer_takes_the_precision(monkeypatch, tone_run, precision):
    asked = []
    monkeypatch.setattr(RecurrentLayer, "set_precision", lambda _, name: asked.append(name))
    recognizer = Recognizer.load(tone_run, "cpu", precision)
    layers = len(recognizer.checkpoint.model.recurrent_layers())
    assert asked[-layers:] == [precision] * layers  # before these, each was made in float32


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu", "meta", "mps", "cuda:x", "", "CPU "])
def test_an_unknown_device_names_the_choices(name):
    with pytest.raises(SpeechgruError, match=r"expected auto, cpu, cuda or cuda:N"):
        choose_device(name)


def test_a_device_that_is_not_there_is_counted():
    with pytest.raises(SpeechgruError, match=r"'cuda:99': this machine has \d+ GPUs"):
        choose_device("cuda:99")
