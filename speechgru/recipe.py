"""Every knob, its default and its meaning: the schema of a recipe.

Design choices:
- A recipe file holds only what differs from the defaults written here; no other module invents one.
- Each module receives its own section (`FeatureRecipe`, `ModelRecipe`, …), never the whole.
- A recipe holds numbers and strings. It builds nothing: YAML tags are refused.
- An unknown key is an error that names the nearest valid one.
"""

import difflib
import hashlib
import json
import os
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from speechgru.errors import RecipeError, printable

MAX_RECIPE_BYTES = 1_000_000
FORMER_KEYS = {
    "model.width": "it is now model.hidden_size",
    "model.residual": "remove it",
    "model.projection": "remove it",
    "training.optimiser": "remove it; AdamW is the only one",
}


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class DataRecipe(Section):
    """Where the utterances are. Paths are relative to the working directory."""

    train: list[str] = Field(["data/digits/train.jsonl"], min_length=1)
    dev: str = "data/digits/dev.jsonl"
    max_seconds: float = Field(30.0, gt=0, description="longer training utterances are left out")

    @field_validator("train", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class TextRecipe(Section):
    """How references become what the model learns; the same rule is applied when scoring."""

    case: Literal["lower", "upper", "keep"] = "lower"
    punctuation: Literal["remove", "keep"] = Field(
        "remove", description="remove all but letters, digits, apostrophe and space"
    )


class FeatureRecipe(Section):
    """From waveform to frames: Spectrogram without centring → mel → log (→ DCT)."""

    kind: Literal["logmel", "mfcc"] = "logmel"
    sample_rate: int = Field(16000, ge=2000, le=192000, description="Hz; audio is resampled to it")
    window_ms: float = Field(25.0, gt=0, le=200)
    hop_ms: float = Field(10.0, gt=0, le=100)
    mels: int = Field(80, ge=4, le=256)
    low_hz: float = Field(20.0, ge=0)
    high_hz: float | None = Field(None, description="Hz; default half the sample rate")
    cepstra: int = Field(13, ge=1, le=128, description="MFCC only")
    deltas: Literal[0, 1, 2] = Field(0, description="append first (and second) differences")
    normalise: Literal["utterance", "global", "none"] = "utterance"

    @property
    def hop(self) -> int:
        """`hop_ms` in whole samples."""
        return round(self.hop_ms * self.sample_rate / 1000)

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate / self.hop

    @model_validator(mode="after")
    def _consistent(self) -> "FeatureRecipe":
        if self.hop_ms > self.window_ms:
            raise ValueError(f"hop_ms {self.hop_ms} is longer than window_ms {self.window_ms}")
        if self.kind == "mfcc" and self.cepstra > self.mels:
            raise ValueError(f"cepstra {self.cepstra} exceeds mels {self.mels}")
        if self.hop < 1:
            raise ValueError(f"hop_ms {self.hop_ms} is less than a sample at {self.sample_rate} Hz")
        if self.high_hz is None and self.low_hz >= self.sample_rate / 2:
            raise ValueError(
                f"low_hz {self.low_hz} must lie below half the sample rate {self.sample_rate / 2}"
            )
        if self.high_hz is not None and not self.low_hz < self.high_hz <= self.sample_rate / 2:
            raise ValueError(
                f"high_hz {self.high_hz} must lie between low_hz {self.low_hz} "
                f"and half the sample rate {self.sample_rate / 2}"
            )
        return self


class AugmentRecipe(Section):
    """Training only. Every draw depends on (seed, epoch, utterance) and nothing else."""

    speed: list[float] = Field(
        [1.0], min_length=1, description="one factor is drawn an utterance; 1.1 is faster"
    )
    noise_manifest: str | None = Field(None, description="recordings to mix in")
    noise_probability: float = Field(0.5, ge=0, le=1)
    noise_snr_db: tuple[float, float] = (5.0, 25.0)
    frequency_warp: float = Field(
        0.0, ge=0, le=0.3, description="vocal tract length: mel axis stretched by 1 ± this"
    )
    frequency_masks: int = Field(0, ge=0, description="SpecAugment")
    frequency_mask_width: int = Field(
        20, ge=1, description="most mel bands a mask; of cepstra the same share"
    )
    time_masks: int = Field(0, ge=0, description="SpecAugment, per 10 s of audio, at least one")
    time_mask_frames: int = Field(20, ge=1, description="most frames a mask")

    @model_validator(mode="after")
    def _consistent(self) -> "AugmentRecipe":
        if any(not 0.5 <= factor <= 2 for factor in self.speed):
            raise ValueError(f"speed factors must lie between 0.5 and 2, got {self.speed}")
        if self.noise_snr_db[0] > self.noise_snr_db[1]:
            raise ValueError(f"noise_snr_db must be [low, high], got {list(self.noise_snr_db)}")
        return self


class ModelRecipe(Section):
    """subsampling → recurrent stack → CTC head."""

    cell: str = Field("gru", description="a name in speechgru.cells.CELLS")
    layers: int = Field(2, ge=1, le=16)
    hidden_size: int = Field(128, ge=1, le=4096, description="units per direction")
    bidirectional: bool = True
    subsampling: Literal["stack", "conv"] = "conv"
    factor: Literal[1, 2, 3, 4] = Field(2, description="frames of features a model frame")
    conv_channels: int = Field(32, ge=1, le=512, description="subsampling: conv only")
    dropout: float = Field(0.1, ge=0, lt=1, description="between layers and before the head")
    layer_norm: bool = Field(True, description="normalise each layer's input")
    forget_bias: float = Field(
        1.0,
        ge=-10,
        le=10,
        description="initial bias of the forget gate (lstm, lstm_ln, cifg, minlstm; others have "
        "none); 0: as torch.nn.LSTM",
    )


class TrainingRecipe(Section):
    epochs: int = Field(30, ge=1)
    batch_seconds: float = Field(
        60.0, gt=0, description="audio a batch, padding included, before augment.speed"
    )
    accumulate: int = Field(1, ge=1, description="batches an optimiser step")
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    warmup: float = Field(0.15, ge=0, lt=1, description="share of all steps")
    clip_norm: float = Field(1.0, gt=0)
    average: int = Field(
        0, ge=0, description="also try the mean of the weights of so many best epochs; 0: off"
    )
    evaluate_every: int = Field(1, ge=1, description="epochs between scorings of dev")
    patience: int = Field(0, ge=0, description="stop after so many scorings without gain; 0: never")
    max_bad_steps: int = Field(20, ge=1, description="NaN or Inf steps in a row before giving up")
    seed: int = Field(1, ge=0, lt=2**32)
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="matrix products in training; auto: bfloat16 on GPUs with hardware for it, "
        "else float32. On a GPU, CTC gradients are not deterministic in any precision",
    )
    workers: int = Field(1, ge=0, description="threads that load and augment beside the training")
    cache_mb: int = Field(1024, ge=0, description="decoded audio kept in memory at most")


class Recipe(Section):
    data: DataRecipe = DataRecipe()
    text: TextRecipe = TextRecipe()
    features: FeatureRecipe = FeatureRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    model: ModelRecipe = ModelRecipe()
    training: TrainingRecipe = TrainingRecipe()

    def to_yaml(self) -> str:
        """Everything resolved, in the schema's order."""
        values = self.model_dump(mode="json")
        # U+0085 must be written as an escape: YAML reads the character as the end of a line.
        plain = "\x85" not in json.dumps(values, ensure_ascii=False)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=plain)

    def fingerprint(self) -> str:
        """Sixteen hex digits that change when any value does."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe and apply `section.key=value` overrides.

    `path` is a YAML file, a folder that holds `recipe.yaml`, or `recipes/NAME` of a recipe that
    ships with the package. Raises RecipeError: missing or unreadable file, unknown key (with the
    nearest valid name), value of the wrong kind.
    """
    file, texts = _find(Path(path)), list(overrides)
    values = _read_yaml(file)
    for text in texts:
        _override(values, text)
    return make_recipe(values, printable(file), texts)


def make_recipe(
    values: dict[str, Any], origin: str = "recipe", overrides: Iterable[str] = ()
) -> Recipe:
    """Validate plain values. A RecipeError names the one of the `overrides` already applied to
    them that it comes from, else their `origin`."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as fault:
        blamed = _blamed(fault, overrides) or origin
        raise RecipeError(f"{blamed}: {_explain(fault)}") from None


def override(recipe: Recipe, overrides: Iterable[str]) -> Recipe:
    """A copy of a recipe with `section.key=value` overrides applied. Raises RecipeError."""
    texts = list(overrides)
    values = recipe.model_dump(mode="json")
    for text in texts:
        _override(values, text)
    return make_recipe(values, "recipe", texts)


def _find(path: Path) -> Path:
    candidates = [path, path / "recipe.yaml"]
    if path.parts[:-1] == ("recipes",):
        candidates += [home / path.name / "recipe.yaml" for home in _homes()]
    for candidate in candidates:
        if os.path.isfile(candidate):
            return candidate
    raise RecipeError(
        f"no recipe at {path}: expected a YAML file, a folder with recipe.yaml, or "
        f"recipes/NAME with NAME one of {', '.join(shipped_recipes())}"
    )


def shipped_recipes() -> list[str]:
    """Names under recipes/, in the installed package or the repository."""
    return sorted({p.parent.name for home in _homes() for p in home.glob("*/recipe.yaml")})


def _homes() -> list[Path]:
    here = Path(__file__).parent
    return [here / "recipes", here.parent / "recipes"]


class _Loader(yaml.SafeLoader):
    """Plain values: no tags; no aliases, a few of which can fill the memory; no key twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("a recipe has no aliases; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise yaml.YAMLError(f"the key {name!r:.40} stands there twice; keep one")
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    """Raises ValueError with a reason in one line."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (yaml.YAMLError, ValueError) as fault:  # ValueError: 2024-99-99, too long a number
        raise ValueError(" ".join(str(fault).split())) from None


def _read_yaml(file: Path) -> dict[str, Any]:
    name = printable(file)
    try:
        if file.stat().st_size > MAX_RECIPE_BYTES:
            raise RecipeError(f"{name}: larger than {MAX_RECIPE_BYTES} bytes, not a recipe")
        values = _parse(file.read_text(encoding="utf-8"))
    except OSError as fault:
        raise RecipeError(f"{name}: cannot be read: {fault.strerror}") from None
    except ValueError as fault:
        raise RecipeError(f"{name}: not a plain YAML file: {fault}") from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise RecipeError(f"{name}: expected sections such as 'model:', found {values!r:.60}")
    return values


def _override(values: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (equals and dot and section and name):
        raise RecipeError(
            f"override {text!r:.80}: expected section.key=value, as model.hidden_size=256"
        )
    try:
        parsed = _parse(value)
    except ValueError as fault:
        raise RecipeError(f"override {text!r:.80}: the value is not plain YAML: {fault}") from None
    held = values.get(section)
    if held is None:
        held = values[section] = {}
    if not isinstance(held, dict):
        raise RecipeError(f"override {text!r:.80}: section {section!r} of the recipe holds no keys")
    held[name] = parsed


def _blamed(fault: ValidationError, overrides: Iterable[str]) -> str:
    """The last override of the faulty key, of a part of it or of its section; "" if there is
    none."""
    key = ".".join(map(str, fault.errors()[0]["loc"])) + "."
    blamed = ""
    for text in overrides:
        name = text.partition("=")[0].strip() + "."
        if name.startswith(key) or key.startswith(name):
            blamed = f"override {text!r:.80}"
    return blamed


def _explain(fault: ValidationError) -> str:
    """The first fault in words; an unknown key gets its nearest valid name."""
    error = fault.errors()[0]
    place = [str(part) for part in error["loc"]]
    key = ".".join(place)
    if error["type"] == "extra_forbidden":
        if key in FORMER_KEYS:
            return f"{key!r} was a key of earlier versions: {FORMER_KEYS[key]}"
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {'.'.join([*place[:-1], near[0]])!r}?" if near else ""
        return f"unknown key {key!r}: {hint or 'expected one of ' + ', '.join(known)}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "list_type":
        message = "expected a list, such as '[a, b]'"
    where = f"{key}: " if key else ""
    given = error.get("input")
    got = "" if isinstance(given, dict | BaseModel) else f" (got {given!r:.80})"
    return f"{where}{message[0].lower() + message[1:]}{got}"


def _known_keys(sections: list[str]) -> list[str]:
    model: type[BaseModel] = Recipe
    for name in sections:
        annotation = model.model_fields[name].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
