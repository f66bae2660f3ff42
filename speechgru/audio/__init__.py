"""Any audio file to mono float32 samples."""

from speechgru.audio.loading import (
    AUDIO_SUFFIXES,
    MAX_RATE,
    MIN_RATE,
    AudioInfo,
    Samples,
    audio_info,
    read_audio,
    read_headers,
    resample,
    segment_duration,
)

__all__ = [
    "AUDIO_SUFFIXES",
    "MAX_RATE",
    "MIN_RATE",
    "AudioInfo",
    "Samples",
    "audio_info",
    "read_audio",
    "read_headers",
    "resample",
    "segment_duration",
]
