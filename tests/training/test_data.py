"""Training data: which utterances are used, what is reported of the others, and their batches."""

import dataclasses
import json
import logging
import math
import random
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tones import RATE
from trainings import make_trainer, metrics, quick

from speechgru.audio import audio_info
from speechgru.batches import AudioCache
from speechgru.corpora.leaks import warn_of_leaks
from speechgru.errors import TrainingError, plural
from speechgru.features import FeatureExtractor
from speechgru.manifest import Utterance, read_manifest
from speechgru.manifest_writer import write_manifest
from speechgru.text import Vocabulary, frames_needed
from speechgru.training.data import (
    TOO_SHORT,
    UNREADABLE,
    BatchLoader,
    TrainingData,
    read_training_data,
)
from speechgru.training.loop import train
from speechgru.training.step import ctc_loss

# Which utterances are used ----------------------------------------------------------------------


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
def test_utterances_that_are_kept_can_be_aligned_at_any_speed(tmp_path, speed, subsampling, factor):
    """Utterances of lengths around the limit."""
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
        batch = trainer.loader.load(list(range(len(kept))), epoch)
        assert len(batch.ids) == len(kept)
        assert ctc_loss(trainer.model, batch).isfinite().all()
    # And none is excluded without need: the longest of those does not fit at full speed.
    longest = max((u for u in listed if u.id not in kept), key=lambda u: u.duration)
    samples = np.zeros(int(longest.duration * RATE), np.float32)
    extract = FeatureExtractor(recipe.features)
    fastest = extract.recipe.frames(round(len(samples) / max(speed)))
    assert math.ceil(fastest / factor) <= frames_needed(trainer.data.vocabulary.encode(text))


def test_a_vocabulary_of_pieces_selects_the_same_utterances_again(few, tmp_path, monkeypatch):
    """As when a run is resumed; the number of pieces of a text depends on the utterances that are
    left."""
    rng = random.Random(0)
    words = ["".join(rng.choices("bdgkaeiou", k=rng.randint(2, 8))) for _ in range(150)]
    listed = []
    for number in range(280):
        text = " ".join(rng.choices(words, k=rng.randint(3, 8)))
        seconds = len(text) * (rng.uniform(0.004, 0.02) if number % 6 == 0 else 0.07)
        listed.append(Utterance(Path(f"{number}.wav"), seconds, text, str(number)))
    write_manifest(tmp_path / "train.jsonl", listed)
    monkeypatch.setattr(
        "speechgru.training.data._readable_seconds", lambda _, them: [u.duration for u in them]
    )
    train = [str(tmp_path / "train.jsonl")]
    for pieces in (60, 100, 150, 200):
        recipe = quick(few).replace(
            data={"train": train, "max_seconds": 2.8}, text={"unit": "bpe", "pieces": pieces}
        )
        first = read_training_data(recipe)
        again = read_training_data(recipe, first.vocabulary)
        assert 0 < len(first.train) < len(listed)
        assert again.fingerprint() == first.fingerprint()


def test_another_part_of_a_recording_is_other_data(few):
    whole = read_training_data(quick(few))
    part = replace(whole.train[0], offset=0.1)
    shifted = dataclasses.replace(whole, train=[part, *whole.train[1:]])
    assert shifted.fingerprint() != whole.fingerprint()


@pytest.mark.parametrize(("claimed", "actual", "kept"), [(1.0, 1.0, True), (1.0, 0.9, False)])
def test_the_file_s_own_length_decides_what_can_be_aligned(few, tmp_path, claimed, actual, kept):
    """A manifest may claim a little more; here the text needs every frame of that claim."""
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]}, augment={"speed": [1.0]})
    frames = recipe.features.frames(round(claimed * RATE))
    needs = math.ceil(frames / recipe.model.factor)
    soundfile.write(tmp_path / "full.wav", np.zeros(round(actual * RATE)), RATE)
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
        ({"text": "am " * 200}, TOO_SHORT),
        ({"duration": 31.0}, UNREADABLE),  # the claim is wrong, whatever data.max_seconds is
    ],
)
def test_excluded_utterances_are_counted_and_named(few, tmp_path, caplog, changes, reason):
    manifest = listed_with(tmp_path, few, **changes)
    recipe = quick(few, data={"train": [str(manifest)]})
    with caplog.at_level(logging.WARNING, "speechgru"):
        data = read_training_data(recipe)
    ((found, ids),) = data.excluded.items()
    assert found.startswith(reason)
    assert len(ids) == 2
    assert len(data.train) == 10
    assert reason in caplog.text
    assert all(id_ in caplog.text for id_ in ids)


def test_long_utterances_are_excluded(few):
    durations = sorted(u.duration for u in read_manifest(few / "train.jsonl"))
    data = read_training_data(quick(few, data={"max_seconds": durations[8]}))
    ((reason, ids),) = data.excluded.items()
    assert reason == f"longer than data.max_seconds ({durations[8]:g} s)"
    assert len(ids) == sum(seconds > durations[8] for seconds in durations) > 0


def spoil(utterance: Utterance, how: str, folder: Path) -> Utterance:
    """The utterance with audio that its file's header shows to be unusable."""
    if how == "beyond the end":
        return replace(utterance, offset=0.1, duration=utterance.duration + 0.1)
    file = folder / "bad.wav"
    if how == "not audio":
        file.write_text("not audio")
    return replace(utterance, audio=file)


@pytest.mark.parametrize("how", ["missing", "not audio", "beyond the end"])
def test_audio_that_cannot_be_read_is_found_before_the_training(few, tmp_path, how):
    for split in ("train", "dev"):
        utterances = read_manifest(few / f"{split}.jsonl")
        utterances[1] = spoil(utterances[1], how, tmp_path)
        write_manifest(tmp_path / f"{split}.jsonl", utterances)
    data = read_training_data(quick(few, data={"train": [str(tmp_path / "train.jsonl")]}))
    assert len(data.train) == 11
    assert len(data.excluded[UNREADABLE]) == 1
    for section, key, file in (("data", "dev", "dev"), ("augment", "noise_manifest", "train")):
        recipe = quick(few, **{section: {key: str(tmp_path / f"{file}.jsonl")}})
        with pytest.raises(TrainingError, match=f"{file}.jsonl: 1 of ") as caught:
            train(recipe, tmp_path / "run", "cpu")
        assert str(read_manifest(tmp_path / f"{file}.jsonl")[1].audio) in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_a_noise_manifest_needs_no_text(few, tmp_path):
    rows = [json.loads(line) for line in (few / "dev.jsonl").read_text().splitlines()]
    for row in rows:
        del row["text"]
        row["audio_filepath"] = str(few / row["audio_filepath"])
    (tmp_path / "noise.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = quick(few, augment={"noise_manifest": str(tmp_path / "noise.jsonl")})
    assert len(read_training_data(recipe).noises) == 4


def test_unreadable_audio_is_named_with_its_own_error(few, tmp_path):
    utterances = read_manifest(few / "train.jsonl")
    utterances[1] = spoil(utterances[1], "missing", tmp_path)
    utterances[2] = spoil(utterances[2], "beyond the end", tmp_path)
    write_manifest(tmp_path / "train.jsonl", utterances)
    listed = read_manifest(tmp_path / "train.jsonl")
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    first, second = read_training_data(recipe).excluded[UNREADABLE]
    assert first.startswith(f"{listed[1].id} (")
    assert "bad.wav: no such file" in first
    assert second.startswith(f"{listed[2].id} (")
    assert "from 0.1 to" in second


def test_headers_are_read_up_to_a_limit_and_the_rest_is_checked_in_training(
    few, tmp_path, monkeypatch
):
    """Every second of twelve files: the manifest's word is taken for the others."""
    monkeypatch.setattr("speechgru.training.data.MAX_HEADERS", 6)
    monkeypatch.setattr("speechgru.training.data.SAMPLED_HEADERS", 6)
    utterances = read_manifest(few / "train.jsonl")
    for number in (2, 3):
        utterances[number] = replace(utterances[number], audio=tmp_path / f"{number}.wav")
    write_manifest(tmp_path / "train.jsonl", utterances)
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    data = read_training_data(recipe)
    assert len(data.excluded[UNREADABLE]) == 1
    assert len(data.train) == 11
    train(recipe, tmp_path / "run", "cpu")
    assert [row["skipped_utterances"] for row in metrics(tmp_path / "run")] == [1, 2]


def test_a_text_too_long_for_its_audio_is_found_when_loading(few, tmp_path, caplog):
    """As when the file is shorter than the manifest says and its header was not read."""
    trainer = make_trainer(quick(few), tmp_path)
    trainer.loader.utterances[3] = replace(trainer.loader.utterances[3], text="am " * 200)
    with caplog.at_level(logging.WARNING, "speechgru"):
        for epoch in range(2):
            batch = trainer.loader.load([2, 3, 4], epoch)
            assert batch.ids == tuple(trainer.loader.utterances[n].id for n in (2, 4))
        assert trainer.loader.load([3], 0) is None
    assert len(caplog.records) == 1
    assert trainer.loader.utterances[3].id in caplog.text


def test_a_text_too_long_for_what_a_look_ahead_leaves(few, tmp_path):
    """The frames that it reads of the silence after the end are not for tokens."""
    model = {"bidirectional": False, "lookahead": 5}
    recipe = quick(few, model=model, features={"normalise": "running"})
    trainer = make_trainer(recipe, tmp_path)
    utterance, loaded = trainer.loader.utterances[3], []
    for syllables in range(1, 60):
        trainer.loader.utterances[3] = replace(utterance, text="am" * syllables)
        batch = trainer.loader.load([3], 0)
        loaded.append(batch is not None)
        if batch is not None:
            _, lengths = trainer.model(batch.features, batch.lengths)
            assert int(lengths[0]) >= 2 * syllables
    assert loaded[0]
    assert not loaded[-1]


def test_the_header_of_a_file_of_many_utterances_is_read_once(few, tmp_path, monkeypatch):
    opened = []

    def counted(path):
        opened.append(path)
        return audio_info(path)

    monkeypatch.setattr("speechgru.audio.loading.audio_info", counted)
    first = read_manifest(few / "train.jsonl")[0]
    parts = [replace(first, id=f"{n}", offset=n / 1000, duration=0.2, text="a") for n in range(100)]
    write_manifest(tmp_path / "train.jsonl", parts)
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    assert len(read_training_data(recipe).train) == 100
    assert opened.count(first.audio) == 1


def test_all_excluded_utterances_are_listed_in_the_run_folder(few, tmp_path):
    utterances = read_manifest(few / "train.jsonl")
    changed = [replace(u, text="") for u in utterances[:7]]
    changed.append(replace(utterances[7], text="äm " * 200))
    write_manifest(tmp_path / "train.jsonl", [*changed, *utterances[8:]])
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    train(recipe, tmp_path / "run", "cpu")
    named = json.loads((tmp_path / "run" / "excluded.json").read_text(encoding="utf-8"))
    ids = [u.id for u in read_manifest(tmp_path / "train.jsonl")]
    assert named == {"without text": ids[:7], TOO_SHORT: [ids[7]]}
    write_manifest(tmp_path / "train.jsonl", utterances[8:])  # the same that can be used
    train(recipe, tmp_path / "run", "cpu", resume=True)
    assert not (tmp_path / "run" / "excluded.json").exists()


@pytest.mark.parametrize("shared", [0, 1, 4])
def test_dev_audio_in_the_training_set_is_reported_once(few, tmp_path, caplog, shared):
    """By audio, whatever the ids: the manifests have no folder in common."""
    utterances = read_manifest(few / "train.jsonl")
    parts = [replace(u, offset=0.1, duration=u.duration - 0.1) for u in utterances[4:8]]
    write_manifest(tmp_path / "dev.jsonl", [*utterances[:shared], *parts[shared:]])
    data = read_training_data(quick(few, data={"dev": str(tmp_path / "dev.jsonl")}))
    with caplog.at_level(logging.WARNING, "speechgru"):
        warn_of_leaks(data.train, data.dev)
    (speakers, *audio) = caplog.messages
    assert "speakers" in speakers
    assert len(audio) == (shared > 0)
    assert not shared or f"({plural(shared, 'utterance')}, {shared / 4:.0%} of dev)" in audio[0]


def test_no_utterance_left_is_an_error_with_the_reasons(few, tmp_path):
    utterances = [replace(u, text="") for u in read_manifest(few / "train.jsonl")]
    write_manifest(tmp_path / "train.jsonl", utterances)
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    with pytest.raises(TrainingError, match=r"none of the 12 .*12 without text, such as "):
        read_training_data(recipe)


@pytest.mark.parametrize("text", ["", "?!", " "])
def test_a_dev_set_without_words_is_refused(few, tmp_path, text):
    utterances = [replace(u, text=text) for u in read_manifest(few / "dev.jsonl")]
    write_manifest(tmp_path / "dev.jsonl", utterances)
    with pytest.raises(TrainingError, match=r"dev\.jsonl: none of the 4 texts has a word"):
        read_training_data(quick(few, data={"dev": str(tmp_path / "dev.jsonl")}))


def test_a_manifest_named_twice_is_reported(few, caplog):
    train = str(few / "train.jsonl")
    with caplog.at_level(logging.WARNING, "speechgru"):
        data = read_training_data(quick(few, data={"train": [train, train]}))
    assert len(data.train) == 24
    assert "twice" in caplog.text


def test_characters_that_only_dev_has_are_reported_and_kept(few, tmp_path, caplog):
    dev = [replace(u, text="am zz") for u in read_manifest(few / "dev.jsonl")]
    write_manifest(tmp_path / "dev.jsonl", dev)
    with caplog.at_level(logging.WARNING, "speechgru"):
        data = read_training_data(quick(few, data={"dev": str(tmp_path / "dev.jsonl")}))
    assert "'z' ×8" in caplog.text
    assert data.dev[0].text == "am zz"


def test_words_that_only_dev_has_are_named(few, tmp_path, caplog):
    dev = [replace(u, text="am oma oma am" if n else "mao") for n, u in
           enumerate(read_manifest(few / "dev.jsonl"))]  # fmt: skip
    write_manifest(tmp_path / "dev.jsonl", dev)
    with caplog.at_level(logging.INFO, "speechgru"):
        read_training_data(quick(few, data={"dev": str(tmp_path / "dev.jsonl")}))
    (named,) = (line for line in caplog.messages if "oma" in line)
    assert "2 of the 3 words" in named
    assert named.endswith("oma, mao")


def test_texts_are_normalised_as_the_recipe_says(few, tmp_path):
    manifest = listed_with(tmp_path, few, text="  Am, MO! ")
    data = read_training_data(quick(few, data={"train": [str(manifest)]}))
    assert data.train[0].text == "am mo"
    kept = read_training_data(
        quick(few, data={"train": [str(manifest)]}, text={"case": "keep", "punctuation": "keep"})
    )
    assert kept.train[0].text == "Am, MO!"


def test_the_vocabulary_is_that_of_the_utterances_that_are_used(few, tmp_path):
    manifest = listed_with(tmp_path, few, text="xyz " * 300)
    data = read_training_data(quick(few, data={"train": [str(manifest)]}))
    assert data.vocabulary == Vocabulary.from_texts(["amo "])


def test_two_manifests_may_have_the_same_ids(few, tmp_path):
    """The first keeps its ids, so that adding a manifest changes nothing for its utterances."""
    shutil.copytree(few, tmp_path / "other")
    manifests = [str(few / "train.jsonl"), str(tmp_path / "other" / "train.jsonl")]
    ids = [u.id for u in read_training_data(quick(few, data={"train": manifests})).train]
    assert len(set(ids)) == 24
    assert ids[:12] == [u.id for u in read_manifest(few / "train.jsonl")]


def test_dev_is_not_confused_with_training_files_of_the_same_names(few, tmp_path):
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
    samples = soundfile.read(tmp_path / "dev/audio/000.wav", dtype="float32")[0]
    np.testing.assert_allclose(trainer.cache.read(trainer.data.dev[0]), samples, atol=1e-4)


# Many utterances --------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_number_of_epochs(few):
    """Plans are made one epoch at a time: at 30 epochs, all together would take 10 MB here."""
    first, vocabulary = read_manifest(few / "train.jsonl")[0], Vocabulary.from_texts(["am"])
    durations = np.random.default_rng(0).uniform(0.5, 15, 10_000).tolist()
    utterances = [replace(first, duration=duration) for duration in durations]
    recipe = quick(few, training={"epochs": 30, "batch_seconds": 60})
    loader = BatchLoader(
        TrainingData(utterances, [], [], vocabulary, {}),
        recipe, FeatureExtractor(recipe.features), AudioCache(RATE, 0),
    )  # fmt: skip
    tracemalloc.start()
    try:
        counts = [loader.count(epoch) for epoch in range(30)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    assert counts[7] == len(loader.plan(7))
    assert sorted(index for batch in loader.plan(7) for index in batch) == list(range(10_000))
