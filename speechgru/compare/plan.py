"""The plan of a comparison: every choice, on disk before a test utterance is read.

DIR/plan.json   the spec, each variant's hidden size and its learning rate (per fold)
DIR/folds/      manifests of leave-one-speaker-out
DIR/tuning/     trainings that only choose a learning rate, on dev
DIR/runs/       trainings that are compared
DIR/results/    one file per training of either kind; with plan.json, all that the report needs
DIR/cost.json   what each variant costs on this machine
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter

from speechgru.compare.folds import fold_manifest, write_folds
from speechgru.compare.matching import Candidate, ModelSize, solve
from speechgru.compare.spec import ComparisonSpec
from speechgru.errors import SpeechgruError
from speechgru.files import read_json, write_json
from speechgru.manifest import read_manifest
from speechgru.recipe import Recipe
from speechgru.text import Vocabulary, normalise

FORMAT = "speechgru-plan-2"
T = TypeVar("T")


@dataclass(frozen=True)
class PlannedRun:
    """One training of the plan."""

    name: str  # of its files
    variant: str
    seed: int
    fold: str  # of the held-out speaker, or ""
    trial: float | None = None  # the learning rate that it tries; None: it is compared


@dataclass(frozen=True)
class Plan:
    """Every choice of a comparison."""

    spec: ComparisonSpec
    sizes: dict[str, ModelSize]  # variant → size
    folds: tuple[str, ...] = ()  # names of the held-out speakers' folders
    learning_rates: dict[str, dict[str, float]] | None = None
    # variant → fold ("" without folds) → rate; None until tuning has chosen them
    data: str = ""  # fingerprint of all utterances; "" in plans of older versions

    def runs(self) -> list[PlannedRun]:
        """The trainings that are compared. Variants alternate within a seed, so that an unfinished
        comparison is as balanced as possible."""
        return [
            PlannedRun(run_name(variant, seed, fold), variant, seed, fold)
            for seed in range(1, self.spec.seeds + 1)
            for fold in self.folds or ("",)
            for variant in self.spec.names
        ]

    def trials(self) -> list[PlannedRun]:
        """The trainings that try learning rates; only dev is scored."""
        return [
            PlannedRun(run_name(variant, 1, fold, rate), variant, 1, fold, rate)
            for fold in self.folds or ("",)
            for variant in self.spec.names
            for rate in self.spec.learning_rates
        ]

    def recipe(self, run: PlannedRun, folder: Path) -> Recipe:
        """What a run is trained with; `folder` is the comparison's."""
        rate = run.trial or (self.learning_rates or {})[run.variant][run.fold]
        changes: dict[str, dict[str, object]] = {
            "model": {"hidden_size": self.sizes[run.variant].hidden_size},
            "training": {"seed": run.seed, "learning_rate": rate},
        }
        if run.fold:
            train, dev = (str(fold_manifest(folder, run.fold, split)) for split in ("train", "dev"))
            changes["data"] = {"train": [train], "dev": dev}
        recipe = self.spec.recipe_of(run.variant)
        return recipe.model_copy(
            update={
                section: getattr(recipe, section).model_copy(update=values)
                for section, values in changes.items()
            }
        )

    def save(self, folder: Path) -> None:
        values = TypeAdapter(Plan).dump_python(self, mode="json")
        write_json(folder / "plan.json", {"format": FORMAT, **values})


def run_name(variant: str, seed: int, fold: str, rate: float | None = None) -> str:
    """`gru-seed2`, `gru-seed2-anna`, `gru-lr0.003-seed1`: the name of a run's files."""
    trial = "" if rate is None else f"-lr{rate:g}"
    return f"{variant}{trial}-seed{seed}" + (f"-{fold}" if fold else "")


def make_plan(spec: ComparisonSpec, folder: Path, device: torch.device) -> Plan:
    """The plan in `folder`, made now or read; once made it only gains the tuned learning rates.

    Raises SpeechgruError: another comparison in the folder, or a plan that cannot be read.
    """
    recipes = {name: spec.recipe_of(name) for name in spec.names}
    paths = []
    for recipe in (spec.recipe, *recipes.values()):
        paths += [*recipe.data.train, recipe.data.dev]
    paths += [spec.test] if spec.test else []
    manifests = {path: read_manifest(path) for path in dict.fromkeys(paths)}
    everything = [
        [(os.path.basename(u.audio), u.offset, u.duration, u.text, u.speaker) for u in utterances]
        for utterances in manifests.values()
    ]  # not where files are: they may be moved
    data = hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:16]
    old = read_plan(folder) if (folder / "plan.json").exists() else None
    if old is not None:
        _check_same(folder, old.spec, spec)
        if old.data not in ("", data):
            raise SpeechgruError(
                f"{folder}: utterances or texts in the manifests have changed since this "
                "comparison was planned; restore them, or name another folder with --out"
            )
    folds = write_folds(manifests, folder) if spec.by_speaker else ()
    if old is not None:
        return old

    def candidate(recipe: Recipe) -> Candidate:
        texts = (u.text for path in recipe.data.train for u in manifests[path])
        vocabulary = Vocabulary.from_texts(normalise(text, recipe.text) for text in texts)
        return Candidate(recipe, len(vocabulary))

    reference = candidate(spec.recipe)
    sizes = {
        name: solve(spec.match, reference, candidate(recipe), device)
        for name, recipe in recipes.items()
    }
    rates = {
        name: dict.fromkeys(folds or ("",), recipe.training.learning_rate)
        for name, recipe in recipes.items()
    }
    plan = Plan(spec, sizes, folds, None if spec.learning_rates else rates, data)
    plan.save(folder)
    return plan


def _check_same(folder: Path, old: ComparisonSpec, new: ComparisonSpec) -> None:
    """Refuse to continue a comparison with other options."""

    def options(spec: ComparisonSpec) -> dict[str, object]:
        sections = spec.recipe.model_dump(mode="json")
        recipe = {f"{s}.{key}": v for s, values in sections.items() for key, v in values.items()}
        fields = {name: getattr(spec, name) for name in ("key", "names", "seeds", "test")}
        others = ("by_speaker", "match", "learning_rates")
        return recipe | fields | {name: getattr(spec, name) for name in others}

    before, after = options(old), options(new)
    changed = [f"{k}: {before[k]!r} → {after[k]!r}" for k in after if before[k] != after[k]]
    if changed:
        raise SpeechgruError(
            f"{folder} contains another comparison ({'; '.join(changed[:3])}): continue it with "
            "the options it was started with, or name another folder with --out"
        )


def read_plan(folder: Path) -> Plan:
    """Raises SpeechgruError: no plan, or a file that is not one."""
    return read_as(Plan, folder / "plan.json", "a comparison plan", FORMAT, _from_version_1)


def read_as(
    kind: type[T],
    file: Path,
    what: str,
    newest: str,
    migrate: Callable[[dict[str, Any]], dict[str, Any]],
) -> T:
    """A JSON file as a dataclass, its values checked; those of an older format than the `newest`
    are migrated. Raises SpeechgruError: no such file, or a damaged one."""
    values = read_json(file, what)
    try:
        values = values if values.get("format") == newest else migrate(values)
        return TypeAdapter(kind).validate_python(values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SpeechgruError(f"{file}: expected {what}, {newest}; {reason:.200}") from None


def _from_version_1(values: dict[str, Any]) -> dict[str, Any]:
    """Plans of `speechgru-plan-1`: other names, and variants without their values."""
    old = values["question"]
    recipe = old["recipe"]
    if "width" in recipe["model"]:
        recipe["model"]["hidden_size"] = recipe["model"].pop("width")
    recipe["model"].setdefault("forget_bias", 0.0)  # as torch.nn draws it
    for section, key in (("training", "optimiser"), ("model", "projection"), ("model", "residual")):
        recipe[section].pop(key, None)  # each had one value only
    spec = old | {
        "key": old["vary"].replace("model.width", "model.hidden_size"),
        "variants": [{"name": name, "value": name} for name in old["variants"]],
        "by_speaker": old["folds"] == "speaker",
        "match": old["match"].replace("width", "hidden-size"),
    }
    sizes = {name: size | {"hidden_size": size["width"]} for name, size in values["sizes"].items()}
    rates = values["chosen_learning_rates"]
    return values | {"spec": spec, "sizes": sizes, "learning_rates": rates}
