"""Recognizer: any source to its emission and its text, independent of batches; errors stay with
their source."""

import io
import os
import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
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
from speechgru.audio.arrays import mono
from speechgru.batches import AudioCache
from speechgru.checkpoint import ModelConfig, new_checkpoint
from speechgru.decoding import Emission, Greedy, Hypothesis, Transcript
from speechgru.errors import AudioError, CheckpointError, SpeechgruError
from speechgru.manifest import Utterance, read_manifest
from speechgru.recipe import FeatureRecipe, ModelRecipe, TextRecipe
from speechgru.recognizer import MAX_WINDOW, Recognizer, choose_device
from speechgru.sources import read_blocks
from speechgru.text import Vocabulary


@pytest.fixture(scope="module")
def recognizer(tone_run: Path) -> Recognizer:
    return Recognizer.load(tone_run, "cpu")


@pytest.fixture(scope="module")
def utterances(tones: Path) -> list[Utterance]:
    return read_manifest(tones / "test.jsonl")


def texts(results: object) -> list[str]:
    return [result.text for result in results]  # type: ignore[attr-defined]


def test_few_compiled_convolutions_are_kept_unless_the_user_wants_more(tone_run, monkeypatch):
    """oneDNN reads the variable at its first convolution; without, memory grows with the hour."""
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, "7")
    Recognizer.load(tone_run, "cpu")
    assert os.environ[name] == "7"
    monkeypatch.delenv(name)
    Recognizer.load(tone_run, "cpu")
    assert int(os.environ[name]) < 100


# Sources ------------------------------------------------------------------------------------------


def test_file_utterance_and_samples_give_one_text(recognizer, utterances):
    utterance = utterances[2]
    wave, rate = soundfile.read(utterance.audio, dtype="float32")
    assert rate == RATE
    results = {
        recognizer.transcribe(source)
        for source in (str(utterance.audio), utterance.audio, utterance, wave)
    }
    assert [(t.text, t.duration) for t in results] == [(utterance.text, round(len(wave) / RATE, 3))]


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


def test_bytes_and_open_files_are_audio_files(recognizer, utterances):
    expected = recognizer.transcribe(utterances[2])
    data = Path(utterances[2].audio).read_bytes()
    with open(utterances[2].audio, "rb") as file:
        for source in (data, bytearray(data), memoryview(data), io.BytesIO(data), file):
            assert recognizer.transcribe(source) == expected


def test_bad_bytes_and_open_files_are_named(recognizer, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF no audio")
    with open(tmp_path / "bad.wav", "rb") as file, pytest.raises(AudioError) as caught:
        recognizer.transcribe(file)
    assert str(caught.value).startswith(f"{tmp_path}/bad.wav: ")
    with pytest.raises(AudioError, match=r"^<bytes>: "):
        recognizer.transcribe(b"no audio")
    written = io.BytesIO()
    soundfile.write(written, say("oa", 1), RATE, format="WAV")
    written.seek(0, io.SEEK_END)
    with pytest.raises(AudioError, match=r"^<BytesIO>: .*seek\(0\)"):
        recognizer.transcribe(written)


def test_an_utterance_is_its_part_of_the_file(recognizer, tmp_path):
    first, second = say("am mo", 1), say("oa", 2)
    soundfile.write(tmp_path / "both.wav", np.concatenate([first, second]), RATE)
    duration = len(first) / RATE
    parts = [
        Utterance(tmp_path / "both.wav", duration, "", "1"),
        Utterance(tmp_path / "both.wav", len(second) / RATE, "", "2", offset=duration),
    ]
    assert texts(recognizer.transcribe_all(parts)) == ["am mo", "oa"]


def test_bytes_are_not_taken_for_an_array():
    with pytest.raises(AudioError, match=r"bytes.*frombuffer"):
        mono(bytes(99))


@pytest.mark.parametrize("order", ["<i2", ">i2"])  # WAV's, and that of AU and SPHERE
def test_integers_are_scaled_to_the_range_of_floats(order):
    """Most models do not mind: their features are normalised."""
    samples = np.array([-32768, 0, 16384], order)
    assert mono(samples).tolist() == [-1.0, 0.0, 0.5]


@pytest.mark.parametrize("length", [1, 10, 199, 200, 201, 279, 280, 400])
def test_audio_shorter_than_a_word_is_no_error(recognizer, length):
    rng = np.random.default_rng(length)
    result = recognizer.transcribe(0.001 * rng.standard_normal(length))
    assert len(result.text) <= 2
    assert result.duration == round(length / RATE, 3)


def test_silence_is_no_error(recognizer):
    assert recognizer.transcribe(np.zeros(RATE, np.float32)).duration == 1.0


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(RATE), "silent"),
        (np.full(RATE, 0.1), "silent"),  # a recorder's offset
        (np.resize([0, 1, 0, -1], RATE) / 32768, "silent"),
        (0.1 * np.resize([1.0, -1.0], RATE // 30), "too short"),
        (np.full(3, 0.1), "too short"),
    ],
)
def test_an_empty_text_has_a_reason(recognizer, samples, reason):
    """Even from a model that would write a letter per frame."""
    speaker = Recognizer(replace(recognizer.checkpoint, model=Speaker([2, 0])), "cpu")
    result = speaker.transcribe(samples)
    assert (result.text, result.words, result.reason) == ("", (), reason)
    assert result.to_json()["reason"] == reason


@pytest.mark.parametrize(
    ("level", "reason"), [(1e-4, "too quiet"), (0.1, "nothing recognised"), (0.1, None)]
)
def test_the_reason_of_a_model_that_finds_nothing(recognizer, level, reason):
    tokens = [0] if reason else [2]
    speaker = Recognizer(replace(recognizer.checkpoint, model=Speaker([*tokens, 0])), "cpu")
    noise = level * np.random.default_rng(0).standard_normal(RATE)
    assert speaker.transcribe(noise).reason == reason


@pytest.mark.parametrize(
    ("samples", "named"),
    [
        (np.zeros(0, np.float32), r"shape \(0,\)"),
        (np.zeros((0, 2), np.float32), r"shape \(0, 2\)"),
        (np.zeros((4, 0), np.float32), r"shape \(4, 0\)"),
        (np.zeros((2, 2, 2), np.float32), r"shape \(2, 2, 2\)"),
        (np.zeros((1, 800), np.float32), r"shape \(1, 800\).*samples\.T"),
        (np.zeros((2, 16), np.float32), r"shape \(2, 16\).*samples\.T"),
        (np.zeros((800, 33), np.float32), r"shape \(800, 33\).* 32 "),
        (np.zeros(9, np.int32), "int32"),
        (np.zeros(9, np.complex64), "complex64"),
        (np.array(["a"]), "<U1"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, -np.inf]), "infinity"),
    ],
)
@pytest.mark.parametrize("rate", [None, 44100])
def test_arrays_that_are_no_audio_are_refused(recognizer, samples, named, rate):
    with pytest.raises(AudioError, match=named):
        recognizer.transcribe(samples, rate)


@pytest.mark.parametrize("rate", [None, 44100])
@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (torch.zeros(800), "Tensor"),
        ([0.0] * 800, "list"),
        (b"a.wav", "bytes"),
        (None, "NoneType"),
        (io.StringIO("a"), "StringIO"),
    ],
)
def test_sources_of_another_type_are_refused(recognizer, source, kind, rate):
    with pytest.raises(AudioError, match=kind):
        recognizer.transcribe(source, rate)


@pytest.mark.parametrize("rate", [0, -16000, 10**9])
def test_impossible_sample_rates_are_refused(recognizer, rate):
    with pytest.raises(AudioError, match=f" {rate} Hz"):
        recognizer.transcribe(np.zeros(100), rate)


# Batches ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(recognizer: Recognizer, utterances: list[Utterance]) -> list[Transcript]:
    return [recognizer.transcribe(utterance) for utterance in utterances]


@given(st.data())
def test_a_text_is_the_same_alone_in_a_batch_and_in_any_order(recognizer, utterances, alone, data):
    order = data.draw(st.lists(st.sampled_from(range(len(utterances))), max_size=20))
    batch_seconds = data.draw(st.sampled_from([0.1, 2.0, 60.0]))
    other = Recognizer(recognizer.checkpoint, "cpu", batch_seconds)
    results = list(other.transcribe_all([utterances[i] for i in order]))
    assert results == [alone[i] for i in order]


class Speaker(torch.nn.Module):
    """Outputs these tokens, one per frame, beyond an utterance's end as well."""

    def __init__(self, tokens: list[int]) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, features, lengths):
        frames = features.shape[1]
        tokens = (self.tokens * frames)[:frames]
        log_probs = torch.full((*features.shape[:2], 1 + max(self.tokens)), -9.0)
        log_probs[:, range(frames), tokens] = 0
        return log_probs, lengths


def frames_of_audio(recognizer: Recognizer, frames: int) -> np.ndarray:
    """At least 0.05 s, which is the shortest audio that can have a text."""
    extract = recognizer.checkpoint.extract
    length = extract.n_fft + (frames - 1) * extract.hop
    return 0.1 * np.random.default_rng(0).standard_normal(length).astype(np.float32)


@pytest.mark.parametrize("path", ["a _ m", "  a m ", "_ _a_ _ _ m _", "aa  _   mm"])
def test_a_text_never_has_two_spaces_in_a_row(recognizer, path):
    """In the path, "_" is blank: two spaces with one between them are two tokens."""
    vocabulary = recognizer.checkpoint.vocabulary
    tokens = [vocabulary.blank if c == "_" else vocabulary.encode(f"a{c}")[1] for c in path]
    speaker = Recognizer(replace(recognizer.checkpoint, model=Speaker(tokens)), "cpu")
    assert speaker.transcribe(frames_of_audio(recognizer, len(tokens))).text == "a m"


def test_the_output_for_padding_is_ignored(recognizer):
    speaker = Recognizer(replace(recognizer.checkpoint, model=Speaker([2, 0])), "cpu")
    frames = [5, 6, 9, 4]
    results = speaker.transcribe_all([frames_of_audio(recognizer, n) for n in frames])
    letter = recognizer.checkpoint.vocabulary.decode([2])
    assert texts(results) == [letter * ((n + 1) // 2) for n in frames]


def test_more_sources_than_a_window(recognizer, utterances, alone):
    """Windows end where the audio of the smallest batches does."""
    small = Recognizer(recognizer.checkpoint, "cpu", batch_seconds=0.5)
    count = 3 * MAX_WINDOW
    sources = (utterances[i % len(utterances)] for i in range(count))  # no list, no length
    results = list(small.transcribe_all(sources))
    assert results == [alone[i % len(alone)] for i in range(count)]


def counting(taken: list[object], source: object):
    """The same source without end."""
    while True:
        taken.append(source)
        yield source


@pytest.mark.parametrize(
    ("source", "batch"),
    [
        (np.zeros(3 * RATE, np.float32), 10),  # of 3 s: 30 s of audio
        (np.zeros(RATE // 10, np.float32), 30),  # short ones
        ("nowhere.wav", 30),  # errors
    ],
    ids=["long", "short", "errors"],
)
def test_the_first_result_needs_one_source_only_and_the_next_ones_a_batch(
    recognizer, source, batch
):
    taken: list[object] = []
    results = recognizer.transcribe_all(counting(taken, source))
    next(results)
    assert len(taken) == 1
    next(results)
    assert len(taken) == 1 + batch
    for _ in range(batch):  # the rest of the second window, and one of the third
        next(results)
    assert len(taken) == 1 + 3 * batch


def test_a_window_is_bounded(recognizer):
    taken: list[object] = []
    small = Recognizer(recognizer.checkpoint, "cpu", batch_seconds=1.0)
    results = small.transcribe_all(counting(taken, np.zeros(RATE, np.float32)))
    ahead = 0
    for number in range(1, 300):
        next(results)
        ahead = max(ahead, len(taken) - number)
    assert ahead == MAX_WINDOW - 1


def test_an_error_stays_with_its_source(recognizer, utterances, alone, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    sources = [utterances[0], tmp_path / "text.wav", np.zeros(0), utterances[1], "nowhere.wav"]
    results = list(recognizer.transcribe_all(sources))
    assert [type(result) for result in results] == [
        Transcript, AudioError, AudioError, Transcript, AudioError
    ]  # fmt: skip
    assert [results[0], results[3]] == alone[:2]
    assert "text.wav" in str(results[1])
    with pytest.raises(AudioError, match=r"nowhere\.wav"):
        recognizer.transcribe("nowhere.wav")


def test_no_sources_no_results(recognizer):
    assert list(recognizer.transcribe_all([])) == []


@given(
    st.dictionaries(st.integers(0, 99), st.floats(0.01, 50), max_size=40),
    st.sampled_from([0.5, 20.0, 60.0]),
)
def test_groups_have_everything_once_and_little_padding(recognizer, seconds, batch_seconds):
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
    found = map(recognizer.decode, recognizer.emissions(utterances[:3], cache))
    assert list(found) == alone[:3]
    assert reads == [u.id for u in utterances[:3]]


# Long recordings ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(utterances) -> tuple[np.ndarray, list[str], list[tuple[float, float]]]:
    """A minute: utterances with pauses of 0.5 s in faint noise, their texts and places."""
    words: list[str] = []
    places: list[tuple[float, float]] = []
    parts: list[np.ndarray] = []
    rng = np.random.default_rng(0)
    while sum(map(len, parts)) < 60 * RATE:
        utterance = utterances[len(words) % len(utterances)]
        words.append(utterance.text)
        pause = 0.003 * rng.standard_normal(RATE // 2).astype(np.float32)
        begin = sum(map(len, parts)) / RATE
        places.append((begin, begin + utterance.duration))
        parts += [soundfile.read(utterance.audio, dtype="float32")[0], pause]
    return np.concatenate(parts), words, places


def test_a_long_recording_is_transcribed_in_sections(recognizer, long):
    samples, words, places = long
    progress: list[tuple[int, float]] = []
    (result,) = recognizer.transcribe_all(
        [samples], on_progress=lambda index, seconds: progress.append((index, seconds))
    )
    assert result.text == " ".join(words)
    assert result.duration == pytest.approx(len(samples) / RATE, abs=1e-3)
    seconds = [done for _, done in progress]
    assert len(seconds) > 10
    assert seconds == sorted(seconds)
    assert seconds[-1] == pytest.approx(result.duration, abs=1e-3)
    ends = [word.end for word in result.words]
    assert ends == sorted(ends)
    # times do not drift: the words of each utterance are where it is
    found = list(result.words)
    for text, (begin, end) in zip(words, places, strict=True):
        for _ in text.split():
            word = found.pop(0)
            assert begin - 0.3 <= word.start < word.end <= end + 0.3


def test_a_long_recording_s_emission_has_its_sections(recognizer, long):
    (emission,) = recognizer.emissions([long[0]])
    assert recognizer.decode(emission) == recognizer.transcribe(long[0])
    assert len(emission.log_probs) * emission.seconds_per_frame == pytest.approx(
        emission.duration, abs=0.1
    )


def test_memory_does_not_grow_with_the_length_of_a_recording(recognizer, long, monkeypatch):
    """Two and five minutes; three minutes of samples are 6 MB. tracemalloc counts arrays, and
    tensors of features are counted by their frames."""
    small = Recognizer(recognizer.checkpoint, batch_seconds=5.0)
    alive: list[int] = []
    most = [0]
    extract = type(recognizer.checkpoint.extract).__call__

    def counted(self, samples, *options):
        features = extract(self, samples, *options)
        alive.append(len(features))
        weakref.finalize(features, alive.remove, len(features))
        most[0] = max(most[0], sum(alive))
        return features

    def peak(minutes: int) -> tuple[int, int]:
        block = long[0]
        monkeypatch.setattr(
            "speechgru.recognizer.read_blocks", lambda *_: (block for _ in range(minutes))
        )
        most[0] = 0
        tracemalloc.start()
        try:
            (transcript,) = small.transcribe_all(["long.wav"])
            assert transcript.duration > 59 * minutes
            return tracemalloc.get_traced_memory()[1], most[0]
        finally:
            tracemalloc.stop()

    monkeypatch.setattr(type(recognizer.checkpoint.extract), "__call__", counted)
    (short_bytes, short_frames), (long_bytes, long_frames) = peak(2), peak(5)
    assert long_bytes < short_bytes + 2_000_000  # the words themselves
    assert long_frames < 1.5 * short_frames


def test_a_long_file_is_read_in_blocks(recognizer, long, tmp_path, utterances):
    soundfile.write(tmp_path / "long.wav", long[0], RATE)
    sources = [utterances[0], tmp_path / "long.wav", "nowhere.wav", utterances[1]]
    one, two, error, three = recognizer.transcribe_all(sources)
    assert one == recognizer.transcribe(utterances[0])
    assert two.text == " ".join(long[1])
    assert isinstance(error, AudioError)
    assert three == recognizer.transcribe(utterances[1])


@pytest.mark.parametrize("cached", [False, True])
def test_a_long_array_is_read_in_blocks(long, cached):
    """What cuts a recording copies the blocks that it has: all of one block for every segment."""
    cache = AudioCache(RATE, 0)
    cache.read = lambda utterance: long[0]  # type: ignore[method-assign]
    source = Utterance("long.wav", 60.0, "", "long") if cached else long[0]
    blocks = list(read_blocks(source, RATE, cache))
    assert max(map(len, blocks)) < len(long[0]) / 5
    assert np.array_equal(np.concatenate(blocks), long[0])


def test_a_long_file_that_is_truncated_is_an_error(recognizer, long, tmp_path, utterances):
    soundfile.write(tmp_path / "long.flac", long[0], RATE)
    data = (tmp_path / "long.flac").read_bytes()
    (tmp_path / "long.flac").write_bytes(data[: 2 * len(data) // 3])
    bad, good = recognizer.transcribe_all([tmp_path / "long.flac", utterances[1]])
    assert isinstance(bad, AudioError)
    assert good == recognizer.transcribe(utterances[1])


def test_without_a_pause_pieces_are_stitched(recognizer, utterances):
    """No word is lost or doubled at a seam: the text is that of the whole recording in one run."""
    audio = [soundfile.read(utterance.audio, dtype="float32")[0] for utterance in utterances]
    samples = np.concatenate([each[300:-300] for each in audio] * 9)
    (emission,) = recognizer.emissions([samples])
    assert len(samples) > 45 * RATE
    assert emission.cuts == ()
    (table,) = recognizer._forward([recognizer.checkpoint.extract(samples)])
    assert len(table) == len(emission.log_probs)
    whole = recognizer.decode(replace(emission, log_probs=table))
    assert recognizer.decode(emission).text == whole.text


# Emissions and decoders ---------------------------------------------------------------------------


def test_emissions_are_log_probabilities_in_order(recognizer, utterances, tmp_path):
    emissions = list(recognizer.emissions([utterances[0], "nowhere.wav", utterances[1]]))
    assert [type(item) for item in emissions] == [Emission, AudioError, Emission]
    for emission, utterance in ((emissions[0], utterances[0]), (emissions[2], utterances[1])):
        assert emission.log_probs.dtype == np.float32
        assert emission.log_probs.shape[1] == len(recognizer.checkpoint.vocabulary)
        np.testing.assert_allclose(np.exp(emission.log_probs).sum(1), 1, rtol=1e-5)
        assert emission.duration == pytest.approx(utterance.duration, abs=1e-3)
        assert recognizer.decode(emission) == recognizer.transcribe(utterance)


def test_decoding_runs_outside_of_inference_mode_with_the_given_decoder(recognizer, utterances):
    modes = []

    def first_letter(emission: Emission) -> Hypothesis:
        modes.append(torch.is_inference_mode_enabled())
        return Hypothesis((2,), (0,), 0.0)

    other = Recognizer(recognizer.checkpoint, "cpu", decoder=first_letter)
    letter = recognizer.checkpoint.vocabulary.decode([2])
    assert texts(other.transcribe_all(utterances[:3])) == [letter] * 3
    assert other.transcribe(utterances[0]).text == letter
    assert modes == [False] * 4


@pytest.mark.parametrize("factor", [1, 3, 4])
@pytest.mark.parametrize("subsampling", ["stack", "conv"])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_click_at_a_frame_s_time_is_loudest_in_the_frame(factor, subsampling, rate):
    features = FeatureRecipe(sample_rate=rate, mels=20, normalise="none")
    model = ModelRecipe(layers=1, hidden_size=8, factor=factor, subsampling=subsampling)
    config = ModelConfig(text=TextRecipe(), features=features, model=model)
    checkpoint = new_checkpoint(config, Vocabulary.from_texts(["ab"]), {})
    checkpoint.model.eval()
    samples = np.zeros(rate, np.float32)
    (emission,) = Recognizer(checkpoint, "cpu").emissions([samples])
    assert isinstance(emission, Emission)
    for frame in (0, 5):
        samples[:] = 0
        samples[round(emission.seconds(frame) * rate)] = 1
        loudest = int(checkpoint.extract.raw(samples)[0].sum(1).argmax())
        assert loudest == frame * factor  # the model frame's first feature frame
    assert emission.seconds_per_frame == pytest.approx(factor * 0.010)
    assert len(emission.log_probs) == pytest.approx(1 / emission.seconds_per_frame, abs=3)


# Loading ------------------------------------------------------------------------------------------


def test_the_public_name_and_its_json(tone_run, utterances):
    result = speechgru.Recognizer.load(str(tone_run)).transcribe(utterances[0].audio)
    assert isinstance(result, speechgru.Transcript)
    values = result.to_json()
    assert set(values) == {"text", "duration", "confidence", "words"}
    assert (values["text"], values["duration"]) == (utterances[0].text, result.duration)
    assert " ".join(word["word"] for word in values["words"]) == utterances[0].text


def test_a_model_file_and_its_folder_are_the_same(tone_run, utterances, alone):
    loaded = Recognizer.load(tone_run / "model.safetensors", "cpu")
    assert list(loaded.transcribe_all(utterances)) == alone


def test_a_loaded_model_is_not_in_training_mode(recognizer):
    assert not recognizer.checkpoint.model.training


@pytest.fixture
def log_probs(recognizer, utterances) -> np.ndarray:
    (emission,) = recognizer.emissions(utterances[:1])
    return emission.log_probs


@pytest.fixture(params=[torch.float64, torch.bfloat16, "meta", "autocast"])
def program(request) -> Iterator[None]:
    """What a program may have chosen for its own models."""
    with ExitStack() as stack:
        if isinstance(request.param, torch.dtype):
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(request.param)
        elif request.param == "meta":
            stack.enter_context(torch.device("meta"))
        else:
            stack.enter_context(torch.autocast("cpu", torch.bfloat16))
        yield


def test_the_program_s_choices_for_torch_change_nothing(
    log_probs, program, alone, utterances, tone_run, monkeypatch
):
    monkeypatch.delattr(torch, "set_default_dtype")  # it changes what other threads make
    loaded = Recognizer.load(tone_run, "cpu")
    assert list(loaded.transcribe_all(utterances)) == alone
    assert np.array_equal(next(loaded.emissions(utterances[:1])).log_probs, log_probs)


@pytest.mark.parametrize("name", ["nowhere", "n" * 300])  # longer than a file system allows
def test_a_missing_model_is_named(tmp_path, name):
    with pytest.raises(CheckpointError) as caught:
        Recognizer.load(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_options_of_load(tone_run):
    loaded = Recognizer.load(tone_run, "cpu", batch_seconds=7.5, decoder="greedy")
    assert loaded.batch_seconds == 7.5
    assert isinstance(loaded.decoder, Greedy)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"precision": "int3"}, "'int3'.*float32, bfloat16"),
        ({"decoder": "gredy"}, "'gredy'.*greedy"),
        ({"batch_seconds": 0}, "batch_seconds 0"),
        ({"batch_seconds": float("nan")}, "batch_seconds nan"),
    ],
)
def test_impossible_options_name_the_choices(tone_run, options, named):
    with pytest.raises(SpeechgruError, match=named):
        Recognizer.load(tone_run, "cpu", **options)


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_reduced_precision_on_a_gpu_is_refused(monkeypatch, tone_run, device):
    """It would have no effect: the kernels that have it are for CPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SpeechgruError, match=r"bfloat16.*cuda"):
        Recognizer.load(tone_run, device, "bfloat16")


@pytest.mark.parametrize("precision", kernels.PRECISIONS)
def test_every_layer_takes_the_precision(monkeypatch, tone_run, precision):
    monkeypatch.setattr(kernels, "unsupported_reason", lambda name="float32": None)
    monkeypatch.setattr("speechgru.cells.precision.time_ratio", lambda *_: 0.5)
    recognizer = Recognizer.load(tone_run, "cpu", precision)
    layers = recognizer.checkpoint.model.recurrent_layers()
    assert {layer.precision for layer in layers} == {precision}


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu", "meta", "mps", "cuda:x", "", "CPU "])
def test_an_unknown_device_names_the_choices(name):
    with pytest.raises(SpeechgruError, match="auto, cpu, cuda"):
        choose_device(name)


def test_an_absent_gpu_is_refused_with_their_number():
    with pytest.raises(SpeechgruError, match=rf"'cuda:99'.* {torch.cuda.device_count()} GPUs"):
        choose_device("cuda:99")
