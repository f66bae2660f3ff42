"""The plan of a comparison: every choice, on disk before a test utterance is touched.

DIR/plan.json   the question, each variant's width, each variant's (and fold's) learning rate
DIR/folds/      manifests of held-out speakers
DIR/tuning/     trainings that only chose a learning rate, on dev
DIR/runs/       trainings that are compared
DIR/results/    one compact file a training of either kind: all that the report needs
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from speechgru.compare.folds import Fold, common_folder, speaker_folds
from speechgru.compare.matching import Size, at_width, solve
from speechgru.compare.question import Question, Variant, with_values
from speechgru.compare.spec import ComparisonSpec
from speechgru.compare.work import Task
from speechgru.errors import SpeechgruError
from speechgru.files import read_json, write_json
from speechgru.manifest import read_manifest
from speechgru.recipe import Recipe
from speechgru.text import Vocabulary, normalise

FORMAT = "speechgru-plan-1"
Rates = dict[str, dict[str, float]]  # variant → fold ("" without folds) → learning rate


@dataclass
class _OldPlan:
    """What will be trained. `rates` is None until tuning has chosen them."""

    question: Question
    folder: Path
    sizes: dict[str, Size]
    folds: list[Fold] = field(default_factory=list)
    rates: Rates | None = None
    data: str = ""  # fingerprint of every utterance that takes part

    def trials(self, device: str, threads: int) -> Iterator[Task]:
        """Trainings with every learning rate of the grid; none of them sees test."""
        for fold in self._folds():
            held_out = fold.name if fold else ""
            for variant in self.question.variants:
                for rate in self.question.rates:
                    name = run_name(variant.name, 1, held_out, rate)
                    recipe = self._recipe(variant, 1, fold, rate)
                    yield Task(
                        name, variant.name, 1, held_out, recipe, None, "",
                        str(self.folder / "tuning" / name), str(self.result_file(name)),
                        device, threads,
                    )  # fmt: skip

    def runs(self, device: str, threads: int) -> Iterator[Task]:
        """The trainings that are compared: variant by variant within a seed, so that an unfinished
        grid is as even as can be."""
        assert self.rates is not None, "learning rates are chosen before the first run"
        root = str(self._audio_root())
        for seed in range(1, self.question.seeds + 1):
            for fold in self._folds():
                held_out = fold.name if fold else ""
                for variant in self.question.variants:
                    rate = self.rates[variant.name][held_out]
                    name = run_name(variant.name, seed, held_out)
                    recipe = self._recipe(variant, seed, fold, rate)
                    scored = str(fold.test) if fold else self.question.test or recipe.data.dev
                    yield Task(
                        name, variant.name, seed, held_out, recipe, scored, root,
                        str(self.folder / "runs" / name), str(self.result_file(name)),
                        device, threads,
                    )  # fmt: skip

    def result_file(self, name: str) -> Path:
        return self.folder / "results" / f"{name}.json"

    def save(self) -> None:
        write_json(self.folder / "plan.json", self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "question": self.question.to_json(),
            "sizes": {name: size.to_json() for name, size in self.sizes.items()},
            "folds": [fold.name for fold in self.folds],
            "chosen_learning_rates": self.rates,
            "data": self.data,
        }

    def _folds(self) -> list[Fold | None]:
        return [*self.folds] or [None]

    def _recipe(self, variant: Variant, seed: int, fold: Fold | None, rate: float) -> Recipe:
        changes: dict[str, object] = {"training.seed": seed, "training.learning_rate": rate}
        if fold is not None:
            changes |= {"data.train": [str(fold.train)], "data.dev": str(fold.dev)}
        return with_values(at_width(variant.recipe, self.sizes[variant.name].width), changes)

    def _audio_root(self) -> Path:
        if self.folds:
            return common_folder([u for fold in self.folds for u in read_manifest(fold.test)])
        return common_folder(read_manifest(self.question.test or self.question.recipe.data.dev))


def run_name(variant: str, seed: int, fold: str, rate: float | None = None) -> str:
    """`gru-seed2`, `gru-seed2-anna`, `gru-lr0.003-seed1`: the name of a training's files."""
    trial = "" if rate is None else f"-lr{rate:g}"
    return f"{variant}{trial}-seed{seed}" + (f"-{fold}" if fold else "")


def make_plan(question: Question, folder: Path) -> _OldPlan:
    """The plan of `folder`, made now or read back; a plan once made is kept.

    Raises SpeechgruError when the folder holds another comparison, or a plan that cannot be read.
    """
    old = read_plan_values(folder) if os.path.exists(folder / "plan.json") else None
    data = _data(question)
    if old is not None:
        _check_same(folder, old["question"], question.to_json())
        if old.get("data", data) != data:
            raise SpeechgruError(
                f"{folder}: its manifests hold other utterances or texts than when it was "
                "planned; name another folder with --out"
            )
    folds = speaker_folds(_manifests(question), folder / "folds") if question.by_speaker else []
    if old is not None:
        sizes = {name: Size(**size) for name, size in old["sizes"].items()}
        return _OldPlan(question, folder, sizes, folds, old["chosen_learning_rates"], data)
    tokens = _tokens(question.recipe)
    sizes = {
        variant.name: solve(
            question.match, question.recipe, variant.recipe, tokens, _tokens(variant.recipe)
        )
        for variant in question.variants
    }
    plan = _OldPlan(question, folder, sizes, folds, data=data)
    if not question.rates:
        plan.rates = {
            variant.name: {
                fold.name if fold else "": variant.recipe.training.learning_rate
                for fold in plan._folds()
            }
            for variant in question.variants
        }
    plan.save()
    return plan


def read_plan_values(folder: Path) -> dict[str, Any]:
    """Raises SpeechgruError: no plan, or a file that is not one."""
    file = folder / "plan.json"
    plan = read_json(file, "a plan that `speechgru compare` wrote")
    if (found := plan.get("format")) != FORMAT:
        raise SpeechgruError(f"{file}: expected a plan of format {FORMAT!r}, found {found!r:.40}")
    return plan


def _check_same(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    flat = [
        {**{f"{s}.{k}": v for s, keys in each["recipe"].items() for k, v in keys.items()},
         **{k: v for k, v in each.items() if k != "recipe"}}
        for each in (old, new)
    ]  # fmt: skip
    changed = [
        f"{k}: {flat[0].get(k)!r} → {v!r}" for k, v in flat[1].items() if flat[0].get(k) != v
    ]
    if changed:
        raise SpeechgruError(
            f"{folder} holds another comparison ({'; '.join(changed[:3])}): a comparison "
            "keeps its terms; name another folder with --out"
        )


def _manifests(question: Question) -> list[str]:
    """Every manifest that some variant reads, the recipe's own first."""
    found: list[str] = []
    for recipe in (question.recipe, *(variant.recipe for variant in question.variants)):
        found += [*recipe.data.train, recipe.data.dev]
    return list(dict.fromkeys([*found, *([question.test] if question.test else [])]))


def _data(question: Question) -> str:
    """Changes when an utterance, its text, length or speaker does, but not with where it lies."""
    everyone = [
        [
            (os.path.basename(u.audio), u.offset, u.duration, u.text, u.speaker)
            for u in read_manifest(manifest)
        ]
        for manifest in _manifests(question)
    ]
    return hashlib.sha256(json.dumps(everyone).encode()).hexdigest()[:16]


def _tokens(recipe: Recipe) -> int:
    """Size of the vocabulary of the recipe's training texts."""
    texts = (u.text for path in recipe.data.train for u in read_manifest(path))
    return len(Vocabulary.from_texts(normalise(text, recipe.text) for text in texts))


# New format; replaces the above once the runner uses it ------------------------------------------

NEW_FORMAT = "speechgru-plan-2"


@dataclass(frozen=True)
class ModelSize:
    """A variant's model before training; `ratio` is its cost ÷ the cost it should match."""

    hidden_size: int
    parameters: int
    macs_per_second: float  # multiply-accumulates per second of audio
    ratio: float
    within: bool  # the tolerance of the match


@dataclass(frozen=True)
class PlannedRun:
    """One training of the plan."""

    name: str  # of its files
    variant: str
    seed: int
    fold: str  # the held-out speaker's folder, or ""


@dataclass(frozen=True)
class Plan:
    """Every choice of a comparison, fixed before a test utterance is read: DIR/plan.json."""

    spec: ComparisonSpec
    sizes: dict[str, ModelSize]  # variant → size
    folds: tuple[str, ...] = ()  # names of held-out speakers' folders
    learning_rates: dict[str, dict[str, float]] | None = None
    # variant → fold ("" without folds) → rate; None until tuning has chosen them
    data: str = ""  # fingerprint of every utterance; "" in plans of older versions

    def runs(self) -> list[PlannedRun]:
        """The trainings that are compared. Variants alternate within a seed, so that an unfinished
        comparison is as balanced as possible."""
        return [
            PlannedRun(run_name(variant, seed, fold), variant, seed, fold)
            for seed in range(1, self.spec.seeds + 1)
            for fold in self.folds or ("",)
            for variant in self.spec.names
        ]

    def trials(self) -> dict[float, list[PlannedRun]]:
        """Learning rate → the trainings that try it; only dev is scored."""
        return {
            rate: [
                PlannedRun(run_name(variant, 1, fold, rate), variant, 1, fold)
                for fold in self.folds or ("",)
                for variant in self.spec.names
            ]
            for rate in self.spec.learning_rates
        }


def read_plan(folder: Path) -> Plan:
    """Raises SpeechgruError: no plan, or a file that is not one."""
    file = folder / "plan.json"
    if not file.exists():
        raise SpeechgruError(f"{file}: no such file; expected a folder of `speechgru compare`")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["format"] == FORMAT:
            values = _from_version_1(values)
        elif values["format"] != NEW_FORMAT:
            raise ValueError(f"its format is {values['format']!r}")
        return TypeAdapter(Plan).validate_python(values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise SpeechgruError(f"{file}: not the plan of a comparison ({reason:.200})") from None


def _from_version_1(values: dict[str, Any]) -> dict[str, Any]:
    """Plans of `speechgru-plan-1`: other names, and variants without their values."""
    old = values["question"]
    recipe = {section: dict(keys) for section, keys in old["recipe"].items()}
    if "width" in recipe["model"]:
        recipe["model"]["hidden_size"] = recipe["model"].pop("width")
    recipe["model"].setdefault("forget_bias", 0.0)  # as torch.nn draws it
    for section, key in (("training", "optimiser"), ("model", "projection"), ("model", "residual")):
        recipe[section].pop(key, None)
    spec = {
        "recipe": recipe,
        "key": old["vary"].replace("model.width", "model.hidden_size"),
        "variants": [{"name": name, "value": name} for name in old["variants"]],
        "seeds": old["seeds"],
        "test": old["test"],
        "by_speaker": old["folds"] == "speaker",
        "match": "hidden-size" if old["match"] == "width" else old["match"],
        "learning_rates": old["learning_rates"],
    }
    sizes = {
        name: {"hidden_size": size.get("width"), **size} for name, size in values["sizes"].items()
    }
    return {
        "spec": spec,
        "sizes": sizes,
        "folds": values["folds"],
        "learning_rates": values["chosen_learning_rates"],
        "data": values.get("data", ""),
    }
