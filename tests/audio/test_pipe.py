"""WAV and samples without a header, from a pipe."""

import io
import struct

import numpy as np
import pytest
import soundfile
from recordings import encode, tones

from speechgru.audio.pipe import read_raw_pipe, read_wav_pipe
from speechgru.errors import AudioError

WAVE = (0.5 * np.sin(np.arange(3000) / 9)).astype(np.float32)


class Pipe(io.BytesIO):
    """Gives at most seven bytes at once and cannot be searched."""

    def read1(self, size: int = -1) -> bytes:
        return self.read(min(size, 7))

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def seekable(self) -> bool:
        return False


def wav(subtype: str = "PCM_16", channels: int = 1, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.stack([WAVE] * channels, 1), 8000, subtype, format=kind)
    return file.getvalue()


def read(data: bytes) -> tuple[int, np.ndarray]:
    rate, pieces = read_wav_pipe(Pipe(data), "pipe")
    return rate, np.concatenate(list(pieces))


def read_until_error(data: bytes) -> tuple[np.ndarray, AudioError]:
    pieces = []
    with pytest.raises(AudioError, match=r"^pipe: ") as raised:
        pieces.extend(read_wav_pipe(Pipe(data), "pipe")[1])
    return np.concatenate([np.empty((0, 1)), *pieces]), raised.value


@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_32", "FLOAT"])
def test_wav_is_read(subtype, channels, kind):
    rate, samples = read(wav(subtype, channels, kind))
    assert rate == 8000
    assert samples.shape == (len(WAVE), channels)
    np.testing.assert_allclose(samples, np.stack([WAVE] * channels, 1), atol=1e-4)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_recorder_that_does_not_know_the_length_yet(size):
    data = wav()
    at = data.index(b"data") + 4
    data = data[:at] + struct.pack("<I", size) + data[at + 4 :]
    np.testing.assert_allclose(read(data)[1][:, 0], WAVE, atol=1e-4)


def test_what_follows_the_samples_is_not_read():
    data = wav() + b"LIST\4\0\0\0abcd"
    np.testing.assert_allclose(read(data)[1][:, 0], WAVE, atol=1e-4)


def test_a_recording_that_is_cut_off_is_read_to_its_end():
    samples, error = read_until_error(wav()[:-1001])
    assert len(samples) == 2499
    assert error.kind == "truncated"
    assert "2,499" in str(error)
    assert "3,000" in str(error)


def test_files_of_one_format_in_a_row():
    data = wav() + b"LIST\3\0\0\0abc\0" + wav() + wav()
    np.testing.assert_allclose(read(data)[1][:, 0], np.tile(WAVE, 3), atol=1e-4)
    samples, error = read_until_error(wav() + wav(channels=2))
    assert len(samples) == len(WAVE)
    assert "2 channels" in str(error)


def test_more_files_in_a_row_than_calls_can_be_nested():
    header = wav()[:40]
    one = header + struct.pack("<I", 2) + b"\1\2"
    assert len(read(one * 1500)[1]) == 1500


def test_another_data_chunk_is_read():
    size = len(WAVE) // 2 * 2
    data, at = wav(), wav().index(b"data") + 4
    first = data[:at] + struct.pack("<I", size) + data[at + 4 : at + 4 + size]
    second = (
        b"LIST\3\0\0\0abc\0data" + struct.pack("<I", 2 * len(WAVE) - size) + data[at + 4 + size :]
    )
    np.testing.assert_allclose(read(first + second)[1][:, 0], WAVE, atol=1e-4)


def test_another_format_behind_the_samples_is_an_error():
    file = io.BytesIO()
    soundfile.write(file, WAVE, 8000, format="FLAC")
    samples, error = read_until_error(wav() + file.getvalue())
    assert len(samples) == len(WAVE)
    assert "FLAC" in str(error)


@pytest.mark.parametrize("size", [0, 1, 2, 0xFFFFFFFF])
def test_no_audio_at_all_is_an_error(size):
    header = wav()[:44]
    samples, error = read_until_error(header[:40] + struct.pack("<I", size))
    assert (len(samples), error.kind) == (0, "empty")
    with pytest.raises(AudioError, match=r"^pipe: no audio"):
        list(read_raw_pipe(Pipe(b""), "s16", "pipe"))


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "AIFF", "CAF", "AU", "RF64", "W64"])
def test_other_formats_are_named(kind):
    file = io.BytesIO()
    soundfile.write(file, WAVE, 8000, format=kind)
    data = file.getvalue()
    for call in (lambda: read(data), lambda: list(read_raw_pipe(Pipe(data), "s16", "pipe"))):
        with pytest.raises(AudioError, match=rf"(?i)^pipe: {kind}: .*convert") as raised:
            call()
        assert "--rate" not in str(raised.value)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        ("MP3", "libmp3lame", {"format": "mp3", "id3v2_version": "0"}),
        ("MP3", "libmp3lame", {"format": "mp3", "id3v2_version": "0", "write_xing": "0"}),
        ("AAC", "aac", {"format": "adts"}),
        ("an MPEG transport stream", "aac", {"format": "mpegts"}),
    ],
)
def test_frames_without_a_header_are_named(tmp_path, rate, kind, codec, options):
    encode(tmp_path / "a", tones(1, rate), rate, codec, **options)
    data = (tmp_path / "a").read_bytes()
    for call in (lambda: read(data), lambda: list(read_raw_pipe(Pipe(data), "s16", "pipe"))):
        with pytest.raises(AudioError, match=rf"^pipe: {kind}: .*convert") as raised:
            call()
        assert "--rate" not in str(raised.value)


@pytest.mark.parametrize("beginning", [b"\xff\xfb\x90\0", b"\xff\xf1", b"G"])
def test_samples_that_begin_like_a_frame_are_read(beginning):
    samples = np.random.default_rng(0).integers(-9999, 9999, 4000).astype("<i2").tobytes()
    data = beginning + samples[len(beginning) :]
    pieces = list(read_raw_pipe(Pipe(data), "s16", "pipe"))
    assert b"".join((piece[:, 0] * 32768).astype("<i2").tobytes() for piece in pieces) == data
    assert list(read_raw_pipe(Pipe(beginning + b"\0"), "s16", "pipe"))


@pytest.mark.parametrize("beginning", [b"<!DOCTYPE html>", b"PK\3\4", b"\x1f\x8b\x08"])
def test_a_page_or_an_archive_is_not_taken_for_samples(beginning):
    with pytest.raises(AudioError, match=r"^pipe: (HTML|a ZIP archive|gzip): expected WAV$"):
        list(read_raw_pipe(Pipe(beginning + bytes(99)), "s16", "pipe"))


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF", b"OggS" + bytes(50), wav()[:30], wav("PCM_U8"), wav("ULAW"),
     b"RIFF\0\0\0\0WAVE" + b"junk\xff\xff\xff\xff" + bytes(99),
     b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 1000,
     b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd"],
)  # fmt: skip
def test_what_is_no_such_wav_is_refused(data):
    with pytest.raises(AudioError, match=r"^pipe: "):
        read(data)


@pytest.mark.parametrize(("encoding", "kind", "scale"), [("s16", "<i2", 32767), ("f32", "<f4", 1)])
def test_samples_without_a_header(encoding, kind, scale):
    data = (WAVE * scale).astype(kind).tobytes() + b"\1"  # and an incomplete one
    pieces = list(read_raw_pipe(Pipe(data), encoding, "pipe"))
    np.testing.assert_allclose(np.concatenate(pieces)[:, 0], WAVE, atol=1e-4)
