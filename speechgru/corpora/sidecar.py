"""A text file for each recording, of the same name: .txt, .lab, TextGrid or subtitles.

It is beside the recording, or one folder on the way to it is named by its kind: wav/anna/1.wav and
txt/anna/1.txt. Where a recording has several, the one with times is taken. Its name may say more,
such as a language: 1.en.srt; 1.normalized.txt is preferred.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection
from itertools import product
from pathlib import Path

from speechgru.corpora.common import (
    UNSPLIT,
    Prepared,
    Recording,
    examples,
    preference,
    prepared,
    split_named,
)
from speechgru.corpora.encoding import guess_together, read_text
from speechgru.corpora.folder import Folder
from speechgru.corpora.labels import read_labels
from speechgru.corpora.speakers import with_folder_speakers
from speechgru.corpora.subtitles import read_subtitles
from speechgru.corpora.textgrid import Segment, read_textgrid
from speechgru.errors import CorpusError

AUDIO_FOLDER = re.compile(  # wav48, audio_16k, …
    r"(wavs?|audios?|clips?|flacs?|mp3s?|oggs?|opus|m4a|recordings?|sph)([-_ ]?\d.*)?",
    re.IGNORECASE,
)
TEXT_FOLDER = re.compile(
    r"(te?xts?|transcripts?|transcriptions?|labs?|labels?|textgrids?|subtitles?|srt|vtt|ass)",
    re.IGNORECASE,
)
MICROPHONE = re.compile(r"_mic\d$")  # of recordings of one utterance, as in VCTK
KIND = re.compile(r"\.[a-z][a-z0-9_-]*", re.IGNORECASE)  # 1.normalized.txt, 1.en-US.srt
PREFERRED = ".normalized"  # numbers as words, as in LibriTTS
MAX_TEXT = 100_000  # characters of one transcript


def read_plain(file: Path, content: str) -> list[Segment]:
    """The whole content of a file is the text, unless its lines have times."""
    labels = read_labels(file, content)
    if labels is not None:
        return labels
    text = " ".join(content.split())
    if len(text) > MAX_TEXT:
        raise CorpusError(f"{file}: {len(text):,} characters; expected one transcript")
    return [Segment(text)]


SIDECARS: dict[str, Callable[[Path, str], list[Segment]]] = {  # in order of preference
    ".srt": read_subtitles,
    ".vtt": read_subtitles,
    ".ass": read_subtitles,
    ".textgrid": lambda file, _: read_textgrid(file),
    ".lab": read_plain,
    ".txt": read_plain,
}


def find(folder: Folder) -> bool:
    """Whether at least a tenth of the recordings have a text."""
    found, ambiguous = find_texts(folder)
    matches = len(found) + len(ambiguous)
    return matches > 0 and 10 * matches >= len(folder.audio)


def find_texts(folder: Folder) -> tuple[dict[Path, Path], dict[Path, str]]:
    """Recording → the file with its text; recording → why it has none although there is one."""
    order = list(SIDECARS)
    files = sorted(folder.ending(*SIDECARS), key=lambda file: order.index(file.suffix.lower()))
    beside: dict[Path, Path] = {}  # a.txt or a.wav.txt beside a.wav
    for file in files:
        beside.setdefault(file.with_suffix(""), file)
    found = {}
    ambiguous = {}
    kinds = _by_kind(folder, files)
    for audio in folder.audio:
        name = _name(audio)
        near = beside.get(audio.with_suffix("")) or beside.get(audio) or beside.get(name)
        variants = kinds.get(name, {})
        if near is None and variants:
            near = variants.get(PREFERRED) or next(iter(variants.values()))
            if len(variants) > 1 and PREFERRED not in variants:
                ambiguous[audio] = _several(folder, "texts", list(variants.values()))
                continue
        if near is not None:
            found[audio] = near
    with_audio = {audio.parent for audio in folder.audio}
    with_texts = {text.parent for text in found.values()}
    apart = [file for file in files if file.parent not in with_audio]
    texts_by_key = _by_key(folder, apart, TEXT_FOLDER)
    alone = [
        audio
        for audio in folder.audio
        if texts_by_key and audio.parent not in with_texts and audio not in ambiguous
    ]
    texts_of: dict[Path, list[Path]] = {}
    recordings_of: dict[Path, list[Path]] = {}
    for key, recordings in _by_key(folder, alone, AUDIO_FOLDER).items():
        for audio, text in product(recordings, texts_by_key.get(key, [])):
            texts_of.setdefault(audio, []).append(text)
            recordings_of.setdefault(text, []).append(audio)
    for audio, fitting in texts_of.items():
        for what, rivals in (("texts", fitting), ("recordings", recordings_of[fitting[0]])):
            if len({_name(file) for file in rivals}) > 1:
                ambiguous[audio] = _several(folder, what, rivals)
        if audio not in ambiguous:
            found[audio] = fitting[0]
    return found, ambiguous


def _name(file: Path) -> Path:
    """Without suffix, and the same for all microphones."""
    name = file.with_suffix("")
    return name.with_name(MICROPHONE.sub("", name.name) or name.name)


def _several(folder: Folder, what: str, files: list[Path]) -> str:
    names = examples([folder.relative(file) for file in files])
    return f"several {what} fit: {names}; keep one"


def _by_kind(folder: Folder, files: list[Path]) -> dict[Path, dict[str, Path]]:
    """Name of a recording → what text files add to it → the first file that does: of 1.en.vtt and
    1.de.srt, {".en": …, ".de": …}. Files with exactly the name of a recording are not among them.
    """
    exact = {audio.with_suffix("") for audio in folder.audio}
    found: dict[Path, dict[str, Path]] = {}
    for file in files:
        name = file.with_suffix("")
        if name not in exact and KIND.fullmatch(name.suffix):
            found.setdefault(name.with_suffix(""), {}).setdefault(name.suffix.lower(), file)
    return found


def _by_key(
    folder: Folder, files: list[Path], names: re.Pattern[str]
) -> dict[tuple[str, ...], list[Path]]:
    """The files by their path without suffix and with "*" for a folder of one of those names."""
    found: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        parts = Path(folder.id_of(file)).parts
        for i, name in enumerate(parts[:-1]):
            if names.fullmatch(name):
                key = (*parts[:i], "*", *parts[i + 1 : -1], MICROPHONE.sub("", parts[-1]))
                found.setdefault(key, []).append(file)
    return found


def read(folder: Folder) -> Prepared:
    """Recordings without a text, and texts that cannot be read, are problems."""
    texts, ambiguous = find_texts(folder)
    by_split: dict[str, list[Recording]] = {}
    kinds: Counter[str] = Counter()
    problems: list[str] = []
    guesses: list[str] = []
    best = {_name(audio): audio for audio in sorted(folder.audio, key=preference, reverse=True)}
    copies = {audio for audio in folder.audio if best[_name(audio)] != audio}
    encoding = guess_together(dict.fromkeys(texts.values()))
    for audio in folder.audio:
        text = texts.get(audio)
        if text is not None and audio in copies:
            continue
        if text is None:
            reason = ambiguous.get(audio, "no text file of the same name beside it")
            problems.append(f"{folder.relative(audio)}: {reason}")
            continue
        try:
            source = read_text(text, encoding)
            segments = SIDECARS[text.suffix.lower()](text, source.text)
        except CorpusError as error:
            problems.append(f"{folder.relative(audio)}: {error}")
            continue
        guesses += source.notes(text)
        kinds[text.suffix] += 1
        parts = Path(folder.relative(audio)).parts[:-1]
        split = next((s for part in parts if (s := split_named(part))), UNSPLIT)
        by_split.setdefault(split, []).extend(_recordings(folder, audio, segments))
    if not by_split:
        first = f"; the first problem: {problems[0]}" if problems else ""
        raise CorpusError(f"{folder.root}: no recording with a text file beside it{first}")
    notes = _notes(folder, texts, kinds, copies, guesses)
    by_split = with_folder_speakers(folder, by_split, notes)
    return prepared(folder.root, by_split, notes, problems)


def _notes(
    folder: Folder,
    texts: dict[Path, Path],
    kinds: Counter[str],
    copies: Collection[Path],
    guesses: list[str],
) -> list[str]:
    """`kinds`: suffixes of the texts that were read; `copies`: recordings that are skipped;
    `guesses`: notes of encodings."""
    found = ", ".join(f"{count:,} {suffix}" for suffix, count in kinds.items())
    notes = [f"texts: a file beside each recording ({found})"]
    if far := [audio for audio, file in texts.items() if audio.parent != file.parent]:
        first = f"{folder.relative(far[0])} and {folder.relative(texts[far[0]])}"
        notes[0] = f"texts: a file for each recording ({found}), in another folder: {first}"
    if copies:
        names = [folder.relative(audio) for audio in sorted(copies)]
        notes.append(
            f"audio: {len(copies):,} skipped, as each is there in a better format or from another "
            f"microphone: {examples(names)}"
        )
    if guesses:
        notes.append(f"{guesses[0]} ({len(guesses):,} files are not UTF-8)")
    stems = {_name(audio) for audio in folder.audio} | set(texts.values())
    stems |= {audio.with_suffix("") for audio in folder.audio}
    unused = {
        file.stem: file.name
        for file in folder.ending(*SIDECARS)
        if not stems & {file, file.with_suffix(""), file.with_suffix("").with_suffix("")}
    }
    if unused:
        names = list(unused.values())
        notes.append(f"texts: {len(names):,} have no recording of their name: {examples(names)}")
    return notes


def _recordings(folder: Folder, audio: Path, segments: list[Segment]) -> list[Recording]:
    whole = len(segments) == 1 and segments[0].end is None
    return [
        Recording(
            id=folder.id_of(audio) + ("" if whole else f"@{segment.start:.3f}"),
            audio=None if segment.end == segment.start else audio,
            text=segment.text,
            speaker=segment.speaker or "",
            offset=segment.start,
            duration=None if segment.end is None else round(segment.end - segment.start, 6),
            problem=f"{segment.text!r:.60} ends where it starts; expected a label with a length",
        )
        for segment in segments
    ]
