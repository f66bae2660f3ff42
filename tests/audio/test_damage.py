"""Damage in the middle of a file is skipped up to a share, with a warning; more is an error."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from recordings import RATE, correlation, encode, lag, refused, tones

from speechgru.audio import loading, read_audio

SECONDS = 20
ENCODED = {
    "a.mp3": ("libmp3lame", "mp3"),
    "a.m4a": ("aac", "mp4"),
    "a.aac": ("aac", "adts"),
    "a.mka": ("aac", "matroska"),
    "a.tta": ("tta", "tta"),
}
FORMATS = ("a.flac", "a.ogg", "a.opus", "a.mp3", "a.m4a", "a.aac", "a.mka", "a.tta")


def recording() -> np.ndarray:
    """With noise, so that a lossy codec needs some bits for each second."""
    noise = np.random.default_rng(0).standard_normal(SECONDS * RATE) * 0.01
    return np.asarray(tones(SECONDS) + noise, dtype=np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    samples = recording()
    for name in FORMATS:
        path = folder / name
        if name in ENCODED:
            codec, container = ENCODED[name]
            encode(path, samples, RATE, codec, format=container)
        else:
            kind = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
            soundfile.write(path, samples, RATE, **kind)
    return {name: (folder / name).read_bytes() for name in FORMATS}


def damaged(content: bytes, start: float, count: int) -> bytes:
    at = int(len(content) * start)
    return content[:at] + np.random.default_rng(1).bytes(count) + content[at + count :]


# github.com/SYSTRAN/faster-whisper/issues/89: one bad packet ends the transcription of a book
@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("a.tta", "a.mka")])
def test_a_little_damage_is_skipped_with_a_warning(
    tmp_path: Path, files: dict[str, bytes], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    loading._warn_once.cache_clear()
    path = tmp_path / name
    path.write_bytes(damaged(files[name], 0.5, 200))
    with caplog.at_level(logging.WARNING, "speechgru"):
        found = read_audio(path, RATE)
    assert len(found) == pytest.approx(SECONDS * RATE, abs=1.2 * RATE)
    for part in (slice(2 * RATE, 8 * RATE), slice(16 * RATE, 19 * RATE)):  # all but the middle
        expected = tones(SECONDS)[part]
        assert correlation(expected, found[lag(expected, found) :]) > 0.9
    messages = [r.getMessage() for r in caplog.records]
    assert messages
    assert all(message.startswith(f"{path}: ") for message in messages)
    assert "damage" in " ".join(messages)


@pytest.mark.parametrize("name", FORMATS)
def test_much_damage_is_an_error(tmp_path: Path, files: dict[str, bytes], name: str) -> None:
    path = tmp_path / name
    content = files[name]
    path.write_bytes(damaged(content, 0.35 if name != "a.m4a" else 0.2, len(content) // 4))
    message = refused(path)
    assert "damaged" in message or "truncated" in message


def test_what_is_lost_of_a_flac_is_silent_and_the_rest_in_its_place(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(damaged(files["a.flac"], 0.5, 50))
    found, expected = read_audio(path), np.round(recording() * 32768) / 32768
    assert len(found) == SECONDS * RATE
    same = np.abs(found - expected) < 1e-4
    assert same.mean() > 0.95
    assert not same.all()


def test_a_gap_in_the_timestamps_is_silent(
    tmp_path: Path, files: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    loading._warn_once.cache_clear()
    content = files["a.mka"]
    clusters = [match.start() for match in re.finditer(b"\x1f\x43\xb6\x75", content)]
    path = tmp_path / "a.mka"
    path.write_bytes(content[: clusters[1]] + content[clusters[2] :])
    with caplog.at_level(logging.WARNING, "speechgru"):
        found = read_audio(path, RATE)
    assert len(found) == pytest.approx(SECONDS * RATE, abs=0.2 * RATE)
    assert "missing" in caplog.text
    tail = tones(SECONDS)[-3 * RATE :]
    assert lag(tail, found) == pytest.approx((SECONDS - 3) * RATE, abs=0.1 * RATE)


def write_without(lost: Callable[[int, float], bool], path: Path) -> Path:
    """The recording without some packets, by their number and time; the others keep their times."""
    whole_path = path.with_stem("whole")
    codec = "libopus" if path.suffix in (".webm", ".opus") else "aac"
    encode(whole_path, recording(), RATE, codec)
    with av.open(whole_path) as whole, av.open(path, "w") as lossy:
        target = lossy.add_stream_from_template(whole.streams.audio[0])
        for number, packet in enumerate(whole.demux(whole.streams.audio[0])):
            if packet.dts is not None and not lost(number, packet.dts * packet.time_base):
                packet.stream = target
                lossy.mux(packet)
    return path


@pytest.mark.parametrize("suffix", ["mka", "m4a", "ts", "webm", "opus"])
@pytest.mark.parametrize(
    "missing", ["some packets", "a pause", "a pause, but for one packet in 20"]
)
def test_lost_packets_of_a_call(tmp_path: Path, suffix: str, missing: str) -> None:
    """As in recordings of WebRTC servers: each gap is short and all together are seconds, or there
    are no packets in pauses, or one per 0.4 s (discontinuous transmission)."""

    def lost(number: int, seconds: float) -> bool:
        if missing == "some packets":
            return number % 12 == 7
        return 4 < seconds < 14 and (missing == "a pause" or number % 20 > 0)

    path = write_without(lost, tmp_path / f"a.{suffix}")
    found = read_audio(path, RATE)
    assert len(found) == pytest.approx(SECONDS * RATE, abs=0.2 * RATE)
    tail = tones(SECONDS)[-3 * RATE :]
    error = 0.3 if suffix == "opus" else 0.15  # Ogg has times per page, of a second
    assert lag(tail, found) == pytest.approx((SECONDS - 3) * RATE, abs=error * RATE)
    if missing == "a pause":
        assert np.abs(found[6 * RATE : 12 * RATE]).max() < 1e-3


def test_pauses_in_the_links_of_a_chained_ogg(tmp_path: Path) -> None:
    path = write_without(lambda _, seconds: 4 < seconds < 14, tmp_path / "a.opus")
    path.write_bytes(path.read_bytes() * 2)
    assert len(read_audio(path, RATE)) == pytest.approx(2 * SECONDS * RATE, abs=0.2 * RATE)


def test_a_long_jump_of_the_timestamps_is_damage_not_silence(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = files["a.mka"]
    clusters = [match.start() for match in re.finditer(b"\x1f\x43\xb6\x75", content)]
    path = tmp_path / "a.mka"
    path.write_bytes(content[: clusters[1]] + content[clusters[2] :])
    monkeypatch.setattr("speechgru.audio.readers.ffmpeg.MAX_GAPS", -30.0)
    assert "jump" in refused(path)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_missing_ogg_pages_are_noticed(
    tmp_path: Path, subtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Opus decoders fill such a gap without an error."""
    loading._warn_once.cache_clear()
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.tile(recording(), 2), RATE, format="OGG", subtype=subtype)
    content = path.read_bytes()
    pages = [match.start() for match in re.finditer(b"OggS", content)]
    path.write_bytes(content[: pages[5]] + content[pages[6] :])
    with caplog.at_level(logging.WARNING, "speechgru"):
        read_audio(path)
    assert "damaged" in caplog.text
    path.write_bytes(content[: pages[3]] + content[pages[len(pages) // 2] :])
    assert "damaged" in refused(path)


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.aac", "a.flac"])
def test_damage_outside_of_a_segment_does_not_count(
    tmp_path: Path, files: dict[str, bytes], name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(damaged(files[name], 0.25, 600))
    part = read_audio(path, RATE, 15, 0.5)
    whole = read_audio(path, RATE)
    np.testing.assert_allclose(part, whole[15 * RATE : 15 * RATE + RATE // 2], atol=1e-6)
    assert np.abs(part).max() > 0.01
