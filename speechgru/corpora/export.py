"""Manifests → the formats of other tools: one function and one line of the table per format.

A format is a folder with a set per manifest, named like it. Formats that refer to audio where it
is (kaldi, nemo) copy nothing; the others copy whole files and write parts of recordings as FLAC.
"""

import logging
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from speechgru.audio import AudioInfo, audio_info, read_audio, read_headers
from speechgru.audio.loading import SLACK
from speechgru.corpora.common import split_named, unique_ids
from speechgru.errors import AudioError, CorpusError
from speechgru.files import atomic_write, check_folder
from speechgru.manifest import Utterance
from speechgru.manifest_writer import to_json_line

log = logging.getLogger(__name__)
Sets = Mapping[str, Sequence[Utterance]]
STEM_BYTES = 200  # of the 255 that a file name may have, with a number and a suffix
MORE_BITS = re.compile("24|32|64|float|double")  # in a codec's name: more than 16 per sample


@dataclass(frozen=True, slots=True)
class Export:
    """What a format is, and the function that writes sets into a folder; it returns the files that
    list the utterances."""

    description: str
    write: Callable[[Path, Sets], list[Path]]


def export(format_name: str, folder: Path, sets: Sets) -> list[Path]:
    """Write sets in a format of EXPORTS; returns the lists written. After an error or an
    interruption, nothing is left, so that the same command can be repeated.

    Raises CorpusError: no such format, a folder that is not empty, ids or texts that the format
    cannot express; AudioError: audio that has to be copied and cannot be read.
    """
    if format_name not in EXPORTS:
        raise CorpusError(f"no format {format_name!r}; expected one of {', '.join(EXPORTS)}")
    if os.path.exists(folder) and (not os.path.isdir(folder) or any(folder.iterdir())):
        raise CorpusError(f"{folder}: exists already; give --out the name of a new folder")
    check_folder(folder, CorpusError)
    existed = os.path.exists(folder)
    try:
        return EXPORTS[format_name].write(folder, sets)
    except BaseException:
        for part in list(folder.iterdir()) if existed else [folder]:
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
        raise


# Kaldi -------------------------------------------------------------------------------------------


def _kaldi(folder: Path, sets: Sets) -> list[Path]:
    """A directory per set: wav.scp, text, utt2spk, spk2utt, and segments where any utterance is a
    part of its file. Lines are in C order."""
    return [file for name, listed in sets.items() for file in _kaldi_set(folder / name, listed)]


def _kaldi_set(folder: Path, utterances: Sequence[Utterance]) -> Iterator[Path]:
    speakers = _kaldi_speakers(utterances)
    files = dict.fromkeys(utterance.audio for utterance in utterances)
    parts = len(files) < len(utterances) or not all(map(_is_whole, utterances))
    recordings = dict(zip(files, _recording_names(list(files)), strict=True))
    sources = dict(zip(files, map(kaldi_source, files, read_headers(files)), strict=True))
    tables: dict[str, dict[str, str]] = {"text": {}, "utt2spk": speakers, "wav.scp": {}}
    by_speaker: dict[str, list[str]] = {}
    for name, utterance in zip(speakers, utterances, strict=True):
        tables["text"][name] = " ".join(utterance.text.split())
        by_speaker.setdefault(speakers[name], []).append(name)
        recording = recordings[utterance.audio] if parts else name
        tables["wav.scp"][recording] = sources[utterance.audio]
        if parts:
            end = utterance.offset + utterance.duration
            segment = f"{recording} {utterance.offset:.6f} {end:.6f}"
            tables.setdefault("segments", {})[name] = segment
        if utterance.lang is not None:
            tables.setdefault("utt2lang", {})[name] = _token(utterance.lang)
    tables["spk2utt"] = {speaker: " ".join(sorted(ids)) for speaker, ids in by_speaker.items()}
    for file, table in tables.items():
        rows = (f"{key} {value}\n" for key, value in table.items())
        lines = sorted(row.encode("utf-8", "surrogateescape") for row in rows)
        atomic_write(folder / file, b"".join(lines), CorpusError)
        yield folder / file


def _kaldi_speakers(utterances: Sequence[Utterance]) -> dict[str, str]:
    """Kaldi's name of each utterance → that of its speaker; without one, an utterance is its own.

    Kaldi requires the same order by both, so names begin with the speaker and a hyphen. Where one
    speaker's name begins with another's and a character up to the hyphen (anna, anna-maria), the
    orders may differ: speakers are then written without such characters. Raises CorpusError."""
    speakers = _named(utterances, _token)
    ordered = [speakers[name] for name in sorted(speakers)]
    if ordered == sorted(ordered):
        return speakers
    return _named(utterances, lambda text: re.sub(r"[\s!-\-]+", "_", text))


def _named(utterances: Sequence[Utterance], token: Callable[[str], str]) -> dict[str, str]:
    """As `_kaldi_speakers`, with `token` to write a speaker's name. The order is not checked."""
    speakers: dict[str, str] = {}
    known: dict[str, str] = {}  # a speaker in Kaldi → in the manifest
    for utterance in utterances:
        given = utterance.speaker or utterance.id
        speaker = token(given)
        name = _token(utterance.id) if utterance.speaker else speaker
        if name != speaker and not name.startswith(f"{speaker}-"):
            name = f"{speaker}-{name}"
        if name in speakers:
            raise CorpusError(f"{utterance.id!r}: Kaldi would have two utterances {name!r}")
        if known.setdefault(speaker, given) != given:
            raise CorpusError(f"{given!r} and {known[speaker]!r}: one speaker {speaker!r} in Kaldi")
        speakers[name] = speaker
    return speakers


def _token(text: str) -> str:
    """Without white space, which separates the columns."""
    return re.sub(r"\s+", "_", text)


def _recording_names(files: Sequence[str]) -> list[str]:
    """A name for each file: its stem, with a number where stems are equal."""
    return unique_ids([_token(Path(file).stem) for file in files])


def kaldi_source(file: str, header: AudioInfo | AudioError) -> str:
    """The entry of wav.scp for an audio file. Kaldi reads 16-bit WAV only: the rest comes from a
    program that converts it, ffmpeg where the header cannot be read."""
    found = ("", "") if isinstance(header, AudioError) else (header.container, header.codec)
    if found == ("wav", "pcm_16") and file.lower().endswith(".wav"):  # not "a.wav |", a command
        return file
    if found == ("flac", "pcm_16"):
        return f"flac -c -d -s {shlex.quote(file)} |"
    if found[0] == "nistsphere":
        return f"sph2pipe -f wav -p {shlex.quote(file)} |"
    return f"ffmpeg -v error -i {shlex.quote(file)} -f wav - |"


# Audio folders -----------------------------------------------------------------------------------


def _audiofolder(folder: Path, sets: Sets) -> list[Path]:
    """train/, validation/, test/, each with metadata.jsonl and its audio. All rows of all sets have
    the same columns, with strings in them, as Hugging Face requires."""
    parts = {name: "validation" if split_named(name) in ("dev", "eval") else name for name in sets}
    if len(set(parts.values())) < len(parts):  # dev-clean and dev-other, say
        parts = {name: name for name in sets}
    everything = [utterance for listed in sets.values() for utterance in listed]
    columns = {"speaker_id": "speaker", "language": "lang"}
    columns = {c: name for c, name in columns.items() if any(getattr(u, name) for u in everything)}
    written = []
    for name, listed in sets.items():
        part = folder / parts[name]
        rows = []
        for utterance, file in _copied(part, listed):
            row: dict[str, object] = {
                "file_name": file.name, "transcription": utterance.text, "id": utterance.id,
                "duration": utterance.duration,
            }  # fmt: skip
            row |= {column: getattr(utterance, name) or "" for column, name in columns.items()}
            rows.append(to_json_line(row))
        atomic_write(part / "metadata.jsonl", "".join(rows), CorpusError)
        written.append(part / "metadata.jsonl")
    return written


def _commonvoice(folder: Path, sets: Sets) -> list[Path]:
    """clips/ and train.tsv, dev.tsv, test.tsv, with the columns that all releases have."""
    written = []
    header = (
        "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment"
    )
    taken: set[str] = set()
    for name, listed in sets.items():
        lines = [header]
        for utterance, file in _copied(folder / "clips", listed, taken):
            text = " ".join(utterance.text.split())
            speaker = " ".join((utterance.speaker or "").split())
            lines.append(f"{speaker}\t{file.name}\t{text}\t2\t0\t\t\t\t{utterance.lang or ''}\t")
        atomic_write(folder / f"{name}.tsv", "\n".join(lines) + "\n", CorpusError)
        written.append(folder / f"{name}.tsv")
    return written


def _copied(
    folder: Path, utterances: Sequence[Utterance], taken: set[str] | None = None
) -> Iterator[tuple[Utterance, Path]]:
    """Utterances with a file of their own in `folder`, whose names are not in `taken`."""
    taken = set() if taken is None else taken
    folder.mkdir(parents=True, exist_ok=True)
    for utterance in utterances:
        whole = _is_whole(utterance)
        stem = re.sub(r"[^\w.-]+", "_", utterance.id).strip("._") or "utterance"
        stem = stem.encode()[:STEM_BYTES].decode(errors="ignore")
        suffix = os.path.splitext(utterance.audio)[1] if whole else ".flac"
        name, number = f"{stem}{suffix}", 2
        while name.casefold() in taken:
            name, number = f"{stem}_{number}{suffix}", number + 1
        taken.add(name.casefold())
        target = folder / name
        try:
            if whole:
                shutil.copyfile(utterance.audio, target)
            else:
                _write_part(utterance, target)
        except (OSError, soundfile.LibsndfileError) as error:
            reason = error.strerror if isinstance(error, OSError) else error.error_string
            if getattr(error, "filename", None) == utterance.audio:
                raise AudioError(f"{utterance.audio}: cannot be read: {reason}") from None
            raise CorpusError(f"{target}: cannot be written: {reason}") from None
        yield utterance, target


def _write_part(utterance: Utterance, target: Path) -> None:
    """As FLAC, whose samples are integers: 24 bits where the source has more than 16."""
    info = audio_info(utterance.audio)
    subtype = "PCM_24" if MORE_BITS.search(info.codec) else "PCM_16"
    samples = read_audio(utterance.audio, None, utterance.offset, utterance.duration)
    peak = float(np.abs(samples).max())
    if peak > 1:  # floats, or a decoder's overshoot
        log.warning("%s: %.2f times full scale; its level is lowered", utterance.id, peak)
        samples /= peak
    with target.open("wb") as stream:
        soundfile.write(stream, samples, info.sample_rate, subtype, format="FLAC")


def _is_whole(utterance: Utterance) -> bool:
    """Whether an utterance is all of its file. A file that cannot be read is copied as it is."""
    if utterance.offset:
        return False
    try:
        return audio_info(utterance.audio).duration - utterance.duration <= SLACK
    except AudioError:
        return True


# NeMo --------------------------------------------------------------------------------------------


def _nemo(folder: Path, sets: Sets) -> list[Path]:
    """A manifest per set with absolute paths, since NeMo resolves others in its own way."""
    files = []
    for name, listed in sets.items():
        files.append(folder / f"{name}.json")
        rows = []
        for utterance in listed:
            row: dict[str, object] = {
                "audio_filepath": utterance.audio, "duration": utterance.duration,
                "text": utterance.text, "id": utterance.id, "offset": utterance.offset,
            }  # fmt: skip
            row |= {"speaker": utterance.speaker} if utterance.speaker is not None else {}
            row |= {"lang": utterance.lang} if utterance.lang is not None else {}
            rows.append(to_json_line(row))
        atomic_write(files[-1], "".join(rows), CorpusError)
    return files


EXPORTS = {
    "kaldi": Export("a Kaldi directory per set: wav.scp, text, utt2spk, segments", _kaldi),
    "audiofolder": Export("Hugging Face: metadata.jsonl beside copied audio", _audiofolder),
    "nemo": Export("NeMo manifests with absolute paths", _nemo),
    "commonvoice": Export("Common Voice: TSV lists and copied clips", _commonvoice),
}
