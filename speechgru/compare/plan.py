"""The plan of a comparison: every choice, on disk before a test utterance is read.

DIR/plan.json   the spec, each variant's hidden size and its learning rate (per fold)
DIR/folds/      manifests of leave-one-speaker-out
DIR/tuning/     trainings that only choose a learning rate, on dev; the best continue as runs
DIR/runs/       trainings that are compared
DIR/results/    one file per training of either kind; with plan.json, all that the report needs
DIR/cost.json   what each variant costs on this machine
"""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import TypeAdapter

from speechgru.compare.folds import fold_manifest, write_folds
from speechgru.compare.matching import Candidate, ModelSize, solve
from speechgru.compare.spec import ComparisonSpec
from speechgru.errors import SpeechgruError, TrainingError
from speechgru.files import Json, read_dataclass, write_json
from speechgru.manifest import Utterance, read_manifest
from speechgru.recipe import Recipe
from speechgru.text import normalise
from speechgru.text.units import make_vocabulary
from speechgru.training.data import refuse_unreadable
from speechgru.training.state import RESOURCE_KEYS

FORMAT = "speechgru-plan-3"
TRIAL_SEED = 1  # of the trainings that try learning rates


@dataclass(frozen=True)
class PlannedRun:
    """One training of the plan."""

    variant: str
    seed: int
    fold: str  # of the held-out speaker, or ""
    trial: float | None = None  # the learning rate that it tries; None: it is compared

    @property
    def name(self) -> str:
        """Of its files: `gru-seed2`, `gru-seed2-anna`, `gru-lr0.003-seed1`."""
        trial = "" if self.trial is None else f"-lr{self.trial:g}"
        return f"{self.variant}{trial}-seed{self.seed}" + (f"-{self.fold}" if self.fold else "")


@dataclass(frozen=True)
class Plan:
    """Every choice of a comparison."""

    spec: ComparisonSpec
    sizes: dict[str, ModelSize]  # variant → size
    folds: tuple[str, ...] = ()  # names of the held-out speakers' folders
    learning_rates: dict[str, dict[str, float]] | None = None
    # variant → fold ("" without folds) → rate; None until tuning has chosen them
    data: str = ""  # fingerprint of all utterances; "" in plans of older versions

    def __post_init__(self) -> None:
        rates = self.learning_rates
        for name in self.spec.names:
            if name not in self.sizes:
                raise ValueError(f"no size of {name}")
            if rates is not None and not {*(self.folds or ("",))} <= {*rates.get(name, {})}:
                raise ValueError(f"no learning rate of {name}, or of one of its folds")

    def runs(self) -> list[PlannedRun]:
        """The trainings that are compared. Variants alternate within a seed, so that an unfinished
        comparison is as balanced as possible."""
        seeds = range(1, self.spec.seeds + 1)
        each = itertools.product(seeds, self.folds or ("",), self.spec.names)
        return [PlannedRun(variant, seed, fold) for seed, fold, variant in each]

    def trials(self) -> list[PlannedRun]:
        """The trainings that try learning rates; only dev is scored."""
        rates = self.spec.learning_rates
        each = itertools.product(self.folds or ("",), self.spec.names, rates)
        return [PlannedRun(variant, TRIAL_SEED, fold, rate) for fold, variant, rate in each]

    def recipe(self, run: PlannedRun, folder: Path) -> Recipe:
        """What a run is trained with; `folder` is the comparison's."""
        rate = run.trial or (self.learning_rates or {})[run.variant][run.fold]
        data: dict[str, object] = {}
        if run.fold:
            train, dev = (str(fold_manifest(folder, run.fold, split)) for split in ("train", "dev"))
            data = {"train": [train], "dev": dev}
        return self.spec.recipe_of(run.variant).replace(
            data=data,
            model={"hidden_size": self.sizes[run.variant].hidden_size},
            training={"seed": run.seed, "learning_rate": rate},
        )

    def save(self, folder: Path) -> None:
        values = TypeAdapter(Plan).dump_python(self, mode="json")
        write_json(folder / "plan.json", {"format": FORMAT, **values})


def make_plan(spec: ComparisonSpec, folder: Path, device: torch.device) -> Plan:
    """The plan in `folder`, made now or read; once made it only gains the tuned learning rates.
    One that is read has the paths and resources of `spec`, which may have changed.

    Raises SpeechgruError: another comparison in the folder, a plan that cannot be read, or a dev or
    test set that cannot be scored.
    """
    recipes = {name: spec.recipe_of(name) for name in spec.names}
    old = read_plan(folder) if (folder / "plan.json").exists() else None
    if old is not None:
        _check_same(folder, old, spec)
    manifests = {path: read_manifest(path) for path in dict.fromkeys(_manifests(spec))}
    noises = (read_manifest(path, text_required=False) for path in dict.fromkeys(_noises(spec)))
    everything: list[Sequence[object]] = [
        [(os.path.basename(u.audio), u.offset, u.duration, u.text, u.speaker, u.id) for u in each]
        for each in manifests.values()
    ]  # not where files are: they may be moved
    everything += [[(os.path.basename(u.audio), u.offset, u.duration) for u in n] for n in noises]
    data = hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:16]
    if old is not None and old.data not in ("", data):
        raise SpeechgruError(
            f"{folder}: utterances, ids or texts in the manifests have changed since this "
            "comparison was planned; restore them, or name another folder with --out"
        )
    if old is None:
        _check_scored(spec, manifests)
    folds = write_folds(manifests, folder) if spec.by_speaker else ()
    if old is not None:
        return replace(old, spec=spec)

    def candidate(recipe: Recipe) -> Candidate:
        texts = (u.text for path in recipe.data.train for u in manifests[path])
        normalised = (normalise(text, recipe.text) for text in texts)
        vocabulary = make_vocabulary(normalised, recipe.text)
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


def _manifests(spec: ComparisonSpec) -> list[str]:
    """The paths of all manifests, recipe by recipe, and of the test set."""
    paths = []
    for recipe in (spec.recipe, *map(spec.recipe_of, spec.names)):
        paths += [*recipe.data.train, recipe.data.dev]
    return [*paths, spec.test] if spec.test else paths


def _noises(spec: ComparisonSpec) -> list[str]:
    """The paths of the noise manifests, recipe by recipe."""
    recipes = (spec.recipe, *map(spec.recipe_of, spec.names))
    return [recipe.augment.noise_manifest for recipe in recipes if recipe.augment.noise_manifest]


def _check_scored(spec: ComparisonSpec, manifests: Mapping[str, Sequence[Utterance]]) -> None:
    """Raises TrainingError for dev and test sets that would fail every training, or be noticed only
    when a trained model is scored: audio that cannot be read, or no words."""
    recipes = [] if spec.by_speaker else list(map(spec.recipe_of, spec.names))
    texts = [(recipe.data.dev, recipe.text) for recipe in recipes]
    if spec.test and not spec.by_speaker:
        texts.append((spec.test, spec.recipe.text))
    for path in manifests if spec.by_speaker else dict(texts):
        refuse_unreadable(path, manifests[path])
    for path, rule in dict.fromkeys(texts):
        if not any(normalise(utterance.text, rule) for utterance in manifests[path]):
            raise TrainingError(
                f"{path}: none of the {len(manifests[path])} texts has a word; expected a set with "
                "texts, by which models are scored"
            )


def _check_same(folder: Path, plan: Plan, spec: ComparisonSpec) -> None:
    """Refuse to continue a comparison with options that may change its results: all but the
    resources, and the paths of manifests with the same uses, whose content `plan.data` compares."""
    free = {*RESOURCE_KEYS}
    if plan.data and _uses(_manifests(plan.spec)) == _uses(_manifests(spec)):
        free |= {"data.train", "data.dev", "test"}
    if plan.data and _uses(_noises(plan.spec)) == _uses(_noises(spec)):
        free |= {"augment.noise_manifest"}
    adapter = TypeAdapter(ComparisonSpec)
    old, new = (adapter.dump_python(each, mode="json") for each in (plan.spec, spec))
    for values in (old, new):
        for section, keys in values.pop("recipe").items():
            values |= {f"{section}.{key}": value for key, value in keys.items()}
    changed = [
        f"{key}: {old[key]!r} → {new[key]!r}"
        for key in new
        if key not in free and old[key] != new[key]
    ]
    if changed:
        raise SpeechgruError(
            f"{folder} contains another comparison ({'; '.join(changed[:3])}): continue it with "
            "the options it was started with, or name another folder with --out"
        )


def _uses(paths: list[str]) -> list[int]:
    """The same numbers for the same path."""
    return list(map(paths.index, paths))


def read_plan(folder: Path) -> Plan:
    """Raises SpeechgruError: no plan, or a file that is not one."""
    return read_dataclass(folder / "plan.json", Plan, "a comparison plan", FORMAT, _from_older)


def _from_older(values: Json) -> Json:
    """Plans of `speechgru-plan-2`: their fingerprint of the data was another. Those of
    `speechgru-plan-1`: other names, too, and variants without their values."""
    values = values | {"data": ""}
    if "question" not in values:
        return values
    old = values["question"]
    recipe = old["recipe"]
    if "width" in recipe["model"]:
        recipe["model"]["hidden_size"] = recipe["model"].pop("width")
    recipe["model"].setdefault("forget_bias", 0.0)  # as torch.nn draws it
    for section, key in (("training", "optimiser"), ("model", "projection"), ("model", "residual")):
        recipe[section].pop(key, None)  # each had one value only
    spec = old | {
        "key": old["vary"].replace("model.width", "model.hidden_size"),
        "variants": {name: name for name in old["variants"]},
        "by_speaker": old["folds"] == "speaker",
        "match": old["match"].replace("width", "hidden-size"),
    }
    sizes = {name: size | {"hidden_size": size["width"]} for name, size in values["sizes"].items()}
    rates = values["chosen_learning_rates"]
    return values | {"spec": spec, "sizes": sizes, "learning_rates": rates}
