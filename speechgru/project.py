"""A folder of recordings → manifests and a recipe that fits them: what `speechgru init` does."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from speechgru.audit import AuditReport, audit
from speechgru.audit.entries import OnProgress
from speechgru.audit.report import write_report
from speechgru.corpora import Prepared, read_folder, write_splits
from speechgru.corpora.splits import complete_splits, split_order
from speechgru.errors import CorpusError, SpeechgruError, printable
from speechgru.files import atomic_write, check_writable
from speechgru.manifest import Utterance
from speechgru.model_file import ModelConfig
from speechgru.proposal import Choice, data_facts, propose, relative, to_recipe, to_yaml, unfit
from speechgru.recipe import Recipe

UNUSABLE = (  # kinds of problems of utterances that are excluded: there is nothing to learn from
    "missing-file", "empty-file", "undecodable", "truncated", "silent", "empty-text",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sources:
    """A folder as it was understood: its layout, what is in it, and the sets made of it. `notes`
    explain how."""

    folder: Path
    layout: str
    prepared: Prepared
    splits: dict[str, list[Utterance]]
    notes: tuple[str, ...]


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

    Raises SpeechgruError when they cannot be written, or when there is a recipe already and it may
    not be overwritten.
    """
    name = Path(os.path.abspath(folder)).name or "recordings"
    project = Project(name, target / f"{name}.yaml", target / f"{name}-manifests")
    check_writable(project.recipe)
    check_writable(project.file("train"))
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
    try:
        made = complete_splits(prepared.splits)
    except CorpusError as error:
        count = len(prepared.problems)
        excluded = f"; {count:,} are excluded, the first: {prepared.problems[0]}" if count else ""
        raise CorpusError(f"{folder}: {error}{excluded}") from None
    return Sources(folder, found, prepared, made.splits, made.notes)


def write_manifests(sources: Sources, project: Project) -> list[Path]:
    """One manifest per set. Raises ManifestError."""
    return write_splits(replace(sources.prepared, splits=sources.splits), project.manifests)


def unfit_model(sources: Sources, initial: ModelConfig) -> str | None:
    """Why a model is not one to fine-tune on the training set; None if it is."""
    return unfit(data_facts(sources.splits["train"]), initial)


def audit_project(
    sources: Sources, project: Project, initial: ModelConfig | None, on_progress: OnProgress
) -> tuple[AuditReport, Sources]:
    """Decode everything once: what is wrong with the sets, and the sets without UNUSABLE
    utterances, whose manifests are written again; audit.html has the details.

    Raises CorpusError when a set would be empty.
    """
    order = sorted(sources.splits, key=split_order)
    recipe = _proposed(sources, project, initial)
    report = audit([project.file(name) for name in order], recipe, on_progress=on_progress)
    write_report(report, project.manifests)
    unusable = {(p.manifest, p.id) for p in report.problems if p.kind in UNUSABLE}
    if not unusable:
        return report, sources
    splits = {
        name: [u for u in listed if (str(project.file(name)), u.id) not in unusable]
        for name, listed in sources.splits.items()
    }
    if empty := [name for name in order if not splits[name]]:
        raise CorpusError(f"{sources.folder}: no usable utterance is left in {', '.join(empty)}")
    sources = replace(sources, splits=splits)
    write_manifests(sources, project)
    return report, sources


def write_recipe(
    sources: Sources, project: Project, initial: ModelConfig | None, report: AuditReport
) -> list[Choice]:
    """Write the recipe that fits the training set, to fine-tune `initial` if that is a model;
    returns its choices."""
    train = report.facts.manifests[0]
    bandwidth = None if train.bandwidth is None else train.bandwidth.median
    facts = data_facts(sources.splits["train"], bandwidth)
    choices = propose(facts, *_manifests_in_recipe(sources, project), initial)
    head = [
        f"{printable(project.name)}: {facts.utterances:,} training utterances, "
        f"{facts.hours:.2f} hours, {facts.distinct_words:,} different words.",
        "Written by `speechgru init`; edit it as you like. docs/recipe.md has all settings.",
    ]
    to_recipe(choices, initial)  # checks them
    atomic_write(project.recipe, to_yaml(choices, head))
    return choices


def _proposed(sources: Sources, project: Project, initial: ModelConfig | None) -> Recipe:
    """The recipe by what is known before the audit, whose checks depend on it."""
    facts = data_facts(sources.splits["train"])
    choices = propose(facts, *_manifests_in_recipe(sources, project), initial)
    return to_recipe(choices, initial)


def _manifests_in_recipe(sources: Sources, project: Project) -> tuple[str, str]:
    dev = next(name for name in sources.splits if name.startswith("dev"))
    current = Path.cwd()
    return relative(project.file("train"), current), relative(project.file(dev), current)
