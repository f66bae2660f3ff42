"""A folder of recordings → manifests and a recipe that fits them: what `speechgru init` does."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechgru.corpora import Prepared, read_folder, write_splits
from speechgru.corpora.leaks import Leak, find_leaks
from speechgru.corpora.splits import complete_splits
from speechgru.errors import SpeechgruError
from speechgru.files import atomic_write
from speechgru.manifest import Utterance
from speechgru.proposal import Choice, DataFacts, data_facts, propose, relative, to_recipe, to_yaml

SPOKEN = "%$€£¥&@+=§°#"


@dataclass(frozen=True, slots=True)
class Sources:
    """A folder as it was understood: its layout, what is in it, the sets made of it, and what
    these share. `notes` explain how the sets were made."""

    folder: Path
    layout: str
    prepared: Prepared
    splits: dict[str, list[Utterance]]
    notes: tuple[str, ...]
    leaks: tuple[Leak, ...]


@dataclass(frozen=True, slots=True)
class Project:
    """Where a recipe and its manifests are."""

    name: str
    recipe: Path
    manifests: Path

    def file(self, split: str) -> Path:
        return self.manifests / f"{split}.jsonl"


def new_project(folder: Path, target: Path, force: bool = False) -> Project:
    """The files that a project of this folder in `target` will have, named like the folder.

    Raises SpeechgruError when there is a recipe already and it may not be overwritten.
    """
    name = Path(os.path.abspath(folder)).name or "recordings"
    project = Project(name, target / f"{name}.yaml", target / f"{name}-manifests")
    if os.path.exists(project.recipe) and not force:
        raise SpeechgruError(
            f"{project.recipe}: exists already; give --force to overwrite it, or another --out"
        )
    return project


def read_sources(
    folder: Path, layout: str | None = None, columns: Mapping[str, str] | None = None
) -> Sources:
    """Read a folder and complete its splits. Raises CorpusError."""
    found, prepared = read_folder(folder, layout, columns)
    made = complete_splits(prepared.splits)
    sets = {name: listed for name, listed in made.splits.items() if "+" not in name}
    return Sources(folder, found, prepared, made.splits, made.notes, tuple(find_leaks(sets)))


def write_manifests(sources: Sources, project: Project) -> list[Path]:
    """One manifest per set. Raises ManifestError."""
    return write_splits(replace(sources.prepared, splits=sources.splits), project.manifests)


def write_recipe(
    sources: Sources, project: Project, bandwidth: float | None = None
) -> tuple[DataFacts, list[Choice]]:
    """Write the recipe; returns what the rules read, and their choices. `bandwidth`: median of the
    training audio's highest frequency with a signal, Hz, if it was measured."""
    facts = data_facts(sources.splits["train"], bandwidth)
    current = Path.cwd()
    dev = next(name for name in sources.splits if name.startswith("dev"))
    paths = (relative(project.file(name), current) for name in ("train", dev))
    choices = propose(facts, *paths)
    head = [
        f"{project.name}: {facts.utterances:,} training utterances, {facts.hours:.2f} hours, "
        f"{facts.distinct_words:,} different words.",
        "Written by `speechgru init`; edit it as you like. docs/recipe.md has all settings.",
    ]
    to_recipe(choices)  # checks them
    atomic_write(project.recipe, to_yaml(choices, head))
    return facts, choices


def spelled_out(utterances: Sequence[Utterance]) -> list[tuple[str, int, str]]:
    """Digits, and each symbol that is spoken as a word: what it is, how many texts have it, and one
    of them. A model can only learn what is written as the words that are spoken."""
    found: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        chars = {char for char in utterance.text if char.isdigit() or char in SPOKEN}
        for kind in {"digits" if char.isdigit() else char for char in chars}:
            found.setdefault(kind, []).append(utterance)
    return [(kind, len(texts), texts[0].text) for kind, texts in sorted(found.items())]
