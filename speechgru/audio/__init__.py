"""Any audio file → mono float32 samples."""

from speechgru.audio.loading import (
    AudioInfo,
    Samples,
    audio_info,
    iter_audio,
    open_audio,
    read_audio,
    read_headers,
    read_utterance,
    resample,
    segment_duration,
    warn_of_early_ends,
)
from speechgru.audio.readers import AUDIO_SUFFIXES, CONTAINERS, Block

__all__ = [
    "AUDIO_SUFFIXES",
    "CONTAINERS",
    "AudioInfo",
    "Block",
    "Samples",
    "audio_info",
    "iter_audio",
    "open_audio",
    "read_audio",
    "read_headers",
    "read_utterance",
    "resample",
    "segment_duration",
    "warn_of_early_ends",
]
