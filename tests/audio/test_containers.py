"""Containers: every suffix that is searched for, tracks, lengths, what is cut off."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
from recordings import RATE, correlation, encode, encode_tracks, lag, refused, tones

from speechgru.audio import AUDIO_SUFFIXES, audio_info, loading, read_audio, resample
from speechgru.audio.readers import Unreadable
from speechgru.audio.readers.containers import CONTAINERS
from speechgru.audio.readers.samples import to_block

SECONDS = 2


def by_libsndfile(container: str, subtype: str | None = None) -> Callable[[Path], None]:
    return lambda path: soundfile.write(
        path, tones(SECONDS), RATE, format=container, subtype=subtype
    )


def by_ffmpeg(container: str, codec: str = "aac", rate: int = RATE) -> Callable[[Path], None]:
    return lambda path: encode(
        path, resample(tones(SECONDS), RATE, rate), rate, codec, format=container
    )


def frames(magic: bytes, first: int, size: int) -> Callable[[Path], None]:
    """100 frames of 20 ms; any bits decode to something."""

    def write(path: Path) -> None:
        rng = np.random.default_rng(0)
        path.write_bytes(magic + b"".join(bytes([first]) + rng.bytes(size) for _ in range(100)))

    return write


WRITERS: dict[str, Callable[[Path], None]] = {
    ".wav .wave .bwf": by_libsndfile("WAV"),
    ".rf64": by_libsndfile("RF64"),
    ".flac": by_libsndfile("FLAC"),
    ".ogg .oga .ogv": by_libsndfile("OGG"),
    ".opus": by_libsndfile("OGG", "OPUS"),
    ".mp3": by_libsndfile("MP3"),
    ".mp2 .mpga": by_ffmpeg("mp2", "mp2"),
    ".aif .aiff": by_libsndfile("AIFF"),
    ".aifc": by_libsndfile("AIFF", "ULAW"),
    ".au .snd": by_libsndfile("AU"),
    ".caf": by_libsndfile("CAF"),
    ".w64": by_libsndfile("W64"),
    ".sph .nist .wv1 .wv2": by_libsndfile("NIST"),
    ".voc": by_libsndfile("VOC"),
    ".sf .ircam": by_libsndfile("IRCAM"),
    ".8svx .svx": by_libsndfile("SVX"),
    ".m4a .m4b .m4r .m4p": by_ffmpeg("ipod"),
    ".mp4 .m4v": by_ffmpeg("mp4"),
    ".mov .qt": by_ffmpeg("mov"),
    ".3gp .3gpp": by_ffmpeg("3gp"),
    ".3g2": by_ffmpeg("3g2"),
    ".f4a .f4v": by_ffmpeg("f4v"),
    ".aac .adts": by_ffmpeg("adts"),
    ".mkv .mka": by_ffmpeg("matroska"),
    ".webm .weba": by_ffmpeg("webm", "libopus"),
    ".asf .wma .wmv": by_ffmpeg("asf", "wmav2"),
    ".amr": frames(b"#!AMR\n", 7 << 3 | 4, 31),
    ".awb": frames(b"#!AMR-WB\n", 4, 17),
    ".gsm": frames(b"", 0xD5, 32),
    ".avi": by_ffmpeg("avi", "pcm_s16le"),
    ".ts .mts .m2ts": by_ffmpeg("mpegts"),
    ".mpg .mpeg .vob": by_ffmpeg("mpeg", "mp2"),
    ".flv": by_ffmpeg("flv"),
    ".ac3": by_ffmpeg("ac3", "ac3", 48000),
    ".eac3 .ec3": by_ffmpeg("eac3", "eac3", 48000),
    ".tta": by_ffmpeg("tta", "tta"),
    ".wv": by_ffmpeg("wv", "wavpack"),
    ".ra .rm .rmvb": by_ffmpeg("rm", "real_144", 8000),
}
DECODERS = {  # where FFmpeg has no encoder
    ".spx": "speex",
    ".ape": "ape",
    ".mpc": "mpc7",
    ".tak": "tak",
    ".dsf": "dsd_lsbf_planar",
    ".dff": "dsd_msbf",
    ".dts": "dca",
}


@pytest.mark.parametrize("suffixes", WRITERS)
def test_every_suffix_found_in_folders_is_one_that_is_read(tmp_path: Path, suffixes: str) -> None:
    path = tmp_path / "recording"
    WRITERS[suffixes](path)
    assert len(read_audio(path, RATE)) == pytest.approx(SECONDS * RATE, abs=0.15 * RATE)
    assert audio_info(path).duration == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize(
    ("container", "subtype"), [("AU", "G721_32"), ("AIFF", "GSM610"), ("W64", "GSM610")]
)
def test_codecs_in_which_libsndfile_cannot_seek(
    tmp_path: Path, container: str, subtype: str
) -> None:
    by_libsndfile(container, subtype)(path := tmp_path / "a")
    found = read_audio(path)
    assert correlation(found, tones(SECONDS)) > 0.9
    np.testing.assert_array_equal(read_audio(path, offset=1.1, duration=0.7), found[17600:28800])


def test_every_suffix_is_tested() -> None:
    assert set(" ".join(WRITERS).split()) | DECODERS.keys() == AUDIO_SUFFIXES
    for suffix, decoder in DECODERS.items():
        (container,) = (name for name, suffixes in CONTAINERS.items() if suffix in suffixes)
        assert container in av.formats_available
        assert decoder in av.codecs_available


CUT = {  # what must notice that its second half is missing: name → writer's arguments
    "a.avi": ("pcm_s16le", {}),
    "a.mka": ("aac", {"format": "matroska"}),
    "a.flv": ("aac", {}),
    "a.tta": ("tta", {}),
    "a.wv": ("wavpack", {}),
    "a.wma": ("wmav2", {"format": "asf"}),
    "adpcm.wav": ("adpcm_yamaha", {}),
    "mp3.wav": ("libmp3lame", {"format": "wav"}),
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_cut_in_the_middle_is_refused(tmp_path: Path, name: str) -> None:
    codec, options = CUT[name]
    path = tmp_path / name
    encode(path, tones(5), RATE, codec, **options)
    whole = read_audio(path)
    assert len(whole) == pytest.approx(5 * RATE, abs=0.15 * RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refused(path).startswith("truncated")


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.avi", "a.ts"])
def test_the_audio_of_a_video(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    encode_tracks(path, [tones(3)], RATE, "mp3" if name == "a.avi" else "aac", video=True)
    found = read_audio(path, RATE)
    assert len(found) == pytest.approx(3 * RATE, abs=0.2 * RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if name == "a.mkv":
        assert refused(path).startswith("truncated")


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov", "a.ts"])
def test_audio_that_begins_after_its_video(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, notes: Callable[[], list[str]]
) -> None:
    """Times are those of a player, as with a gap in the middle."""
    path, voice = tmp_path / name, tones(3)
    encode_tracks(path, [voice], RATE, "aac", video=True, late=2.0)
    found = read_audio(path, RATE)
    assert len(found) == pytest.approx(5 * RATE, abs=0.2 * RATE)
    assert audio_info(path).duration == pytest.approx(5, abs=0.2)
    assert lag(voice, found) == pytest.approx(2 * RATE, abs=0.15 * RATE)
    assert ["missing" in note for note in notes()] == [True]
    part = read_audio(path, RATE, 3, 1)
    np.testing.assert_allclose(part, found[3 * RATE : 4 * RATE], atol=1e-6)
    monkeypatch.setattr("speechgru.audio.readers.ffmpeg.MAX_GAPS", 1.0)
    assert len(read_audio(path, RATE)) == pytest.approx(3 * RATE, abs=0.2 * RATE)
    assert "2 s after another track" in notes()[-1]


@pytest.mark.parametrize("name", ["a.mka", "a.m4a", "a.ts"])
def test_audio_alone_begins_at_its_beginning(
    tmp_path: Path, name: str, notes: Callable[[], list[str]]
) -> None:
    encode_tracks(tmp_path / name, [tones(3)], RATE, "aac", late=2.0)
    found = read_audio(tmp_path / name, RATE)
    assert len(found) == pytest.approx(3 * RATE, abs=0.2 * RATE)
    assert notes() == []


# Tracks -------------------------------------------------------------------------------------------


@pytest.fixture
def notes(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    loading._warn_once.cache_clear()
    caplog.set_level(logging.INFO, "speechgru")
    return lambda: [record.getMessage() for record in caplog.records]


VOICE, MUSIC, SILENCE = tones(3), tones(6)[3 * RATE :], np.zeros(3 * RATE, np.float32)


@pytest.mark.parametrize(
    ("tracks", "default", "taken"),
    [
        ((MUSIC, VOICE), 1, 2),  # as flagged
        ((VOICE, MUSIC), None, 1),  # the first
        # github.com/browser-use/video-use/pull/134: OBS has the microphone on the second track
        ((SILENCE, VOICE), None, 2),  # the first that is not silent
        ((SILENCE, VOICE), 0, 2),  # a muted default track
        ((SILENCE, MUSIC, VOICE), 2, 3),
    ],
)
def test_the_track_that_is_read(
    tmp_path: Path,
    notes: Callable[[], list[str]],
    tracks: tuple[np.ndarray, ...],
    default: int | None,
    taken: int,
) -> None:
    path = tmp_path / "a.mkv"
    encode_tracks(path, tracks, RATE, "aac", default=default)
    found = read_audio(path, RATE)
    expected = tracks[taken - 1]
    assert correlation(expected, found[lag(expected, found) :]) > 0.98
    (note,) = notes()
    assert f"{len(tracks)} audio tracks; track {taken} " in note
    assert note.startswith(f"{path}: ")
    read_audio(path, RATE)
    assert len(notes()) == 1  # named once, not in every epoch


def test_tracks_that_are_all_silent(tmp_path: Path, notes: Callable[[], list[str]]) -> None:
    encode_tracks(tmp_path / "a.mp4", [SILENCE, SILENCE], RATE, "aac")
    assert np.abs(read_audio(tmp_path / "a.mp4")).max() < 1e-3
    assert "silent" in notes()[0]


def test_one_track_needs_no_note(tmp_path: Path, notes: Callable[[], list[str]]) -> None:
    encode_tracks(tmp_path / "a.mp4", [VOICE], RATE, "aac", video=True)
    read_audio(tmp_path / "a.mp4")
    assert notes() == []


@pytest.mark.parametrize("length", [2 * 4096 + 1, 2 * 4096 + 2100, 3 * 4096])
def test_the_last_packet_of_alac_in_caf_is_whole(tmp_path: Path, length: int) -> None:
    samples = tones(1)[:length]
    encode(tmp_path / "a.caf", samples, RATE, "alac")
    np.testing.assert_allclose(read_audio(tmp_path / "a.caf"), samples, atol=1e-4)


def test_more_planes_than_pyav_reads_safely() -> None:
    """A damaged AAC packet of 40 channels crashed the process."""
    frame = SimpleNamespace(
        format=SimpleNamespace(is_planar=True), layout=SimpleNamespace(channels=[None] * 40)
    )
    with pytest.raises(Unreadable, match="40 channels"):
        to_block(frame)
