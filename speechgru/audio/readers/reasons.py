"""Why a file is not one that can be read, by what is in it."""

import re
import struct

from speechgru.audio.readers.containers import EXPECTED
from speechgru.audio.readers.interface import File, read_head, size_of, tag_end
from speechgru.audio.readers.riff import BY_LIBSNDFILE, CODECS, read_riff

GET_IT = "download or copy the audio itself"
OTHER_FILES = (  # beginning of the file → what it is and what to do
    (rb"version https://git-lfs\.github\.com/", "a git-lfs pointer; run `git lfs pull`"),
    (rb"/annex/objects/|\.git/annex/", "a git-annex pointer; run `git annex get`"),
    (rb"\x00\x05\x16\x07", f"macOS metadata (AppleDouble); {GET_IT}"),
    (
        rb"\s*(?i:<!doctype html|<html|<head|<script)",
        f"an HTML page, perhaps of an error; {GET_IT}",
    ),
    (rb"\s*(?:#EXTM3U|\[playlist\]|<\?xml.{0,500}<MPD)", f"a playlist; {GET_IT}"),
    (rb"ffconcat", f"a playlist; {GET_IT}"),
    (rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ", "an archive; unpack it first"),
    (rb"%PDF|\x89PNG|GIF8|\xff\xd8\xff[\xe0\xe1\xdb]|RIFF....WEBP", f"a picture or PDF; {GET_IT}"),
    (rb"MThd", f"MIDI: notes, not a recording; {EXPECTED}"),
    (rb"(?i:<\?xml)", f"a text file; {EXPECTED}"),
    (rb"\s*\{\s*\"", f"a text file (JSON; evaluate reads manifests); {EXPECTED}"),
)
TEXT = re.compile(rb"[\t\n\r\x1b\x20-\x7e\x80-\xff]+")
RAW_SUFFIXES = (".raw", ".pcm", ".sln", ".ulaw", ".ul", ".alaw", ".al", ".g722", ".g729", ".vox")


def other_file(file: File) -> str | None:
    """What the file is, when it is of a well-known kind that is not audio."""
    head = read_head(file)
    for beginning, what in OTHER_FILES:
        if re.match(beginning, head, re.DOTALL):
            return what
    return None


def explain(file: File) -> str:
    """The most likely reason why neither library can open the file."""
    head = read_head(file)
    start = f"it begins {head[:24]!r}"
    riff = read_riff(file)
    if riff is not None and riff.codec:
        name = CODECS.get(riff.codec, f"0x{riff.codec:04x}")
        form = riff.form.decode("ascii", "replace").strip()
        if riff.codec in BY_LIBSNDFILE and riff.form == b"WAVE":
            channels, rate = struct.unpack("<HI", riff.format_chunk[2:8].ljust(6, b"\0"))
            data = "" if riff.data else " and no data chunk"
            return (
                f"a damaged or incomplete header (sample rate {rate} Hz, {channels} channels"
                f"{data}); copy or record it again"
            )
        return (
            f"a {form} file whose audio (codec {name}) cannot be decoded; convert it to WAV or FLAC"
        )
    if not head.strip(b"\0"):
        return f"only zero bytes, as of an unfinished download; {start}; {EXPECTED}"
    if head[4:8] == b"ftyp":
        return f"an mp4 without its index: cut off, or never finished by its recorder; {start}"
    if head.startswith(b"NIST_1A") and b"shorten" in head[:1024]:
        return "SPHERE audio compressed with shorten; convert it, for example with sph2pipe"
    if head[:3] == b"ID3" and size_of(file) <= tag_end(file) + 256:
        return f"a tag (title, cover picture) without audio; {GET_IT}"
    if _is_text(head):
        return f"a text file; {start}; {EXPECTED}"
    if str(getattr(file, "name", "")).lower().endswith(RAW_SUFFIXES):
        return (
            f"audio without a header, whose rate and format are unknown; convert it to WAV; {start}"
        )
    return f"not an audio file, or cut off: {start}; {EXPECTED}"


def _is_text(head: bytes) -> bool:
    try:
        head[: -4 or None].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return len(head) > 8 and TEXT.fullmatch(head) is not None
