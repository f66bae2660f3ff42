"""A recipe that fits a training set, each choice with its reason.

Design choices:
- Rules, not a search: each reads a few figures of the data (`DataFacts`) and gives one or two
  settings. `docs/own-data.md` compares them with the recipes that were tuned by hand.
- What a rule does not mention keeps its default.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from speechgru.audio import AudioInfo, read_headers
from speechgru.manifest import Utterance
from speechgru.model_file import ModelConfig
from speechgru.recipe import Recipe, TextRecipe, make_recipe
from speechgru.text import frames_needed, normalise

MAX_HEADERS = 2_000  # files whose sample rate is read, evenly spread
NARROW = 0.1  # share of recordings below 16 kHz from which on the model is one for 8 kHz
NARROW_BAND = 4_300.0  # Hz: audio without anything above is telephone audio
SPEED = (0.9, 1.0, 1.1)
ALL_FIT = 0.002  # share of utterances that may be too short for their text
FACTORS = (3, 2, 1)
STEPS_PER_EPOCH = 50  # at least, unless batches would become tiny
COMMAND_STEPS = 100  # the same for commands, which small batches teach with less audio
COMMAND_SECONDS = 16  # of audio per batch of commands, at most
MIN_STEPS = 3_000
TUNING_SHARE = 0.25  # of the epochs from scratch that fine-tuning takes,
MIN_TUNING = 5  # but at least so many
FEW_WORDS = 100
SHORT = 2.5  # seconds: the median utterance of a corpus of commands
TURKIC = {"tr", "az", "crh"}  # with dotted and dotless i,
TURKIC_LETTERS = "ıİ"  # which no other languages have
MIN_TURKIC = 0.02  # share of these among the letters; names from there may be in other texts


@dataclass(frozen=True, slots=True)
class DataFacts:
    """A training set as the rules see it. Seconds and hours are of audio; `rates`: Hz → share of
    the files; `needed`: model frames per second that CTC needs for 99 % of the utterances;
    `too_short`: share of the utterances that a subsampling factor leaves too few frames for, at the
    highest speed; `bandwidth`: median highest frequency with a signal, Hz (None: not measured)."""

    utterances: int
    hours: float
    median_seconds: float
    longest: float
    rates: dict[int, float]
    needed: float
    too_short: dict[int, float]
    words: int
    distinct_words: int
    cased: bool
    lang: str | None
    turkic: bool = False
    bandwidth: float | None = None

    @property
    def commands(self) -> bool:
        """Whether these are short utterances of one or two words, of which there are few."""
        few = self.distinct_words <= FEW_WORDS and self.words <= 2 * self.utterances
        return few and self.median_seconds <= SHORT


@dataclass(frozen=True, slots=True)
class Choice:
    """One or more settings of a section, and why. The reason fits one line of a comment."""

    section: str
    settings: dict[str, object]
    reason: str


def data_facts(train: Sequence[Utterance], bandwidth: float | None = None) -> DataFacts:
    """The facts of a training set; sample rates are read from up to MAX_HEADERS files."""
    seconds = np.array([utterance.duration for utterance in train])
    texts = [normalise(utterance.text, TextRecipe()) for utterance in train]
    frames = np.array([frames_needed(text) for text in texts])
    words = Counter(word for text in texts for word in text.split())
    langs = Counter(utterance.lang for utterance in train)
    letters = Counter(char for utterance in train for char in utterance.text if char.isalpha())
    turkic = sum(letters[char] for char in TURKIC_LETTERS)
    return DataFacts(
        utterances=len(train),
        hours=float(seconds.sum()) / 3600,
        median_seconds=float(np.median(seconds)),
        longest=float(seconds.max()),
        rates=_rates(train),
        needed=float(np.percentile(frames / seconds, 99)),
        too_short={
            factor: float(np.mean(frames > np.floor(seconds / max(SPEED) * 100 / factor)))
            for factor in FACTORS
        },
        words=words.total(),
        distinct_words=len(words),
        cased=any(char.upper() != char.lower() for char in letters),
        lang=langs.most_common(1)[0][0],
        turkic=turkic > MIN_TURKIC * letters.total(),
        bandwidth=bandwidth,
    )


def _rates(utterances: Sequence[Utterance]) -> dict[int, float]:
    files = list(dict.fromkeys(utterance.audio for utterance in utterances))
    infos = read_headers(files[:: math.ceil(len(files) / MAX_HEADERS)])
    counts = Counter(info.sample_rate for info in infos if isinstance(info, AudioInfo))
    return {rate: count / counts.total() for rate, count in sorted(counts.items())}


def propose(
    facts: DataFacts, train: str, dev: str, initial: ModelConfig | None = None
) -> list[Choice]:
    """The choices of the rules, for manifests at these paths: to fine-tune `initial`, whose
    features and architecture are kept, or else from scratch."""
    data = Choice("data", {"train": [train], "dev": dev}, "")
    choices = [data, *_data(facts), *_text(facts)]
    if initial is None:
        choices += [*_features(facts), *_augment(facts), *_model(facts)]
    else:
        choices += _augment(facts)
    return [*choices, *_training(facts, initial is not None)]


def unfit(facts: DataFacts, initial: ModelConfig) -> str | None:
    """Why a model is not one to fine-tune on these data; None if it is."""
    rate = next(choice.settings["sample_rate"] for choice in _features(facts))
    if rate != initial.features.sample_rate:
        return f"it reads {initial.features.sample_rate} Hz, and {rate} Hz fits the recordings"
    frames = initial.features.frames_per_second / initial.model.factor / max(SPEED)
    if frames < facts.needed:
        return (
            f"its subsampling leaves {frames:.0f} frames per second, and the texts need "
            f"{facts.needed:.0f}"
        )
    return None


def _data(facts: DataFacts) -> Iterable[Choice]:
    if facts.longest > 30:
        reason = (
            f"the longest utterance has {facts.longest:.0f} s; longer than 60 s take much memory"
        )
        yield Choice("data", {"max_seconds": float(min(60, math.ceil(facts.longest)))}, reason)


def _text(facts: DataFacts) -> Iterable[Choice]:
    if not facts.cased:
        yield Choice("text", {"case": "keep"}, "this script has no capital letters")
    elif facts.turkic or (facts.lang or "").lower().partition("-")[0] in TURKIC:
        found = "the texts have ı or İ" if facts.turkic else f"the language is {facts.lang}"
        reason = f"{found}: I becomes ı, and İ becomes i"
        yield Choice("text", {"case": "lower-tr"}, reason)


def _features(facts: DataFacts) -> Iterable[Choice]:
    narrow = sum(share for rate, share in facts.rates.items() if rate < 16_000)
    listed = ", ".join(f"{share:.0%} at {rate} Hz" for rate, share in facts.rates.items())
    if narrow >= NARROW:
        reason = f"recordings: {listed}; a model for 16000 Hz does poorly on those with less"
    elif facts.bandwidth is not None and facts.bandwidth < NARROW_BAND:
        reason = f"most recordings have nothing above {facts.bandwidth:.0f} Hz, whatever their rate"
    else:
        yield Choice("features", {"sample_rate": 16_000}, f"recordings: {listed}")
        return
    yield Choice("features", {"sample_rate": 8_000}, reason)
    yield Choice("features", {"mels": 40}, "half the bands for half the frequencies")


def _augment(facts: DataFacts) -> Iterable[Choice]:
    settings: dict[str, object] = {"speed": list(SPEED), "frequency_warp": 0.1}
    if facts.commands:
        masks = {"frequency_masks": 1, "frequency_mask_width": 6, "time_masks": 1,
                 "time_mask_frames": 5}  # fmt: skip
        reason = "short utterances: small masks"
    else:
        masks = {"frequency_masks": 2, "frequency_mask_width": 12, "time_masks": 4,
                 "time_mask_frames": 12}  # fmt: skip
        reason = "more variety than the recordings have"
    yield Choice("augment", settings | masks, reason)


def _model(facts: DataFacts) -> Iterable[Choice]:
    if facts.commands or facts.hours < 0.2:
        size, dropout = {"layers": 2, "hidden_size": 128}, 0.2
        reason = (
            f"{facts.distinct_words} different words in short utterances"
            if facts.commands
            else f"{60 * facts.hours:.0f} minutes of speech"
        )
    elif facts.hours < 10:
        size, dropout = {"layers": 3, "hidden_size": 256}, 0.4 if facts.hours < 2 else 0.3
        reason = f"{facts.hours:.1f} hours of speech"
    else:
        size, dropout = {"layers": 4, "hidden_size": 384}, 0.2
        reason = f"{facts.hours:.0f} hours of speech"
    yield Choice("model", {"cell": "gru", **size, "dropout": dropout}, reason)
    factor = choose_factor(facts)
    yield Choice(
        "model",
        {"factor": factor},
        f"{100 / factor:.0f} frames per second; CTC needs one per character, and one more between "
        f"equal ones: up to {facts.needed:.0f} per second here",
    )


def choose_factor(facts: DataFacts) -> int:
    """The highest subsampling factor that leaves enough frames for the texts, with three
    quarters to spare at the highest speed; it makes training and recognition as fast as
    possible. Read books (`docs/levers.md`) are better with factor 2, AN4 with 3."""
    for factor in FACTORS:
        enough = 100 / factor / max(SPEED) >= 1.75 * facts.needed
        if enough and facts.too_short[factor] <= ALL_FIT:
            return factor
    return FACTORS[-1]


def _training(facts: DataFacts, tuning: bool) -> Iterable[Choice]:
    at_least, most = (COMMAND_STEPS, COMMAND_SECONDS) if facts.commands else (STEPS_PER_EPOCH, 60)
    batch = round(min(60, max(4, min(most, 3600 * facts.hours / at_least), facts.longest)))
    per_epoch = max(1.0, 3600 * facts.hours / batch)  # full batches: padding makes them more
    steps = max(MIN_STEPS, 3_500 * math.sqrt(facts.hours))
    epochs = min(200, max(10, round(steps / per_epoch)))
    yield Choice(
        "training",
        {"batch_seconds": batch},
        f"at least {at_least} steps per epoch, if there is enough data",
    )
    average = Choice("training", {"average": 5}, "average the 5 best epochs, if better on dev")
    if tuning:
        epochs = max(MIN_TUNING, round(TUNING_SHARE * epochs))
        reason = f"fewer than from scratch: {epochs * per_epoch:,.0f} steps or more"
        yield from (Choice("training", {"epochs": epochs}, reason), average)
        return
    yield Choice(
        "training",
        {"epochs": epochs},
        f"{epochs * per_epoch:,.0f} steps or more, {per_epoch:.0f} or more per epoch; CTC needs "
        "some hundred before it outputs anything",
    )
    large = facts.hours >= 10 and not facts.commands
    rate = 1e-3 if large else 2e-3
    yield Choice("training", {"learning_rate": rate}, "2e-3; 1e-3 for the largest models")
    yield average


def to_recipe(choices: Sequence[Choice], initial: ModelConfig | None = None) -> Recipe:
    """The recipe with these choices, and the features and architecture of a model to fine-tune.
    Raises RecipeError if they are not consistent."""
    values: dict[str, dict[str, object]] = {}
    if initial is not None:
        values = {"features": initial.features.model_dump(), "model": initial.model.model_dump()}
    for choice in choices:
        values.setdefault(choice.section, {}).update(choice.settings)
    return make_recipe(values, "proposed recipe")


def to_yaml(choices: Sequence[Choice], head: Sequence[str]) -> str:
    """The recipe as YAML, each choice below its reason; `head`: lines of comment at the top."""
    lines = [f"# {line}".rstrip() for line in head]
    section = ""
    for choice in choices:
        if choice.section != section:
            section = choice.section
            lines += ["", f"{section}:"]
        if choice.reason:
            lines.append(f"  # {choice.reason}")
        for key, value in choice.settings.items():
            text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
            lines.append(f"  {key}: {text.splitlines()[0]}")
    return "\n".join(lines) + "\n"


def relative(path: Path, folder: Path) -> str:
    """A path as a recipe in `folder` names it: relative where it is below, else absolute."""
    path = Path(os.path.abspath(path))
    return path.relative_to(folder).as_posix() if folder in path.parents else path.as_posix()
