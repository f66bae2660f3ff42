"""Who takes part in a training, and what is told of who cannot."""

import json
import logging
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tones import RATE
from trainings import make_trainer, quick

from speechgru.audio import audio_info
from speechgru.errors import TrainingError
from speechgru.features import FeatureExtractor
from speechgru.manifest import Utterance, read_manifest, write_manifest
from speechgru.text import Vocabulary
from speechgru.training import read_training_data, train
from speechgru.training.data import TOO_SHORT, frames_needed
from speechgru.training.step import ctc_loss

# Who takes part ---------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=7), st.integers(1, 16))
def test_frames_needed_is_where_the_loss_becomes_finite(tokens, frames):
    log_probs = torch.full((frames, 1, 4), -math.log(4))
    loss = torch.nn.functional.ctc_loss(
        log_probs, torch.tensor([tokens]), torch.tensor([frames]), torch.tensor([len(tokens)])
    )
    assert bool(loss.isfinite()) == (frames >= frames_needed(tokens))


@pytest.mark.parametrize("speed", [[1.0], [0.9, 1.1], [1.15]])
@pytest.mark.parametrize(("subsampling", "factor"), [("stack", 3), ("conv", 4)])
def test_who_is_kept_can_be_aligned_at_any_speed(tmp_path, speed, subsampling, factor):
    """Utterances of every length about the limit."""
    text, listed = "am mo", []
    for number, samples in enumerate(range(1000, 3000, 37)):
        soundfile.write(tmp_path / f"{number}.wav", np.zeros(samples), RATE)
        listed.append(Utterance(tmp_path / f"{number}.wav", samples / RATE, text, f"{number}"))
    write_manifest(tmp_path / "train.jsonl", listed)
    write_manifest(tmp_path / "dev.jsonl", listed[:1])
    recipe = quick(
        tmp_path,
        model={"subsampling": subsampling, "factor": factor, "hidden_size": 2, "layers": 1},
        augment={"speed": speed, "frequency_masks": 0, "time_masks": 0},
    )
    trainer = make_trainer(recipe, tmp_path / "run")
    kept = {utterance.id for utterance in trainer.data.train}
    assert 0 < len(kept) < len(listed)
    for epoch in range(3):
        trainer.position.epoch = epoch
        batch = trainer._load(list(range(len(kept))))
        assert ctc_loss(trainer.model, batch).isfinite().all()
    # Nor is anybody left out who would fit: the longest of those is not aligned at full speed.
    out = [u for u in listed if u.id not in kept]
    longest = max(out, key=lambda u: u.duration)
    samples = np.zeros(int(longest.duration * RATE), np.float32)
    extract = FeatureExtractor(recipe.features)
    fastest = extract.frames(round(len(samples) / max(speed)))
    assert math.ceil(fastest / factor) <= frames_needed(trainer.data.vocabulary.encode(text))


@pytest.mark.parametrize(("claimed", "held", "kept"), [(1.0, 1.0, True), (1.0, 0.9, False)])
def test_who_can_be_aligned_is_judged_by_what_the_file_holds(few, tmp_path, claimed, held, kept):
    """A manifest may claim a little more; here the text needs every frame of that claim."""
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]}, augment={"speed": [1.0]})
    frames = FeatureExtractor(recipe.features).frames(round(claimed * RATE))
    needs = math.ceil(frames / recipe.model.factor)
    soundfile.write(tmp_path / "full.wav", np.zeros(round(held * RATE)), RATE)
    full = Utterance(tmp_path / "full.wav", claimed, ("am" * needs)[:needs], "full")
    write_manifest(tmp_path / "train.jsonl", [*read_manifest(few / "train.jsonl"), full])
    data = read_training_data(recipe)
    assert data.excluded == ({} if kept else {TOO_SHORT: ["full"]})
    assert ("full" in {utterance.id for utterance in data.train}) == kept


def listed_with(folder: Path, few: Path, **changes: object) -> Path:
    """few's training utterances, the first two of them changed."""
    utterances = read_manifest(few / "train.jsonl")
    utterances[:2] = [replace(utterance, **changes) for utterance in utterances[:2]]
    write_manifest(folder / "train.jsonl", utterances)
    return folder / "train.jsonl"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": ""}, "without text"),
        ({"text": " !?… "}, "without text"),
        ({"text": "am " * 200}, "too short for its text"),
        ({"duration": 31.0}, "longer than data.max_seconds (30 s)"),
    ],
)
def test_who_cannot_take_part_is_counted_and_named(few, tmp_path, caplog, changes, reason):
    manifest = listed_with(tmp_path, few, **changes)
    recipe = quick(few, data={"train": [str(manifest)]})
    with caplog.at_level(logging.WARNING, "speechgru"):
        data = read_training_data(recipe)
    ((found, ids),) = data.excluded.items()
    assert found.startswith(reason)
    assert len(ids) == 2
    assert len(data.train) == len(data.tokens) == 10
    assert f"left out 2 {reason}" in caplog.text
    assert all(id_ in caplog.text for id_ in ids)


def spoil(utterance: Utterance, how: str, folder: Path) -> Utterance:
    """The utterance with sound that its file's header shows to be unusable."""
    if how == "beyond the end":
        return replace(utterance, offset=0.1, duration=utterance.duration + 0.1)
    file = folder / "bad.wav"
    if how == "no sound":
        file.write_text("no sound")
    return replace(utterance, audio=file)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("missing", "bad.wav: no such file"),
        ("no sound", "bad.wav: cut off, or no sound file"),
        ("beyond the end", "asked for seconds 0.1 to"),
    ],
)
def test_sound_that_cannot_be_read_is_found_before_the_training(few, tmp_path, caplog, how, reason):
    for split in ("train", "dev"):
        utterances = read_manifest(few / f"{split}.jsonl")
        utterances[1] = spoil(utterances[1], how, tmp_path)
        write_manifest(tmp_path / f"{split}.jsonl", utterances)
    with caplog.at_level(logging.WARNING, "speechgru"):
        data = read_training_data(quick(few, data={"train": [str(tmp_path / "train.jsonl")]}))
    assert len(data.train) == len(data.tokens) == 11
    assert "left out 1 whose sound cannot be read" in caplog.text
    assert reason in caplog.text
    for section, key, file in (("data", "dev", "dev"), ("augment", "noise_manifest", "train")):
        recipe = quick(few, **{section: {key: str(tmp_path / f"{file}.jsonl")}})
        with pytest.raises(TrainingError, match=r"1 of \d+ utterances cannot be read") as caught:
            train(recipe, tmp_path / "run", "cpu")
        assert reason in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_every_sound_is_told_with_its_own_fault(few, tmp_path):
    utterances = read_manifest(few / "train.jsonl")
    utterances[1] = spoil(utterances[1], "missing", tmp_path)
    utterances[2] = spoil(utterances[2], "beyond the end", tmp_path)
    write_manifest(tmp_path / "train.jsonl", utterances)
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    first, second = read_training_data(recipe).excluded["whose sound cannot be read"]
    assert first.startswith(f"{utterances[1].id} (")
    assert "bad.wav: no such file" in first
    assert second.startswith(f"{utterances[2].id} (")
    assert "asked for seconds 0.1 to" in second


def test_a_file_of_many_utterances_is_looked_at_once(few, tmp_path, monkeypatch):
    looked_at = []

    def counted(path):
        looked_at.append(path)
        return audio_info(path)

    monkeypatch.setattr("speechgru.audio.loading.audio_info", counted)
    first = read_manifest(few / "train.jsonl")[0]
    parts = [replace(first, id=f"{n}", offset=n / 1000, duration=0.2, text="a") for n in range(100)]
    write_manifest(tmp_path / "train.jsonl", parts)
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    assert len(read_training_data(recipe).train) == 100
    assert looked_at.count(first.audio) == 1


def test_all_that_are_left_out_are_named_in_the_run_s_folder(few, tmp_path):
    utterances = read_manifest(few / "train.jsonl")
    changed = [replace(u, text="") for u in utterances[:7]]
    changed.append(replace(utterances[7], text="äm " * 200))
    write_manifest(tmp_path / "train.jsonl", [*changed, *utterances[8:]])
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    train(recipe, tmp_path / "run", "cpu")
    named = json.loads((tmp_path / "run" / "excluded.json").read_text(encoding="utf-8"))
    assert named["without text"] == [utterance.id for utterance in utterances[:7]]
    (why,) = named.keys() - {"without text"}
    assert why.startswith("too short for its text")
    assert named[why] == [utterances[7].id]


@pytest.mark.parametrize(("shared", "words"), [(1, "1 of 4"), (4, "4 of 4"), (0, None)])
def test_dev_that_is_trained_on_is_told_once(few, tmp_path, caplog, shared, words):
    """By sound, whatever the ids: the manifests have no folder in common."""
    utterances = read_manifest(few / "train.jsonl")
    parts = [replace(u, offset=0.1, duration=u.duration - 0.1) for u in utterances[4:8]]
    dev = [*utterances[:shared], *parts[shared:]]
    write_manifest(tmp_path / "dev.jsonl", dev)
    with caplog.at_level(logging.WARNING, "speechgru"):
        read_training_data(quick(few, data={"dev": str(tmp_path / "dev.jsonl")}))
    assert caplog.text.count("are trained on as well") == (words is not None)
    assert f"{words} dev utterances" in caplog.text or words is None


def test_nobody_left_is_an_error_that_says_why(few, tmp_path):
    utterances = [replace(u, text="") for u in read_manifest(few / "train.jsonl")]
    write_manifest(tmp_path / "train.jsonl", utterances)
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    with pytest.raises(TrainingError, match=r"none of 12 utterances .*12 without text"):
        read_training_data(recipe)


def test_characters_that_only_dev_has_are_reported_and_kept(few, tmp_path, caplog):
    dev = [replace(u, text="am zz") for u in read_manifest(few / "dev.jsonl")]
    write_manifest(tmp_path / "dev.jsonl", dev)
    with caplog.at_level(logging.WARNING, "speechgru"):
        data = read_training_data(quick(few, data={"dev": str(tmp_path / "dev.jsonl")}))
    assert "'z' ×8" in caplog.text
    assert data.dev[0].text == "am zz"


def test_texts_are_normalised_by_the_recipe_s_rule(few, tmp_path):
    manifest = listed_with(tmp_path, few, text="  Am, MO! ")
    data = read_training_data(quick(few, data={"train": [str(manifest)]}))
    assert data.train[0].text == "am mo"
    kept = read_training_data(
        quick(few, data={"train": [str(manifest)]}, text={"case": "keep", "punctuation": "keep"})
    )
    assert kept.train[0].text == "Am, MO!"


def test_the_vocabulary_holds_only_what_can_be_learnt(few, tmp_path):
    """The characters of who is left out are not among the outputs."""
    manifest = listed_with(tmp_path, few, text="xyz " * 300)
    data = read_training_data(quick(few, data={"train": [str(manifest)]}))
    assert data.vocabulary == Vocabulary.from_texts(["amo "])


def test_two_manifests_may_name_their_files_alike(few, tmp_path):
    shutil.copytree(few, tmp_path / "other")
    manifests = [str(few / "train.jsonl"), str(tmp_path / "other" / "train.jsonl")]
    data = read_training_data(quick(few, data={"train": manifests}))
    assert len({utterance.id for utterance in data.train}) == 24


def test_dev_is_not_confused_with_training_s_files_of_the_same_names(few, tmp_path):
    """Manifests of two folders, the same names in both."""
    for split in ("train", "dev"):
        shutil.copytree(few / split, tmp_path / split / "audio")
        listed = [
            replace(u, id=Path(u.audio).name, audio=tmp_path / split / "audio" / Path(u.audio).name)
            for u in read_manifest(few / f"{split}.jsonl")
        ]
        write_manifest(tmp_path / split / "list.jsonl", listed)
    recipe = quick(
        few,
        data={
            "train": [str(tmp_path / "train/list.jsonl")],
            "dev": str(tmp_path / "dev/list.jsonl"),
        },
        augment={"speed": [1.0]},
    )
    trainer = make_trainer(recipe, tmp_path / "run")
    assert trainer.data.train[0].id == trainer.data.dev[0].id
    for utterance in trainer.data.train:
        trainer.cache.read(utterance)
    heard = soundfile.read(tmp_path / "dev/audio/000.wav", dtype="float32")[0]
    np.testing.assert_allclose(trainer.cache.read(trainer.data.dev[0]), heard, atol=1e-4)
