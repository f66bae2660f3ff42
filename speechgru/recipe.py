"""All settings of a recipe, with defaults and descriptions. `recipe_file` reads them from YAML.

Design choices:
- A recipe file contains only what differs from the defaults here; no other module has defaults.
- Each module gets its own section (`FeatureRecipe`, `ModelRecipe`, …), never the whole recipe.
- A recipe consists of numbers and strings; it builds no objects.
- docs/recipe.md is generated from this file: `python docs/write_recipe.py`.
"""

import json
import re
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from speechgru.errors import RecipeError

FORMER_KEYS = {
    "model.width": "renamed to 'model.hidden_size'",
    "model.residual": "removed; delete it",
    "model.projection": "removed; delete it",
    "training.optimiser": "removed, AdamW is the only optimiser; delete it",
}


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        """pydantic takes true for 1, and 0 for false."""
        kind = cls.model_fields[str(info.field_name)].annotation
        parts = value if isinstance(value, list | tuple) else [value]
        has_bool = any(isinstance(part, bool) for part in parts)
        if has_bool != (kind is bool) and not isinstance(value, str):
            raise PydanticCustomError("wrong_type", "wrong type")
        return value


class DataRecipe(Section):
    """Which manifests to train on. Paths are relative to the working directory."""

    train: list[str] = Field(
        ["data/digits/train.jsonl"],
        min_length=1,
        description="manifests of the training set; a single path needs no list",
    )
    dev: str = Field(
        "data/digits/dev.jsonl", description="manifest of the dev set, which selects the best epoch"
    )
    max_seconds: float = Field(
        30.0, gt=0, description="seconds; longer training utterances are excluded"
    )

    @field_validator("train", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class TextRecipe(Section):
    """How transcripts are normalised, before training and on both sides when scoring."""

    case: Literal["lower", "upper", "keep", "lower-tr", "upper-tr"] = Field(
        "lower",
        description="convert to lower or upper case, or keep the case; -tr: as in Turkish and "
        "Azerbaijani, where the capital of i is İ and that of ı is I",
    )
    punctuation: Literal["remove", "keep"] = Field(
        "remove",
        description="remove everything but letters, digits, spaces, and apostrophes and the like "
        "inside words",
    )
    spell_numbers: str | None = Field(
        None,
        description="language code, such as de: whole numbers become words of this language (needs "
        "num2words: `pip install speechgru[numbers]`); null: they stay digits",
    )

    unit: Literal["character", "bpe", "word"] = Field(
        "character",
        description="what the model outputs: characters; pieces of words (bpe: byte pair encoding, "
        "needs sentencepiece: `pip install speechgru[bpe]`); or whole words, only those of the "
        "training texts",
    )
    pieces: int = Field(
        500, ge=2, lt=100_000, description="unit: bpe only; their number, characters included"
    )


class FeatureRecipe(Section):
    """From waveform to frames: power spectrogram → mel filterbank → log (→ DCT)."""

    kind: Literal["logmel", "mfcc"] = Field("logmel", description="log-mel energies or MFCC")
    sample_rate: int = Field(
        16000,
        ge=2000,
        le=192000,
        description="Hz; all audio is resampled to it. For telephone audio use 8000: a model for "
        "16000 Hz does poorly on audio without frequencies above 4 kHz",
    )
    window_ms: float = Field(25.0, gt=0, le=200, description="length of the analysis window, ms")
    hop_ms: float = Field(10.0, gt=0, le=100, description="time between two frames, ms")
    mels: int = Field(80, ge=4, le=256, description="number of mel bands")
    low_hz: float = Field(20.0, ge=0, description="lower edge of the lowest mel band, Hz")
    high_hz: float | None = Field(
        None, description="upper edge of the highest mel band, Hz; null: half the sample rate"
    )
    cepstra: int = Field(13, ge=1, le=128, description="MFCC coefficients (kind: mfcc only)")
    deltas: Literal[0, 1, 2] = Field(0, description="append the first N derivatives over time")
    normalise: Literal["speech", "running", "utterance", "global", "none"] = Field(
        "speech",
        description="each band to mean 0, variance 1: over the speech frames of the utterance, "
        "relative to its level; over those so far (running: for streaming); over all its frames; "
        "over the training set; or not at all",
    )
    normalise_prior: float = Field(
        100.0,
        gt=0,
        description="normalise: speech and running only; how many frames the training set's mean "
        "and variance count for, beside the utterance's own speech frames",
    )

    @property
    def hop(self) -> int:
        """`hop_ms` in whole samples."""
        return round(self.hop_ms * self.sample_rate / 1000)

    @property
    def window(self) -> int:
        """`window_ms` in whole samples."""
        return round(self.window_ms * self.sample_rate / 1000)

    @property
    def n_fft(self) -> int:
        """Samples per Fourier transform: the window, up to the next power of two."""
        return 1 << (self.window - 1).bit_length()

    def frames(self, samples: int) -> int:
        """Number of frames for a number of samples; at least one."""
        return 1 + max(0, samples - self.n_fft) // self.hop

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate / self.hop

    @model_validator(mode="after")
    def _consistent(self) -> "FeatureRecipe":
        nyquist = self.sample_rate / 2
        if self.hop_ms > self.window_ms:
            raise ValueError(f"hop_ms {self.hop_ms}: expected at most window_ms, {self.window_ms}")
        if self.kind == "mfcc" and self.cepstra > self.mels:
            raise ValueError(f"cepstra {self.cepstra}: expected at most mels, {self.mels}")
        if self.hop < 1:
            raise ValueError(f"hop_ms {self.hop_ms} is less than a sample at {self.sample_rate} Hz")
        if not self.low_hz < (nyquist if self.high_hz is None else self.high_hz) <= nyquist:
            raise ValueError(
                f"expected low_hz < high_hz ≤ half the sample rate; found low_hz {self.low_hz}, "
                f"high_hz {self.high_hz}, sample_rate {self.sample_rate}"
            )
        return self


class AugmentRecipe(Section):
    """Random changes to training utterances. Each draw depends on the seed, the epoch and the
    utterance's id only."""

    speed: list[float] = Field(
        [1.0],
        min_length=1,
        description="speed factors, 0.5 to 2; one is drawn per utterance; 1.1 is faster and higher",
    )
    join_probability: float = Field(
        0.15,
        ge=0,
        lt=1,
        description="append another training utterance; repeated with this probability",
    )
    join_pause: tuple[float, float] = Field(
        (0.0, 1.2), description="shortest and longest pause between joined utterances, seconds"
    )
    gain_db: tuple[float, float] = Field(
        (-15.0, 6.0), description="lowest and highest change of level, dB"
    )
    silence_probability: float = Field(
        0.5, ge=0, le=1, description="share surrounded by silence or background noise"
    )
    silence_seconds: float = Field(
        1.0,
        ge=0,
        le=30,
        description="longest silence on either side, seconds; three times as long for one in "
        "eight of these utterances",
    )
    trim_probability: float = Field(
        0.2, ge=0, le=1, description="share of those without such silence that is cut to the speech"
    )
    background_db: tuple[float, float] = Field(
        (-80.0, -36.0), description="lowest and highest level of that background noise, dBFS"
    )
    noise_probability: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share with added noise: synthetic, babble of training utterances, or from "
        "noise_manifest",
    )
    noise_snr_db: tuple[float, float] = Field(
        (5.0, 30.0), description="lowest and highest signal-to-noise ratio, dB"
    )
    noise_manifest: str | None = Field(
        None, description="manifest of noise recordings to mix in as well; they need no text"
    )
    room_probability: float = Field(
        0.1, ge=0, le=1, description="share of utterances with synthetic reverberation"
    )
    telephone_probability: float = Field(
        0.1, ge=0, le=1, description="share limited to 300–3400 Hz"
    )
    codec_probability: float = Field(
        0.1, ge=0, le=1, description="share coded as mu-law, MP3 or Opus at the lowest quality"
    )
    nonspeech_probability: float = Field(
        0.03, ge=0, lt=1, description="share replaced by noise, hum, tones or silence, with no text"
    )
    frequency_warp: float = Field(
        0.0,
        ge=0,
        le=0.3,
        description="vocal tract length perturbation: the mel axis is stretched by up to 1 ± this",
    )
    frequency_masks: int = Field(0, ge=0, description="SpecAugment: frequency masks per utterance")
    frequency_mask_width: int = Field(
        20, ge=1, description="SpecAugment: maximum mel bands per mask (the same share of MFCC)"
    )
    time_masks: int = Field(
        0, ge=0, description="SpecAugment: time masks per 10 s of audio, at least one if not 0"
    )
    time_mask_frames: int = Field(20, ge=1, description="SpecAugment: maximum frames per mask")

    @model_validator(mode="after")
    def _consistent(self) -> "AugmentRecipe":
        if any(not 0.5 <= factor <= 2 for factor in self.speed):
            raise ValueError(f"speed factors must be between 0.5 and 2, found {self.speed}")
        for name in ("join_pause", "gain_db", "background_db", "noise_snr_db"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be [low, high], found {[low, high]}")
        if self.join_pause[0] < 0:
            raise ValueError(f"join_pause must be 0 s or more, found {list(self.join_pause)}")
        return self


class ModelRecipe(Section):
    """Subsampling → stack of recurrent layers → linear layer that outputs, per model frame, the
    probability of each character and of the CTC blank."""

    cell: str = Field("gru", description="type of all recurrent layers")
    layers: int = Field(2, ge=1, le=16, description="number of recurrent layers")
    hidden_size: int = Field(128, ge=1, le=4096, description="units per layer and direction")
    bidirectional: bool = Field(
        True, description="each layer also runs backwards in time; not for streaming"
    )
    lookahead: int = Field(
        0,
        ge=0,
        le=200,
        description="bidirectional: false only; model frames of the future that an output depends "
        "on: it is delayed by them. Without, words at the end of a recording are lost",
    )
    subsampling: Literal["stack", "conv"] = Field(
        "conv", description="concatenate feature frames, or two strided convolutions"
    )
    factor: Literal[1, 2, 3, 4] = Field(
        2, description="subsampling factor: feature frames per model frame"
    )
    conv_channels: int = Field(
        32, ge=1, le=512, description="channels of the convolutions (subsampling: conv only)"
    )
    dropout: float = Field(
        0.1, ge=0, lt=1, description="dropout between recurrent layers and before the output layer"
    )
    layer_norm: bool = Field(True, description="layer normalisation of each layer's input")
    forget_bias: float = Field(
        1.0,
        ge=-10,
        le=10,
        description="initial bias of the forget gate (lstm, lstm_ln, cifg, minlstm; other cells "
        "have none); 0 is what torch.nn.LSTM does",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "ModelRecipe":
        if self.bidirectional and self.lookahead:
            raise ValueError(
                f"lookahead {self.lookahead} needs bidirectional: false; a bidirectional model "
                "depends on all frames"
            )
        return self


def model_frames(frames: int, factor: int) -> int:
    """Model frames for a number of feature frames: ⌈frames / factor⌉."""
    return -(-frames // factor)


class TrainingRecipe(Section):
    """Optimisation (AdamW), evaluation on dev, and resources. The loss is CTC (connectionist
    temporal classification), which needs no alignment of text and audio."""

    epochs: int = Field(30, ge=1, description="number of passes over the training set")
    batch_seconds: float = Field(
        60.0,
        gt=0,
        description="seconds of audio per batch, including padding, before speed perturbation",
    )
    accumulate: int = Field(1, ge=1, description="batches per optimiser step")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate")
    freeze: int = Field(
        0,
        ge=0,
        description="fine-tuning (`train --init`): the lowest recurrent layers, this many, and the "
        "subsampling below them keep the initial model's weights; 0: none",
    )
    weight_decay: float = Field(1e-2, ge=0, description="AdamW's decoupled weight decay")
    schedule: Literal["one-cycle", "cosine", "constant"] = Field(
        "one-cycle",
        description="learning rate over time: one-cycle (cosine up from 1/25, cosine down to about "
        "0), cosine (linear up from 0, cosine down to 0), or constant",
    )
    warmup: float = Field(
        0.15, ge=0, lt=1, description="share of steps with a rising learning rate; not if constant"
    )
    clip_norm: float = Field(1.0, gt=0, description="gradient clipping: maximum norm")
    average: int = Field(
        0,
        ge=0,
        description="averaging: also evaluate the mean weights of the N best epochs; 0: off",
    )
    evaluate_every: int = Field(1, ge=1, description="epochs between evaluations on dev")
    patience: int = Field(
        0,
        ge=0,
        description="stop after this many evaluations without a better WER (or CER) on dev, "
        "counted from the first that is better than no output; 0: never",
    )
    max_bad_steps: int = Field(
        20,
        ge=1,
        description="stop after this many steps in a row with a NaN or Inf loss or gradient",
    )
    consistency: float = Field(
        0.0,
        ge=0,
        description="CR-CTC: weight of the divergence between the outputs for two views of each "
        "utterance, masked differently; a step takes twice as long; 0: one view",
    )
    seed: int = Field(
        1, ge=0, lt=2**32, description="seed of the initial weights, data order and augmentation"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="precision of matrix products; auto: bfloat16 on GPUs with hardware for it, "
        "else float32. bfloat16 on a CPU (with AVX512-BF16) is for recurrent layers only. "
        "On a GPU, CTC gradients are not deterministic in any precision",
    )
    workers: int = Field(
        1, ge=0, description="threads that load and augment audio; the result does not depend on it"
    )
    cache_mb: int = Field(1024, ge=0, description="maximum decoded audio kept in memory, MB")


class _Dumper(yaml.SafeDumper):
    """Quotes texts such as 08 and 1e3, too, which are numbers in YAML 1.2 but not in 1.1."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+.0-9][0-9.eE+-]*"), list("-+.0123456789")
)


def to_yaml(values: dict[str, Any]) -> str:
    """Plain values as a text that YAML 1.1 and 1.2 read alike, in their order."""
    # U+0085 must be escaped: YAML reads the character as the end of a line.
    plain = "\x85" not in json.dumps(values, ensure_ascii=False)
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=plain)


class Recipe(Section):
    data: DataRecipe = DataRecipe()
    text: TextRecipe = TextRecipe()
    features: FeatureRecipe = FeatureRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    model: ModelRecipe = ModelRecipe()
    training: TrainingRecipe = TrainingRecipe()

    def to_yaml(self) -> str:
        """All values, in the schema's order."""
        return to_yaml(self.model_dump(mode="json"))

    def replace(self, **sections: dict[str, object]) -> "Recipe":
        """A copy with other values, which are not validated: `replace(model={"layers": 3})`."""
        update = {
            section: getattr(self, section).model_copy(update=values)
            for section, values in sections.items()
        }
        return self.model_copy(update=update)


def make_recipe(values: dict[str, Any], origin: str = "recipe") -> Recipe:
    """Validate plain values. Raises RecipeError, which begins with their `origin`."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        from speechgru.recipe_errors import explain  # rarely needed

        raise RecipeError(f"{origin}: {explain(error, Recipe, FORMER_KEYS)}") from None
