"""Time and memory of a training, from a few steps."""

import pytest
from msgspec.structs import replace
from tones import tone_recipe

from speechgru.errors import TrainingError
from speechgru.manifest import read_manifest
from speechgru.manifest_writer import write_manifest
from speechgru.measure import status_bytes
from speechgru.training.estimate import estimate_training


def test_twice_the_epochs_take_about_twice_the_time(tones):
    short = estimate_training(tone_recipe(tones, training={"epochs": 10}), "cpu")
    long = estimate_training(tone_recipe(tones, training={"epochs": 100}), "cpu")
    assert long.steps == pytest.approx(10 * short.steps, rel=0.05)
    assert 2 < long.seconds / short.seconds < 50  # of the same work, on a busy machine
    assert short.parameters == long.parameters > 1000
    assert short.device == "cpu"


def test_the_evaluation_after_the_last_epoch_is_counted(tones, monkeypatch):
    monkeypatch.setattr("speechgru.training.estimate._measured", lambda *_: (1.0, 1.0, 1.0, None))

    def seconds(every: int) -> float:
        recipe = tone_recipe(tones, training={"epochs": 5, "evaluate_every": every})
        return estimate_training(recipe, "cpu").seconds

    assert seconds(10) == seconds(5) < seconds(4) == seconds(3)


def test_audio_that_cannot_be_decoded(tones, tmp_path):
    utterance = replace(read_manifest(tones / "train.jsonl")[0], audio=str(tmp_path / "none.wav"))
    write_manifest(tmp_path / "t.jsonl", [utterance])
    with pytest.raises(TrainingError):
        estimate_training(tone_recipe(tones, data={"train": [str(tmp_path / "t.jsonl")]}), "cpu")


def test_the_memory_is_that_of_the_whole_process(tones):
    found = estimate_training(tone_recipe(tones), "cpu")
    if found.bytes is None:
        pytest.skip("this system does not report memory")
    assert status_bytes("VmRSS") * 0.8 < found.bytes < status_bytes("VmRSS") + 500e6
