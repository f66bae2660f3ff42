"""The recipe that fits a training set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from msgspec import structs

from speechgru.manifest import Utterance
from speechgru.model_file import ModelConfig
from speechgru.proposal import (
    Choice,
    DataFacts,
    choose_factor,
    data_facts,
    propose,
    relative,
    to_recipe,
    to_yaml,
    unfit,
)
from speechgru.recipe import Recipe
from speechgru.recipe_file import load_recipe

READ_SPEECH = DataFacts(
    utterances=2000, hours=3.9, median_seconds=12.0, longest=17.0, rates={16000: 1.0},
    needed=19.0, too_short={3: 0.0, 2: 0.0, 1: 0.0}, words=40_000, distinct_words=7_000,
    cased=True, lang=None,
)  # fmt: skip
COMMANDS = replace(
    READ_SPEECH,
    hours=1.0,
    median_seconds=1.0,
    longest=1.0,
    words=3600,
    distinct_words=20,
    needed=8.0,
)


def recipe(facts: DataFacts) -> Recipe:
    return to_recipe(propose(facts, "a/train.jsonl", "a/dev.jsonl"))


@pytest.mark.parametrize(
    ("changes", "rate", "mels"),
    [
        ({"rates": {16000: 1.0}}, 16000, 80),
        ({"rates": {48000: 0.95, 8000: 0.05}}, 16000, 80),
        ({"rates": {8000: 0.3, 44100: 0.7}}, 8000, 40),
        ({"rates": {16000: 1.0}, "bandwidth": 3900.0}, 8000, 40),
        ({"rates": {16000: 1.0}, "bandwidth": 7900.0}, 16000, 80),
    ],
)
def test_the_sample_rate_is_that_of_the_audio(
    changes: dict[str, object], rate: int, mels: int
) -> None:
    features = recipe(replace(READ_SPEECH, **changes)).features  # type: ignore[arg-type]
    assert (features.sample_rate, features.mels) == (rate, mels)


@pytest.mark.parametrize(
    ("needed", "too_short", "factor"),
    [
        (17.0, {3: 0.0, 2: 0.0, 1: 0.0}, 3),
        (25.0, {3: 0.0, 2: 0.0, 1: 0.0}, 2),
        (17.0, {3: 0.01, 2: 0.001, 1: 0.0}, 2),
        (60.0, {3: 0.9, 2: 0.5, 1: 0.1}, 1),
    ],
)
def test_the_factor_leaves_ctc_enough_frames(
    needed: float, too_short: dict[int, float], factor: int
) -> None:
    facts = replace(READ_SPEECH, needed=needed, too_short=too_short)
    assert choose_factor(facts) == recipe(facts).model.factor == factor


def test_size_and_epochs_follow_the_amount_of_speech() -> None:
    hours = (0.01, 0.1, 1.0, 4.0, 30.0, 300.0)
    recipes = [recipe(replace(READ_SPEECH, hours=amount)) for amount in hours]
    sizes = [r.model.layers * r.model.hidden_size for r in recipes]
    epochs = [r.training.epochs for r in recipes]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert epochs == sorted(epochs, reverse=True)
    assert recipes[0].training.batch_seconds == 17  # the longest utterance
    assert recipe(COMMANDS).model.hidden_size < recipes[2].model.hidden_size


def test_commands_have_small_batches_and_as_many_steps_with_less_audio() -> None:
    for hours in (0.1, 1.0, 3.0):
        few, many = (recipe(replace(f, hours=hours)) for f in (COMMANDS, READ_SPEECH))
        assert few.training.batch_seconds <= 16
        assert few.training.epochs < many.training.epochs


@pytest.mark.parametrize(
    ("changes", "case"),
    [
        ({}, "lower"),
        ({"lang": "de"}, "lower"),
        ({"lang": "tr"}, "lower-tr"),
        ({"lang": "az-AZ"}, "lower-tr"),
        ({"turkic": True}, "lower-tr"),
        ({"cased": False, "lang": "ar"}, "keep"),
    ],
)
def test_case_follows_script_and_language(changes: dict[str, object], case: str) -> None:
    assert recipe(replace(READ_SPEECH, **changes)).text.case == case  # type: ignore[arg-type]


def test_long_utterances_are_not_excluded() -> None:
    assert recipe(replace(READ_SPEECH, longest=43.2)).data.max_seconds == 44
    assert recipe(replace(READ_SPEECH, longest=400.0)).data.max_seconds == 60


def test_facts_of_a_training_set(tmp_path: Path) -> None:
    for name, rate in (("a", 8000), ("b", 16000), ("c", 16000), ("d", 16000)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(rate), rate)
    texts = {"a": "Yes, yes.", "b": "no", "c": "oui", "d": "x" * 40}
    listed = [
        Utterance(str(tmp_path / f"{name}.wav"), 1.0, text, name, lang="fr")
        for name, text in texts.items()
    ]
    facts = data_facts(listed)
    assert facts.rates == {8000: 0.25, 16000: 0.75}
    assert (facts.words, facts.distinct_words, facts.lang) == (5, 4, "fr")
    assert facts.hours == pytest.approx(4 / 3600)
    assert facts.needed > 70  # 40 equal letters: 79 frames in the one second of d
    assert facts.too_short == {3: 0.25, 2: 0.25, 1: 0.0}
    assert facts.cased
    assert data_facts([structs.replace(u, text="YES") for u in listed]).cased
    assert not data_facts([structs.replace(u, text="نعم") for u in listed]).cased


@pytest.mark.parametrize(
    ("text", "turkic"),
    [
        ("Kapıyı açın", True),
        ("KAPIYI AÇIN LÜTFEN, İYİ Mİ", True),
        ("Herr Yıldız ist nicht da" + " und kommt heute nicht" * 9, False),
    ],
)
def test_texts_show_a_dotless_i(text: str, turkic: bool, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    assert data_facts([Utterance(str(tmp_path / "a.wav"), 1.0, text, "a")]).turkic is turkic


@pytest.mark.parametrize("facts", [READ_SPEECH, COMMANDS], ids=["read speech", "commands"])
def test_the_file_has_every_choice_and_its_reason(facts: DataFacts, tmp_path: Path) -> None:
    choices = propose(facts, "my data/train.jsonl", "it's: #1/dev.jsonl")
    file = tmp_path / "r.yaml"
    file.write_text(to_yaml(choices, ["title"]))
    assert load_recipe(file) == to_recipe(choices)
    lines = file.read_text().splitlines()
    for choice in choices:
        assert not choice.reason or f"  # {choice.reason}" in lines
        assert "\n" not in choice.reason
    assert all(isinstance(choice, Choice) for choice in choices)


def test_relative_paths(tmp_path: Path) -> None:
    assert relative(tmp_path / "a/b.jsonl", tmp_path) == "a/b.jsonl"
    assert relative(tmp_path / "a.jsonl", tmp_path / "b") == (tmp_path / "a.jsonl").as_posix()


INITIAL = ModelConfig.model_validate(
    {"text": {}, "features": {"mels": 40}, "model": {"cell": "lstm", "factor": 4}}
)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, None),
        ({"rates": {44100: 1.0}}, None),
        ({"rates": {8000: 1.0}}, "8000"),
        ({"needed": 24.0}, "24"),  # 25 frames per second, a tenth less at the highest speed
    ],
)
def test_a_model_to_fine_tune_fits_rate_and_texts(
    changes: dict[str, object], word: str | None
) -> None:
    reason = unfit(replace(READ_SPEECH, **changes), INITIAL)  # type: ignore[arg-type]
    assert reason is None if word is None else word in str(reason)


def test_fine_tuning_keeps_the_model_and_takes_fewer_epochs() -> None:
    choices = propose(READ_SPEECH, "a/train.jsonl", "a/dev.jsonl", INITIAL)
    tuned = to_recipe(choices, INITIAL)
    assert (tuned.features, tuned.model) == (INITIAL.features, INITIAL.model)
    assert {choice.section for choice in choices}.isdisjoint({"features", "model"})
    assert not any("learning_rate" in choice.settings for choice in choices)
    assert 5 <= tuned.training.epochs <= recipe(READ_SPEECH).training.epochs / 2
