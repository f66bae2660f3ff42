"""The formats of audio files behind one interface: `open_reader` → `AudioReader`."""

from speechgru.audio.readers.containers import AUDIO_SUFFIXES, CONTAINERS
from speechgru.audio.readers.interface import MAX_LOST, READ_ERRORS, AudioReader, Block, Unreadable
from speechgru.audio.readers.opening import open_reader

__all__ = [
    "AUDIO_SUFFIXES",
    "CONTAINERS",
    "MAX_LOST",
    "READ_ERRORS",
    "AudioReader",
    "Block",
    "Unreadable",
    "open_reader",
]
