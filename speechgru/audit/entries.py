"""The lines of manifests, with what was measured of their audio."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from speechgru.audit.kinds import Problem
from speechgru.audit.measure import FileMeasurement, Measurement, measure_file
from speechgru.errors import ManifestError
from speechgru.manifest import Utterance, scan_manifest
from speechgru.recipe import TextRecipe
from speechgru.text import normalise

OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a manifest. `text` is normalised; `file` and `audio` are None before measuring,
    and `audio` also where the file cannot be decoded. `whole`: the utterance is all of its file, or
    should be: nothing in its manifest has an offset."""

    manifest: str
    line: int
    utterance: Utterance
    text: str
    whole: bool = True
    file: FileMeasurement | None = None
    audio: Measurement | None = None

    def problem(self, kind: str, detail: str, correction: float | str | None = None) -> Problem:
        utterance = self.utterance
        part = (0.0, None) if self.whole else (utterance.offset, utterance.duration)
        return Problem(
            kind, self.manifest, self.line, utterance.id, utterance.audio, detail, correction, *part
        )


def read_entries(
    manifests: Sequence[Path], text_recipe: TextRecipe
) -> tuple[list[Entry], list[Problem]]:
    """All lines that can be read, and a problem for each that cannot.

    Raises ManifestError for a manifest that cannot be opened or has no lines.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    for path in manifests:
        before = len(entries) + len(problems)
        for line, found in scan_manifest(path):
            if isinstance(found, ManifestError):
                reason = str(found).removeprefix(f"{path}:{line}: ")
                problems.append(Problem("bad-line", str(path), line, "", "", reason))
            else:
                entries.append(Entry(str(path), line, found, normalise(found.text, text_recipe)))
        if len(entries) + len(problems) == before:
            raise ManifestError(f"{path}: no utterances in it; expected one JSON object per line")
    return entries, problems


def measured(entries: Sequence[Entry], threads: int, on_progress: OnProgress) -> list[Entry]:
    """The same entries with their measurements: each file is decoded once, in `threads`."""
    members: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        members.setdefault(entry.utterance.audio, []).append(index)
    # A segment from 0 to the first pause looks like a whole file with a wrong duration; the other
    # segments of its file may be in another set or in none.
    segmented = {entry.manifest for entry in entries if entry.utterance.offset}
    cut = {entry.utterance.audio for entry in entries if entry.manifest in segmented}
    done = list(entries)
    with ThreadPoolExecutor(threads) as pool:
        files = pool.map(
            lambda path: _measure([entries[i] for i in members[path]], path not in cut), members
        )
        for number, ((path, indices), file) in enumerate(
            zip(members.items(), files, strict=True), 1
        ):
            on_progress(number, len(members), path)
            for index, audio in zip(indices, file.utterances, strict=True):
                done[index] = replace(entries[index], whole=path not in cut, file=file, audio=audio)
    return done


def _measure(entries: Sequence[Entry], whole: bool) -> FileMeasurement:
    """The file of some entries, with their measurements in order."""
    path = entries[0].utterance.audio
    if whole:  # measured once for all of them, to the end of the file
        file = measure_file(path, [(0.0, None)])
        return replace(file, utterances=file.utterances * len(entries))
    segments = [(entry.utterance.offset, entry.utterance.duration) for entry in entries]
    return measure_file(path, segments)
