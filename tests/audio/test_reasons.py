"""Files that are refused: for the reason that applies."""

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from av.stream import Disposition
from recordings import RATE, encode, refused, tones

from speechgru.audio import audio_info
from speechgru.errors import AudioError


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.mp3", content)
    return file.getvalue()


HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n"
WAVE = b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
REASONS: list[tuple[str, bytes, str]] = [
    ("page.mp3", HTML, "HTML"),
    ("page2.wav", b"\n  <html>502 Bad Gateway</html>", "HTML"),
    # github.com/CheyneyComputerScience/CREMA-D/issues/3
    ("pointer.flac", LFS, "git-lfs"),
    ("annex.wav", b"/annex/objects/SHA256E-s1--4d7a.wav\n", "git-annex"),
    # github.com/OpenNeuroOrg/openneuro/issues/2520
    ("._a.wav", b"\0\5\26\7\0\2\0\0Mac OS X        " + bytes(64), "AppleDouble"),
    ("a.m4a", b'{"error": {"code": 403, "message": "Forbidden"}}', "text file"),
    ("s3.wav", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "text file"),
    ("test.jsonl", b'{"audio_filepath": "a.wav", "text": "one"}\n', "evaluate reads manifests"),
    ("notes.wav", b"This is a text file with the name of an audio file.\n" * 20, "text file"),
    ("notes.txt", "Größe: 12 kΩ\n".encode() * 500, "text file"),
    ("list.m3u8", b"#EXTM3U\n#EXTINF:5,\ngood.wav\n#EXT-X-ENDLIST\n", "playlist"),
    ("list.pls", b"[playlist]\nFile1=good.wav\n", "playlist"),
    ("list.mpd", b"<?xml version='1.0'?><MPD></MPD>", "playlist"),
    ("list.ffconcat", b"ffconcat version 1.0\nfile 'good.wav'\n", "playlist"),
    ("songs.mp3", zipped(b"\xff\xfb\x90\x00" * 1000), "archive"),
    ("a.wav.gz", gzip.compress(b"RIFF"), "archive"),
    ("cover.mp3", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(99), "picture"),
    ("cover.m4a", b"\x89PNG\r\n\x1a\n" + bytes(99), "picture"),
    ("song.mid", b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk", "MIDI"),
    ("zeros.mp3", bytes(4000), "zero bytes"),
    ("voice.sln", np.random.default_rng(0).bytes(4000), "without a header"),
    ("cut.m4a", b"\0\0\0\x1cftypM4A \0\0\2\0" + bytes(99), "without its index"),
    ("short.sph", b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\n", "sph2pipe"),
    ("a.wav", b"RIFF\x24\x00\x00\x00WAVE", "cut off"),
    ("no-data.wav", WAVE + bytes.fromhex("01000100401f0000803e000002001000"), "no data chunk"),
    (
        "no-rate.wav",
        WAVE + bytes.fromhex("01000100000000000000000002001000") + b"data\4\0\0\0abcd",
        "0 Hz",
    ),
    ("a.flac", b"fLaC", "cut off"),
    ("a.ogg", b"OggS", "truncated"),
    ("a.mp3", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f", "tag"),
    ("a.sph", b"NIST_1A\n   1024\n", "text file"),
    ("b.mp3", b"\xff\xfb\x90\x00", "cut off"),
    ("c.mp3", b"\xff" * 4000, "cut off"),
]


@pytest.mark.parametrize(("name", "content", "reason"), REASONS, ids=[row[0] for row in REASONS])
def test_a_file_without_audio_is_refused_by_what_it_is(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    soundfile.write(tmp_path / "good.wav", tones(1), RATE)
    path = tmp_path / name
    path.write_bytes(content)
    assert reason in refused(path)
    with pytest.raises(AudioError):
        audio_info(path)


def test_a_video_without_audio(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=10, width=64, height=64)
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        container.mux([*stream.encode(frame), *stream.encode(None)])
    message = refused(path)
    assert message.startswith("no audio track")
    assert "video" in message


def test_an_mp4_with_nothing_but_its_cover(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream("mjpeg", rate=1, width=64, height=64)
        stream.pix_fmt, stream.disposition = "yuvj420p", Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8)).reformat(
            format="yuvj420p"
        )
        container.mux([*stream.encode(picture), *stream.encode(None)])
    assert "picture" in refused(path)


def test_an_mp3_with_nothing_but_its_cover(tmp_path: Path) -> None:
    """A tag with a picture, of which the audio was lost."""
    picture = b"APIC" + struct.pack(">I2x", 2000) + b"\0image/png\0\3\0" + bytes(2000 - 13)
    size = len(picture)
    sizes = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    path = tmp_path / "a.mp3"
    path.write_bytes(b"ID3\x03\x00\x00" + sizes + picture)
    assert "tag" in refused(path)


KEY = "0123456789abcdef0123456789abcdef"


def test_encrypted_audio(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    options = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": KEY,
        "encryption_kid": KEY,
    }
    encode(path, tones(2), RATE, "aac", **options)
    assert "encrypted" in refused(path)
    store = tmp_path / "a.m4p"
    encode(store, tones(2), RATE, "aac", format="ipod")
    store.write_bytes(store.read_bytes().replace(b"mp4a", b"drms"))
    assert refused(store)


def test_protected_windows_media(tmp_path: Path) -> None:
    path = tmp_path / "a.wma"
    encode(path, tones(2), RATE, "wmav2", format="asf")
    content = bytearray(path.read_bytes())
    guid = bytes.fromhex("fbb31122 23bdd211 b4b700a0 c955fc6e")
    size = int.from_bytes(content[16:24], "little")
    content[16:24] = (size + 40).to_bytes(8, "little")
    count = int.from_bytes(content[24:28], "little")
    content[24:28] = (count + 1).to_bytes(4, "little")
    content[30:30] = guid + (40).to_bytes(8, "little") + bytes(16)
    packets = content.find(bytes.fromhex("3626b275 8e66cf11 a6d900aa 0062ce6c"))
    noise = np.random.default_rng(0).bytes(len(content) - packets - 60)
    content[packets + 60 :] = noise
    path.write_bytes(content)
    assert "encrypted" in refused(path) or "damaged" in refused(path)


@pytest.mark.parametrize(("tag", "name"), [(0x1234, "0x1234"), (0x75, "0x0075")])
def test_a_wav_in_an_unknown_codec(tmp_path: Path, tag: int, name: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tones(1), RATE)
    content = bytearray(path.read_bytes())
    content[20:22] = tag.to_bytes(2, "little")
    path.write_bytes(content)
    message = refused(path)
    assert name in message


def test_an_mp4_cut_before_its_index(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    encode(path, tones(5), RATE, "aac", format="mp4")
    path.write_bytes(path.read_bytes()[:-1000])
    assert "without its index" in refused(path)
