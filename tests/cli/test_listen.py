"""`transcribe -` and `listen`."""

import io
import json
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from tones import RATE, say

from speechgru.streaming import Final, Stream

PAUSE = np.zeros(RATE, np.float32)
WAVE = np.concatenate([say("am mo", 1), PAUSE, say("oa", 2)])


def wav(samples: np.ndarray = WAVE, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


@pytest.fixture
def pipe(monkeypatch):
    """`pipe(data)`: standard input."""

    def give(data: bytes, terminal: bool = False) -> None:
        file = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: terminal)
        monkeypatch.setattr(sys, "stdin", file)

    return give


def test_a_pipe_gets_a_line_per_utterance(speechgru, stream_run, pipe):
    pipe(wav())
    result = speechgru("transcribe", "-", "--model", stream_run)
    assert (result.status, result.out) == (0, "am mo\noa\n")


@pytest.mark.parametrize("mistake", ["cut off", "NaN"])
def test_what_comes_before_audio_that_cannot_be_read_is_recognised(
    speechgru, stream_run, pipe, mistake
):
    samples = np.concatenate([WAVE, np.full(9, np.nan)]).astype("<f4").tobytes()
    pipe(wav()[:-1001] if mistake == "cut off" else samples)
    raw = [] if mistake == "cut off" else ["--rate", str(RATE), "--encoding", "f32"]
    result = speechgru("transcribe", "-", "--model", stream_run, *raw)
    assert result.out.startswith("am mo\no")
    assert result.status == (1 if mistake == "cut off" else 2)
    assert len(result.err.splitlines()) == 1


class Recorder(io.BytesIO):
    """Samples of a program that gets the Ctrl-C, too, after `before` of them: what it has recorded
    is still in the pipe. Then it `ends`, or does not."""

    def __init__(self, samples: np.ndarray, before: int, ends: bool = True) -> None:
        super().__init__((samples * 32767).astype("<i2").tobytes())
        self.before, self.ends = 2 * before, ends

    def read1(self, size: int = -1) -> bytes:
        if self.before is not None and self.seek(0, io.SEEK_CUR) >= self.before:
            self.before = None
            signal.raise_signal(signal.SIGINT)
        data = self.read(size)
        if not data and not self.ends:
            time.sleep(9)
            pytest.fail("waited on")
        return data


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("before", [RATE, len(WAVE)])
def test_ctrl_c_while_standard_input_is_waited_for(
    speechgru, stream_run, monkeypatch, before, ends
):
    recorder = Recorder(WAVE, before, ends)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=recorder, isatty=lambda: False))
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)]
    result = speechgru("transcribe", "-", "-m", stream_run, "--rate", str(RATE))
    assert (result.status, result.out) == (0, "am mo\noa\n")
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGALRM)] == handlers


def test_ctrl_c_that_ends_a_wav_early_is_no_error(speechgru, stream_run, monkeypatch):
    recorder = Recorder(WAVE, RATE)
    header = wav(np.tile(WAVE, 9))[:44]
    recorder.write(header + recorder.getvalue())
    recorder.seek(0)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=recorder, isatty=lambda: False))
    result = speechgru("transcribe", "-", "-m", stream_run)
    assert (result.status, result.out, result.err) == (0, "am mo\noa\n", "")


def test_raw_samples_as_json(speechgru, stream_run, pipe):
    pipe((WAVE * 32767).astype("<i2").tobytes())
    result = speechgru("transcribe", "-", "-m", stream_run, "--rate", str(RATE), "-f", "JSON")
    first, second = map(json.loads, result.out.splitlines())
    assert (first["text"], second["text"]) == ("am mo", "oa")
    assert first["start"] == 0
    assert second["start"] > 0.7
    assert second["words"][0]["start"] > second["start"]


def test_a_terminal_gets_partial_texts_too(speechgru, stream_run, pipe, monkeypatch):
    pipe(wav())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = speechgru("transcribe", "-", "-m", stream_run).out.split("\r\x1b[K")
    partials = lines[: lines.index("am mo\n")]
    assert len(partials) > 2
    assert all("am mo".startswith(partial) for partial in partials)
    assert lines[-2:] == ["oa\n", ""]


@pytest.mark.parametrize(
    ("words", "data", "terminal", "found"),
    [
        (["-", "other.wav"], wav(), False, "-"),
        (["-", "--out", "x"], wav(), False, "--out"),
        (["-", "-f", "srt"], wav(), False, "srt"),
        (["-", "--encoding", "s8", "--rate", "8000"], wav(), False, "s8"),
        (["-", "--rate", "3"], wav(), False, "3 Hz"),
        (["-", "--rate", "8000"], wav(), False, "--rate"),
        (["-"], b"no audio at all", False, "WAV"),
        (["-"], b"", True, "terminal"),
    ],
)
def test_wrong_use_is_one_line(speechgru, stream_run, pipe, words, data, terminal, found):
    pipe(data, terminal)
    result = speechgru("transcribe", *words, "-m", stream_run)
    assert result.status == 2
    assert found in result.err
    assert len(result.err.splitlines()) == 1


def test_a_bidirectional_model_is_refused(speechgru, tone_run, pipe):
    pipe(wav())
    result = speechgru("transcribe", "-", "-m", tone_run)
    assert result.status == 2
    assert "bidirectional" in result.err
    assert len(result.err.splitlines()) == 1


# The microphone ---------------------------------------------------------------------------------


class Microphone:
    """Stands for sounddevice.InputStream: WAVE, then Ctrl-C."""

    def __init__(self, rate: int, **options: object) -> None:
        self.rate, self.options, self.position = rate, options, 0

    def start(self) -> None:
        pass

    def __enter__(self) -> "Microphone":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, count: int) -> tuple[np.ndarray, bool]:
        part = WAVE[self.position : self.position + count]
        self.position += count
        if not len(part):
            signal.raise_signal(signal.SIGINT)
            time.sleep(9)
            pytest.fail("waited on")
        return part[:, None], False


@pytest.fixture
def device(monkeypatch):
    class Missing(Exception):
        pass

    def query(device: object, kind: str) -> dict[str, float]:
        if device == "none":
            raise ValueError("no such device")
        return {"default_samplerate": float(RATE)}

    module = SimpleNamespace(query_devices=query, InputStream=Microphone, PortAudioError=Missing)
    monkeypatch.setitem(sys.modules, "sounddevice", module)


def test_the_microphone_is_transcribed_until_ctrl_c(speechgru, stream_run, device):
    result = speechgru("listen", "-m", stream_run)
    assert (result.status, result.out) == (0, "am mo\noa\n")


def test_ctrl_c_while_a_block_is_recognised(speechgru, stream_run, device, monkeypatch):
    accept, handler = Stream.accept, signal.getsignal(signal.SIGINT)
    left = [len(say("am mo", 1)) + RATE // 5]  # samples until Ctrl-C, in the first pause

    def interrupted(self: Stream, samples: np.ndarray) -> list[Final]:
        left[0] -= len(samples)
        if left[0] < 0:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.05)
        return accept(self, samples)

    monkeypatch.setattr(Stream, "accept", interrupted)
    monkeypatch.setattr("speechgru.cli.listen.GRACE", 0.01)
    result = speechgru("listen", "-m", stream_run)
    assert (result.status, result.out) == (0, "am mo\n")
    assert signal.getsignal(signal.SIGINT) == handler


def test_a_microphone_that_is_missing_is_named(speechgru, stream_run, device):
    result = speechgru("listen", "-m", stream_run, "--microphone", "none")
    assert result.status == 2
    assert "'none'" in result.err
    assert len(result.err.splitlines()) == 1


def test_a_microphone_that_fails_loses_nothing(speechgru, stream_run, device, monkeypatch):
    read = Microphone.read

    def unplugged(self: Microphone, count: int) -> tuple[np.ndarray, bool]:
        if self.position >= len(say("am mo", 1)):
            raise sys.modules["sounddevice"].PortAudioError("device unavailable")
        return read(self, count)

    monkeypatch.setattr(Microphone, "read", unplugged)
    result = speechgru("listen", "-m", stream_run)
    assert (result.status, result.out) == (2, "am mo\n")
    assert "microphone: reading failed (device unavailable)" in result.err


def test_without_the_package_there_is_one_line(speechgru, stream_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = speechgru("listen", "-m", stream_run)
    assert result.status == 2
    assert "speechgru[sounddevice]" in result.err
    assert len(result.err.splitlines()) == 1
