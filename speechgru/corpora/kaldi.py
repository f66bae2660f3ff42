"""Kaldi data directories: wav.scp, text, and optionally segments, utt2spk and utt2lang.

Directories named train…, dev…, test… and eval… are the splits; of several such words, the last
decides (train_dev, test_dev93, test_eval92). Commands in wav.scp (`sph2pipe … |`) are never run:
where a known program only converts one file, that file is read instead; any other command is named
as a problem.
"""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from speechgru.corpora.common import UNSPLIT, Prepared, Recording, prepared, split_named
from speechgru.corpora.encoding import encoding_notes, read_text
from speechgru.corpora.folder import AudioFinder, Folder
from speechgru.errors import CorpusError, plural

HARMLESS = {  # program → its options that do not change the speech, and how many values each has
    "sph2pipe": {"-f": 1, "-p": 0, "-u": 0, "-a": 0},
    "flac": {"-c": 0, "-d": 0, "-s": 0, "-dc": 0, "-cd": 0, "-cds": 0, "--silent": 0, "--stdout": 0,
             "--decode": 0, "--totally-silent": 0},
    "sox": {"-t": 1, "-r": 1, "-b": 1, "-e": 1, "-c": 1, "-G": 0, "-R": 0, "-V1": 0, "-q": 0},
    "ffmpeg": {"-i": 0, "-f": 1, "-ar": 1, "-ac": 1, "-v": 1, "-loglevel": 1, "-acodec": 1,
               "-c:a": 1, "-y": 0, "-nostdin": 0, "-hide_banner": 0, "-vn": 0, "-threads": 1,
               "-map_metadata": 1, "-sample_fmt": 1},
}  # fmt: skip
QUOTED = re.compile(r"""'[^']*'|"[^"$`\\]*\"""")  # characters that mean themselves to a shell
STANDARD_OUTPUT = {"-", "/dev/stdout", "pipe:1", "pipe:", "pipe:1.wav"}


def find(folder: Folder) -> bool:
    return bool(_directories(folder))


def read(folder: Folder) -> Prepared:
    """Raises CorpusError: no directory with wav.scp and text, or a line that cannot be parsed."""
    finder = AudioFinder(folder)
    by_split: dict[str, list[Recording]] = {}
    notes: list[str] = []
    problems: list[str] = []
    directories = _directories(folder)
    if not directories:
        raise CorpusError(f"{folder.root}: no folder with wav.scp and text in it")
    named = [d for d in directories if _split(d.name)]
    for directory in named or directories:
        recordings = list(_recordings(directory, finder, problems))
        by_split.setdefault(_split(directory.name) or UNSPLIT, []).extend(recordings)
        segments = " in segments" if (directory / "segments").is_file() else ""
        notes.append(f"list: {directory.name}/, {plural(len(recordings), 'utterance')}{segments}")
        notes += encoding_notes([directory / "text"])
    if named and len(named) < len(directories):
        others = [d.name for d in directories if d not in named]
        notes.append(f"splits: {', '.join(others)} are not named as splits; not used")
    return prepared(folder.root, by_split, [*notes, *finder.notes()], problems)


def _split(name: str) -> str | None:
    words = re.split(r"[^a-z]+", name.lower())[::-1]
    words.sort(key=lambda word: len(word) <= 2)  # test_tr is a test set in Turkish
    return next(filter(None, map(split_named, words)), None)


def _directories(folder: Folder) -> list[Path]:
    scripts = [file.parent for file in folder.files if file.name == "wav.scp"]
    return [directory for directory in scripts if (directory / "text") in folder.files]


def _recordings(directory: Path, finder: AudioFinder, problems: list[str]) -> Iterator[Recording]:
    relative = finder.folder.relative
    repeated: dict[str, Path] = {}
    scripts, texts, speakers, langs, cuts = (
        _table(directory / file, repeated)
        for file in ("wav.scp", "text", "utt2spk", "utt2lang", "segments")
    )
    problems += [
        f"{name}: {relative(file)}: several lines, which differ; keep one"
        for name, file in repeated.items()
    ]
    found: dict[str, tuple[Path | None, str | None]] = {}  # the file, or why there is none
    refused = set(repeated)
    for name, script in scripts.items():
        try:
            source = file_of(script)
            found[name] = _find(source, directory, finder), finder.problem(source)
        except ValueError as reason:
            refused.add(name)
            problems.append(f"{name}: {relative(directory / 'wav.scp')}: {reason}")
    segments, wrong = _segments(directory, scripts, cuts)
    file = relative(directory / "segments")
    problems += [f"{name}: {file}: {problem}" for name, problem in wrong.items()]
    for utterance, (recording, offset, duration) in segments.items():
        if refused & {recording, utterance}:
            continue
        if utterance not in texts:
            problems.append(f"{utterance}: not in {relative(directory / 'text')}")
            continue
        audio, problem = found.get(recording, (None, None))
        yield Recording(
            id=utterance,
            audio=audio,
            text=texts[utterance],
            speaker=speakers.get(utterance, ""),
            lang=langs.get(utterance),
            offset=offset,
            duration=duration,
            problem=problem,
        )
    problems += [
        f"{name}: no audio; not in wav.scp or segments"
        for name in texts
        if name not in segments and name not in wrong
    ]


def _table(file: Path, repeated: dict[str, Path]) -> dict[str, str]:
    """First word → the rest of each line; empty where there is no such file. First words of lines
    that differ are added to `repeated`."""
    found: dict[str, str] = {}
    lines = read_text(file).text.split("\n") if file.is_file() else []
    for line in filter(None, map(str.strip, lines)):
        name, *rest = line.split(None, 1)
        if found.setdefault(name, "".join(rest)) != "".join(rest):
            repeated[name] = file
    return found


def _segments(
    directory: Path, scripts: dict[str, str], cuts: dict[str, str]
) -> tuple[dict[str, tuple[str, float, float | None]], dict[str, str]]:
    """Utterance → recording, offset and duration (None: to the end); utterance → what is wrong with
    its line."""
    if not (directory / "segments").is_file():
        return {name: (name, 0.0, None) for name in scripts}, {}
    found: dict[str, tuple[str, float, float | None]] = {}
    wrong: dict[str, str] = {}
    for name, rest in cuts.items():
        try:
            recording, begin, end = rest.split()
            offset, until = float(begin), float(end)
            if not (0 <= offset < 1e9 and (until == -1 or offset < until < 1e9)):
                raise ValueError
        except ValueError:
            wrong[name] = f"expected RECORDING BEGIN END in seconds, found {rest:.60}"
            continue
        found[name] = recording, offset, None if until == -1 else round(until - offset, 6)
    return found, wrong


def _find(name: str, directory: Path, finder: AudioFinder) -> Path | None:
    """Relative to the folder that Kaldi ran in, which may be any of those above."""
    root = finder.folder.root
    for base in (directory, *directory.parents):
        if os.path.isfile(path := os.path.normpath(base / name)):
            return Path(path)
        if base == root:
            break
    return finder.find(name, directory)


def file_of(script: str) -> str:
    """The file that an entry of wav.scp reads.

    >>> file_of("sph2pipe -f wav -p /data/a.sph |"), file_of("my recordings/a.wav")
    ('/data/a.sph', 'my recordings/a.wav')

    Raises ValueError with the reason: a command that is not known to only convert one file.
    """
    script = script.strip()
    if re.search(r"\.ark:\d+$", script):
        raise ValueError(f"an archive ({script:.60}); expected an audio file")
    if not script.endswith("|"):
        return script
    command = script[:-1].strip()
    refusal = ValueError(
        f"the command {command!r:.80} is not run; expected an audio file: convert it first"
    )
    try:
        program, *words = shlex.split(command)
    except ValueError:
        raise refusal from None
    options = HARMLESS.get(os.path.basename(program))
    if options is None or set(QUOTED.sub("", command)) & set("|;&<>`$"):
        raise refusal
    files = []
    while words:
        word = words.pop(0)
        if word in options:
            del words[: options[word]]
        elif word in STANDARD_OUTPUT:
            if os.path.basename(program) in ("sox", "ffmpeg") and words:
                raise refusal  # effects follow
        elif word.startswith("-"):
            raise refusal
        else:
            files.append(word)
    if len(files) != 1:
        raise refusal
    return files[0]
