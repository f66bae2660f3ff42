"""Problems of an utterance's file, duration and signal.

The limits are such that the corpora we measured (docs/audit.md) have next to no problem.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence

from speechgru.audio import CONTAINERS
from speechgru.audio.loading import SLACK
from speechgru.audit.entries import Entry
from speechgru.audit.kinds import Problem

SILENT_DB = -65.0  # below that, the loud frames of an utterance are noise
SILENCE = 0.8  # share of silent frames
CLIPPED = 0.001  # share of samples
PEAK = 2.0  # of full scale; what decoders overshoot by is less
OFFSET = 0.02  # of full scale
BANDWIDTH = 0.5  # share of what a model at 16 kHz uses, up to SPEECH_HZ
SPEECH_HZ = 8000.0
MAJORITY = 0.8  # share of a manifest's files whose rate is the usual one
ERRORS = {
    "missing": "missing-file",
    "empty": "empty-file",
    "truncated": "truncated",
    "unreadable": "undecodable",
}


def audio_problems(entries: Sequence[Entry], max_seconds: float) -> Iterator[Problem]:
    """The problems of entries that are measured, in their order."""
    usual = _usual_rates(entries)
    for entry in entries:
        yield from _file_problems(entry, usual.get(entry.manifest))
        yield from _duration_problems(entry, max_seconds)
        yield from _signal_problems(entry)


def _usual_rates(entries: Sequence[Entry]) -> dict[str, int]:
    """The sample rate of most files of each manifest, where there is one."""
    rates: dict[str, Counter[int]] = {}
    for entry in entries:
        if entry.file is not None and entry.file.info is not None:
            rates.setdefault(entry.manifest, Counter())[entry.file.info.sample_rate] += 1
    common = {manifest: counts.most_common(1)[0] for manifest, counts in rates.items()}
    return {
        manifest: rate
        for manifest, (rate, count) in common.items()
        if count >= MAJORITY * rates[manifest].total()
    }


def _file_problems(entry: Entry, usual_rate: int | None) -> Iterator[Problem]:
    file, path = entry.file, entry.utterance.audio
    if file is None:
        return
    if file.info is None:
        error = file.error
        assert error is not None
        yield entry.problem(ERRORS[error.kind], str(error).removeprefix(f"{path}: "))
        return
    suffix = os.path.splitext(path)[1].lower()
    expected = next((key for key, suffixes in CONTAINERS.items() if suffix in suffixes), None)
    if expected != file.info.container:
        yield entry.problem("wrong-suffix", f"{suffix or 'none'}, but it is {file.info.container}")
    rate = file.info.sample_rate
    if usual_rate is not None and rate != usual_rate:
        yield entry.problem("mixed-rate", f"{rate} Hz; most files have {usual_rate} Hz")
    if file.silent_channels:
        yield entry.problem("silent-channel", f"{file.silent_channels} of {file.info.channels}")
    elif file.inverted:
        yield entry.problem("inverted-channels", f"{file.info.channels} channels")


def _duration_problems(entry: Entry, max_seconds: float) -> Iterator[Problem]:
    file, utterance = entry.file, entry.utterance
    if file is None or file.info is None:
        return
    stated, left = f"{utterance.duration:.2f} s", file.seconds - utterance.offset
    correction = round(left, 6) if left > 0 else None
    if entry.audio is None and left > 0:
        detail = f"{utterance.duration:g} s from {utterance.offset:.2f} s: less than one sample"
        yield entry.problem("empty-file", detail)
    elif utterance.duration > left + SLACK:
        start = f" from {utterance.offset:.2f} s" if utterance.offset else ""
        detail = f"{stated}{start}; the file has {file.seconds:.2f} s"
        yield entry.problem("duration-too-long", detail, correction)
    elif entry.whole and utterance.duration < left - SLACK:
        detail = f"{stated}; the file has {file.seconds:.2f} s"
        yield entry.problem("duration-too-short", detail, correction)
    if entry.audio is not None and entry.audio.seconds > max_seconds:
        yield entry.problem("long-audio", f"{entry.audio.seconds:.1f} s")


def _signal_problems(entry: Entry) -> Iterator[Problem]:
    audio = entry.audio
    if audio is None or entry.file is None or entry.file.info is None:
        return
    if audio.level < SILENT_DB:
        yield entry.problem("silent", f"at most {audio.level:.0f} dB of full scale")
        return
    if audio.silence > SILENCE:
        yield entry.problem("mostly-silent", f"{audio.silence:.0%} of {audio.seconds:.1f} s")
    if audio.clipped > CLIPPED:
        yield entry.problem("clipped", f"{audio.clipped:.1%} of the samples")
    if audio.peak > PEAK:
        yield entry.problem("beyond-full-scale", f"samples of up to {audio.peak:.3g}")
    if abs(audio.offset) > OFFSET:
        yield entry.problem("offset", f"{audio.offset:+.3f} of full scale")
    rate = entry.file.info.sample_rate
    if rate > SPEECH_HZ and audio.bandwidth <= BANDWIDTH * min(rate / 2, SPEECH_HZ):
        yield entry.problem("low-bandwidth", f"ends at {audio.bandwidth:.0f} Hz of {rate // 2}")
