"""Files that are several: chained Ogg, data chunks of a WAV, WAVs and MP3s joined by `cat`."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recordings import RATE, correlation, encode, lag, refused, tones

from speechgru.audio import Samples, audio_info, read_audio, resample
from speechgru.errors import AudioError

FIRST, SECOND = tones(3), tones(8)[3 * RATE :]
BOTH = np.concatenate([FIRST, SECOND])


def link(folder: Path, samples: Samples, kind: str, rate: int = RATE, channels: int = 1) -> bytes:
    samples = np.stack([resample(samples, RATE, rate)] * channels, axis=1)
    path = folder / "link.ogg"
    if kind == "FLAC":
        encode(path, samples, rate, "flac", format="ogg")
    else:
        soundfile.write(path, samples, rate, format="OGG", subtype=kind)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["VORBIS", "OPUS", "FLAC"])
def test_all_links_of_a_chained_ogg(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(link(tmp_path, FIRST, kind) + link(tmp_path, SECOND, kind))
    found = read_audio(path, RATE)
    assert len(found) == pytest.approx(len(BOTH), abs=800)
    assert correlation(BOTH[: 3 * RATE], found) > 0.98
    shift = lag(SECOND, found)
    assert shift == pytest.approx(3 * RATE, abs=400)
    assert correlation(SECOND, found[shift:]) > 0.98
    assert audio_info(path).duration == pytest.approx(len(found) / RATE, abs=0.1)


def test_links_of_other_rates_channels_and_codecs(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    parts = [
        link(tmp_path, FIRST, "VORBIS", 22050),
        link(tmp_path, SECOND, "OPUS", 48000, channels=2),
        link(tmp_path, FIRST, "FLAC", 8000),
    ]
    path.write_bytes(b"".join(parts))
    found = read_audio(path, RATE)
    expected = np.concatenate([FIRST, SECOND, FIRST])
    assert correlation(expected, found) > 0.95
    info = audio_info(path)
    assert (info.sample_rate, info.channels) == (48000, 1)
    assert info.duration == pytest.approx(11, abs=0.1)


@pytest.mark.parametrize(("start", "seconds"), [(0.5, 1.0), (2.6, 1.0), (4.0, 2.5)])
def test_a_segment_of_a_chained_ogg(tmp_path: Path, start: float, seconds: float) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(link(tmp_path, FIRST, "VORBIS", 8000) + link(tmp_path, SECOND, "VORBIS"))
    whole, part = read_audio(path), read_audio(path, None, start, seconds)
    at = round(start * RATE)
    np.testing.assert_allclose(part, whole[at : at + round(seconds * RATE)], atol=1e-6)


def test_links_that_are_equal(tmp_path: Path) -> None:
    """Recorders may give every stream the same serial number."""
    content = link(tmp_path, FIRST, "VORBIS")
    (tmp_path / "a.ogg").write_bytes(content * 3)
    assert len(read_audio(tmp_path / "a.ogg")) == pytest.approx(9 * RATE, abs=100)


def test_a_link_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    whole = link(tmp_path, FIRST, "OPUS")
    (tmp_path / "a.ogg").write_bytes(whole + whole[:80])
    assert "part 2 of 2" in refused(tmp_path / "a.ogg") or "truncated" in refused(
        tmp_path / "a.ogg"
    )


# WAV ----------------------------------------------------------------------------------------------


def chunk(name: bytes, content: bytes, size: int | None = None, pad: bool = True) -> bytes:
    size = len(content) if size is None else size
    return name + struct.pack("<I", size) + content + bytes(len(content) % 2 if pad else 0)


def pcm(samples: Samples) -> bytes:
    return (samples * 32767).round().astype("<i2").tobytes()


FORMAT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
LIST = chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0\0")
ODD = chunk(b"junk", b"odd")
UNPADDED = chunk(b"junk", b"odd", pad=False)
A, B = pcm(FIRST), pcm(SECOND)


def wav(*chunks: bytes, name: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return name + struct.pack("<I", len(body) if size is None else size) + body


RF64 = chunk(b"ds64", struct.pack("<QQQI", 0, len(A + B), 0, 0))
WAVS: dict[str, tuple[bytes, bytes]] = {  # content, samples
    # github.com/libsndfile/libsndfile/issues/370 and 542: a LIST chunk of zeros (Zoom recorders)
    "a LIST chunk of zeros": (wav(FORMAT, chunk(b"LIST", bytes(3000)), chunk(b"data", A)), A),
    # github.com/libsndfile/libsndfile/issues/1118: an entry with a false size hangs libsndfile
    "a false size inside LIST": (
        wav(FORMAT, chunk(b"data", A), chunk(b"LIST", b"INFOISFT\xf0\xff\xff\xffx")),
        A,
    ),
    "one chunk": (wav(FORMAT, chunk(b"data", A)), A),
    "chunks around it": (wav(LIST, FORMAT, ODD, chunk(b"data", A), LIST, ODD), A),
    "an unpadded chunk": (wav(FORMAT, UNPADDED, chunk(b"data", A), LIST), A),
    "two data chunks": (wav(FORMAT, chunk(b"data", A), LIST, chunk(b"data", B)), A + B),
    "three data chunks": (wav(FORMAT, *[chunk(b"data", A)] * 3), A * 3),
    "an empty one first": (wav(FORMAT, chunk(b"data", b""), LIST, chunk(b"data", A)), A),
    "the last of unknown size": (wav(FORMAT, chunk(b"data", A), chunk(b"data", B, 0)), A + B),
    "size 0": (wav(FORMAT, chunk(b"data", A, 0), size=0), A),
    "size 0xFFFFFFFF": (wav(FORMAT, chunk(b"data", A, 0xFFFFFFFF), size=0xFFFFFFFF), A),
    "size 0x7FFFFFFF": (wav(LIST, FORMAT, chunk(b"data", A, 0x7FFFFFFF)), A),
    # the header is that of the first seconds: the recorder crashed
    "stopped in the middle": (wav(FORMAT, chunk(b"data", A + B, len(A))), A + B),
    # github.com/xiph/opus-tools/issues/34: sizes modulo 4 GB
    "over 4 GB, modulo": (wav(FORMAT, chunk(b"data", A + B, 1000)), A + B),
    "RF64": (wav(RF64, FORMAT, chunk(b"data", A + B, 0xFFFFFFFF), name=b"RF64"), A + B),
    "RF64 of unknown size": (
        wav(chunk(b"ds64", bytes(28)), FORMAT, chunk(b"data", A, 0xFFFFFFFF), name=b"RF64"),
        A,
    ),
    # github.com/ai/audio-recorder-polyfill/issues/95: pieces of a recording, each with a header
    "joined by cat": (wav(FORMAT, chunk(b"data", A)) + wav(FORMAT, LIST, chunk(b"data", B)), A + B),
}


@pytest.mark.parametrize("kind", WAVS)
def test_the_audio_of_a_wav(tmp_path: Path, kind: str) -> None:
    content, samples = WAVS[kind]
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    expected = np.frombuffer(samples, "<i2").astype(np.float32) / 32768
    found = read_audio(path)
    assert len(found) == len(expected)
    np.testing.assert_array_equal(found, expected)
    assert audio_info(path).duration == pytest.approx(len(expected) / RATE)
    np.testing.assert_array_equal(
        read_audio(path, offset=1.5, duration=1), expected[24000 : 24000 + RATE]
    )


def test_a_wav_without_samples_but_with_chunks(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(FORMAT, chunk(b"data", b""), LIST))
    assert "without samples" in refused(tmp_path / "a.wav")


def test_a_few_bytes_after_the_data_are_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(FORMAT, chunk(b"data", A)) + b"TAG" + bytes(125))
    assert len(read_audio(path)) == len(FIRST)


def test_joined_wavs_of_two_rates(tmp_path: Path) -> None:
    for name, samples, rate in (("1.wav", FIRST, 8000), ("2.wav", SECOND, 44100)):
        soundfile.write(tmp_path / name, resample(samples, RATE, rate), rate)
    path = tmp_path / "a.wav"
    path.write_bytes(b"".join((tmp_path / name).read_bytes() for name in ("1.wav", "2.wav")))
    found = read_audio(path, RATE)
    assert len(found) == pytest.approx(len(BOTH), abs=10)
    assert correlation(BOTH, found) > 0.99


CODECS = {
    "libmp3lame": 0.98,
    "adpcm_ms": 0.98,
    "adpcm_ima_wav": 0.98,
    "adpcm_yamaha": 0.9,
    "pcm_alaw": 0.98,
    "pcm_mulaw": 0.98,
    "pcm_u8": 0.98,
    "mp2": 0.98,
}


@pytest.mark.parametrize("codec", CODECS)
def test_codecs_in_wav(tmp_path: Path, codec: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.wav"
    encode(path, tones(3), RATE, codec)
    found = read_audio(path)
    assert correlation(tones(3), found[lag(tones(3), found) :]) > CODECS[codec]
    assert capfd.readouterr().err == ""  # the libraries' own messages


def test_mp3_in_wav_has_the_samples_of_the_mp3(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp3", tones(3), RATE, "libmp3lame", write_xing="0")
    encode(tmp_path / "a.wav", tones(3), RATE, "libmp3lame")
    plain, wrapped = read_audio(tmp_path / "a.mp3"), read_audio(tmp_path / "a.wav")
    shift = lag(plain, wrapped)
    a, b = (plain, wrapped[shift:]) if shift >= 0 else (plain[-shift:], wrapped)
    length = min(len(a), len(b)) - 1152
    np.testing.assert_allclose(a[2000:length], b[2000:length], atol=1e-5)


def test_gsm_in_wav(tmp_path: Path) -> None:
    samples = resample(tones(3), RATE, 8000)
    soundfile.write(tmp_path / "a.WAV", samples, 8000, format="WAV", subtype="GSM610")
    found = read_audio(tmp_path / "a.WAV")
    assert len(found) == pytest.approx(3 * 8000, abs=320)
    assert correlation(samples, found) > 0.9
    content = (tmp_path / "a.WAV").read_bytes()
    (tmp_path / "a.WAV").write_bytes(content[: len(content) // 2])
    assert refused(tmp_path / "a.WAV").startswith("truncated")


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_short_mp3s_are_whole_despite_their_padding(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    for number in range(1, 6):
        samples = np.full(number * rate // 9, 0.1, np.float32)
        encode(path, samples, rate, "libmp3lame")
        assert len(read_audio(path)) == pytest.approx(len(samples), abs=rate // 100)
        assert audio_info(path).duration == pytest.approx(len(samples) / rate, abs=0.01)


@pytest.mark.parametrize("loud", [0.0, 0.1])
def test_mp3s_joined_by_cat(tmp_path: Path, loud: float) -> None:
    """The first one's count of frames is not the length of both: as of services that join the parts
    of a long text (github.com/richardr1126/openreader/pull/129). Nor is what FFmpeg computes from
    its bit rate, which a second one with noise exceeds."""
    noise = np.random.default_rng(0).standard_normal(len(SECOND)).astype(np.float32) * loud
    for name, samples in (("1.mp3", FIRST), ("2.mp3", SECOND + noise)):
        soundfile.write(tmp_path / name, samples, RATE, bitrate_mode="VARIABLE")
    path = tmp_path / "a.mp3"
    path.write_bytes(b"".join((tmp_path / name).read_bytes() for name in ("1.mp3", "2.mp3")))
    assert len(read_audio(path)) == pytest.approx(len(BOTH), abs=0.3 * RATE)
    assert audio_info(path).duration == pytest.approx(len(BOTH) / RATE, abs=0.3)


@pytest.mark.parametrize("suffix", ["m4a", "aiff"])
def test_files_joined_by_cat(tmp_path: Path, suffix: str) -> None:
    for name, samples in (("1", FIRST), ("2", SECOND)):
        if suffix == "m4a":
            encode(tmp_path / f"{name}.m4a", samples, RATE, "aac")
        else:
            soundfile.write(tmp_path / f"{name}.aiff", samples, RATE)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"".join((tmp_path / f"{name}.{suffix}").read_bytes() for name in "12"))
    assert audio_info(path).duration == pytest.approx(len(BOTH) / RATE, abs=0.1)
    assert correlation(BOTH, read_audio(path)) > 0.95


def test_a_header_before_each_fragment_does_not_begin_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    encode(path, tones(8), RATE, "flac", movflags="empty_moov+dash", frag_duration="1000000")
    content = path.read_bytes()
    header = content[: content.index(b"moof") - 4]
    boxes, position = [], len(header)
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        boxes.append(content[position : position + length])
        position += length
    repeated = b"".join(header + box if box[4:8] == b"moof" else box for box in boxes[:-1])
    assert repeated.count(header) > 5
    path.write_bytes(repeated)
    assert len(read_audio(path)) == 8 * RATE
    path.write_bytes(repeated + content)
    assert len(read_audio(path)) == 16 * RATE


def test_a_flac_behind_another_is_not_lost_silently(tmp_path: Path) -> None:
    for name, samples in (("1.flac", FIRST), ("2.flac", SECOND)):
        soundfile.write(tmp_path / name, samples, RATE)
    path = tmp_path / "a.flac"
    path.write_bytes(b"".join((tmp_path / name).read_bytes() for name in ("1.flac", "2.flac")))
    assert "another FLAC file" in refused(path)
    seconds = len(FIRST) / RATE
    with pytest.raises(AudioError, match="another FLAC file"):
        read_audio(path, duration=seconds)  # as its header states
    assert len(read_audio(path, duration=seconds / 2)) == len(FIRST) // 2
    assert len(read_audio(tmp_path / "1.flac")) == len(FIRST)


def test_a_flac_behind_a_tag_is_the_first(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", FIRST, RATE)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(b"ID3\4\0\0\0\0\1\0" + bytes(128) + content)
    assert len(read_audio(tmp_path / "a.flac")) == len(FIRST)


def test_a_flac_behind_another_is_not_taken_for_damage(tmp_path: Path) -> None:
    """At some lengths, libFLAC fails at the second's header."""
    path = tmp_path / "a.flac"
    encode(path, tones(12, 48000), 48000, "flac")
    path.write_bytes(2 * path.read_bytes())
    assert "another FLAC file" in refused(path)
