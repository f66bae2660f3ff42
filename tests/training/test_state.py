"""A run on disk: stopped, killed or damaged, and resumed as if nothing had happened."""

import logging
import math
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from trainings import (
    TOTAL,
    Stopper,
    check_same_run,
    damaged,
    long_recipe,
    metrics,
    quick,
)

from speechgru.checkpoint import load_model, write_tensors
from speechgru.errors import CheckpointError, ManifestError, SpeechgruError, TrainingError
from speechgru.manifest import read_manifest
from speechgru.manifest_writer import write_manifest
from speechgru.recipe import Recipe
from speechgru.recipe_file import load_recipe
from speechgru.training.loop import TrainingProgress, TrainingResult, stop_request, train
from speechgru.training.state import FREE_KEYS, RunFolder, TrainingState, resume_key

# Stopping and resuming --------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [(1,), (3,), (4,), (5, 7), (TOTAL,), tuple(range(1, TOTAL))])
def test_stopped_and_resumed_equals_uninterrupted(few, tmp_path, whole, steps):
    recipe = long_recipe(few)
    assert RunFolder(whole).load_state()[0].step == TOTAL
    folder, results = tmp_path / "run", []
    for number in range(len(steps)):
        result = train(recipe, folder, "cpu", resume=number > 0, on_progress=Stopper(*steps))
        assert result.interrupted
        results.append(result)
        assert RunFolder(folder).load_state()[0].step == steps[number]
    last = train(recipe, folder, "cpu", resume=True)
    assert not last.interrupted
    assert last.epochs == 3
    check_same_run(folder, whole)


@pytest.fixture
def usual_interrupt():
    """Python's handler, which a shell disables for what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_stops_at_once_and_the_usual_handler_is_restored(usual_interrupt):
    usual = signal.getsignal(signal.SIGINT)

    def twice(stop):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    with stop_request() as stop, pytest.raises(KeyboardInterrupt):
        twice(stop)
    assert signal.getsignal(signal.SIGINT) is usual


def test_resuming_a_finished_run_reports_it_and_changes_nothing(few, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    before = load_model(whole).metadata
    result = train(long_recipe(few), tmp_path / "run", "cpu", resume=True)
    assert (result.dev_wer, result.dev_cer) == (before["dev_wer"], before["dev_cer"])
    assert result.epochs == 3
    check_same_run(tmp_path / "run", whole)


def test_a_run_whose_model_is_gone_is_not_resumed(few, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run/model.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"model\.safetensors: missing"):
        train(long_recipe(few), tmp_path / "run", "cpu", resume=True)


def test_a_run_whose_weights_to_be_averaged_are_gone_is_not_resumed(few, tmp_path):
    recipe = long_recipe(few)
    train(recipe, tmp_path / "run", "cpu", on_progress=Stopper(9))
    shutil.move(tmp_path / "run/kept", tmp_path / "kept")
    with pytest.raises(TrainingError, match=r"kept/epoch-.*: missing"):
        train(recipe, tmp_path / "run", "cpu", resume=True)
    shutil.move(tmp_path / "kept", tmp_path / "run/kept")
    train(recipe, tmp_path / "run", "cpu", resume=True)


@pytest.mark.parametrize("resume", [True, False])
def test_a_model_without_a_state_is_neither_resumed_nor_overwritten(few, tmp_path, whole, resume):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run/last.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"no last\.safetensors.*--out"):
        train(long_recipe(few), tmp_path / "run", "cpu", resume=resume)


def test_stray_files_are_ignored(few, tmp_path, whole):
    recipe, folder = long_recipe(few), tmp_path / "run"
    train(recipe, folder, "cpu", on_progress=Stopper(5))
    strays = ["last.safetensors.bak", "zz.safetensors", "model (copy).safetensors", ".ab12.tmp",
              "last.pt", "kept/notes.txt", "kept/epoch-0099.safetensors"]  # fmt: skip
    for name in strays:
        (folder / name).write_bytes(b"not this one")
    train(recipe, folder, "cpu", resume=True)
    (folder / "kept/epoch-0099.safetensors").unlink(missing_ok=True)
    check_same_run(folder, whole)
    assert (folder / "kept/notes.txt").read_bytes() == b"not this one"


def test_a_damaged_state_is_refused_not_restarted(few, tmp_path):
    recipe, folder = long_recipe(few), tmp_path / "run"
    train(recipe, folder, "cpu", on_progress=Stopper(5))
    content = (folder / "last.safetensors").read_bytes()
    (folder / "last.safetensors").write_bytes(content[:-10])
    with pytest.raises(CheckpointError, match="damaged"):
        train(recipe, folder, "cpu", resume=True)


def test_damaged_metrics_are_refused_before_an_epoch_is_trained(few, tmp_path):
    seen = list[TrainingProgress]()
    train(long_recipe(few), tmp_path, "cpu", on_progress=Stopper(5))
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "st')
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl"):
        train(long_recipe(few), tmp_path, "cpu", resume=True, on_progress=seen.append)
    assert seen == []


# What changes the result, and what does not -----------------------------------------------------


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "epochs", 9),
        ("training", "seed", 2),
        ("training", "precision", "float32"),
        ("model", "hidden_size", 7),
        ("augment", "speed", [1.0]),
        ("text", "case", "upper"),
    ],
)
def test_a_recipe_with_another_result_is_refused(few, tmp_path, whole, section, key, value):
    shutil.copytree(whole, tmp_path / "run")
    recipe = long_recipe(few)
    changed = getattr(recipe, section).model_copy(update={key: value})
    with pytest.raises(TrainingError) as caught:
        train(recipe.model_copy(update={section: changed}), tmp_path / "run", "cpu", resume=True)
    old = getattr(getattr(recipe, section), key)
    assert f"{section}.{key}: {old!r} → {value!r}" in str(caught.value)
    assert str(caught.value).count("→") == 1
    assert (f"--init {tmp_path / 'run'}" in str(caught.value)) == (section != "model")
    check_same_run(tmp_path / "run", whole)


def test_an_edited_recipe_file_is_not_taken_for_the_run_s_own(few, tmp_path):
    """`train RUN --out RUN --resume` reads RUN/recipe.yaml, which is not what was trained by."""
    folder = tmp_path / "run"
    train(long_recipe(few), folder, "cpu", on_progress=Stopper(5))
    file = folder / "recipe.yaml"
    file.write_text(file.read_text().replace("learning_rate: 0.01", "learning_rate: 0.02"))
    with pytest.raises(TrainingError, match=r"training.learning_rate: 0.01 → 0.02"):
        train(load_recipe(folder), folder, "cpu", resume=True)


def test_workers_cache_and_patience_with_bad_steps_may_change(few, tmp_path, whole):
    folder = tmp_path / "run"
    train(long_recipe(few), folder, "cpu", on_progress=Stopper(5))
    changes = {"workers": 3, "cache_mb": 0, "max_bad_steps": 7}
    train(long_recipe(few, **changes), folder, "cpu", resume=True)
    check_same_run(folder, whole)
    assert load_recipe(folder).training.workers == 3


def test_moved_data_a_moved_run_and_another_working_directory_do_not_matter(
    few, tmp_path, whole, monkeypatch
):
    """By new paths in the recipe, relative and absolute, and with a run that was moved too."""
    shutil.copytree(few, tmp_path / "old/data")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    train(long_recipe(Path("old/data")), "run", "cpu", on_progress=Stopper(3))
    monkeypatch.chdir(tmp_path / "elsewhere")
    train(long_recipe(Path("../old/data")), "../run", "cpu", resume=True, on_progress=Stopper(5))
    (tmp_path / "old").rename(tmp_path / "new")
    recipe = long_recipe(tmp_path / "new/data")
    train(recipe, "../run", "cpu", resume=True, on_progress=Stopper(7))
    (tmp_path / "run").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert load_recipe("moved") == recipe
    assert not train(load_recipe("moved"), "moved", "cpu", resume=True).interrupted
    check_same_run(tmp_path / "moved", whole)


def test_data_that_cannot_be_found_are_named_with_the_key_that_gives_their_place(few, tmp_path):
    shutil.copytree(few, tmp_path / "data")
    train(long_recipe(tmp_path / "data"), tmp_path / "run", "cpu", on_progress=Stopper(3))
    (tmp_path / "data").rename(tmp_path / "new")
    with pytest.raises(ManifestError, match=r"data.train: .*data/train.jsonl.*data.train=PATH"):
        train(load_recipe(tmp_path / "run"), tmp_path / "run", "cpu", resume=True)


def test_every_key_that_may_change_is_in_the_schema():
    known = {f"{s}.{k}" for s, values in Recipe().model_dump().items() for k in values}
    assert known >= FREE_KEYS
    assert resume_key(Recipe()).keys() == known - FREE_KEYS


@pytest.mark.parametrize("split", ["training", "dev", "noise"])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("text", "texts"), ("order", "ids"), ("fewer", "utterances"), ("length", "times"),
        ("file", "ids"),
    ],
)  # fmt: skip
def test_data_with_another_result_are_refused(few, tmp_path, split, change, named):
    data = shutil.copytree(few, tmp_path / "data")
    shutil.copy(data / "dev.jsonl", data / "noise.jsonl")
    recipe = quick(data, augment={"noise_manifest": str(data / "noise.jsonl")})
    manifest = data / f"{split.removesuffix('ing')}.jsonl"
    train(recipe, tmp_path / "run", "cpu", on_progress=Stopper(5))
    state = (tmp_path / "run/last.safetensors").read_bytes()
    utterances = read_manifest(manifest)
    if change == "fewer" and split == "training":
        Path(utterances[0].audio).unlink()
    else:
        changed = {
            "text": [replace(utterances[0], text="o"), *utterances[1:]],
            "order": utterances[::-1],
            "fewer": utterances[1:],
            "length": [replace(utterances[0], duration=0.3), *utterances[1:]],
            "file": [*utterances[1:], replace(utterances[0], offset=0.01, id="new")],
        }[change]
        write_manifest(manifest, changed)
    with pytest.raises(TrainingError) as caught:
        train(recipe, tmp_path / "run", "cpu", resume=True)
    assert f"{split} {named}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run/last.safetensors").read_bytes() == state


def test_a_run_of_an_older_version_is_refused_with_what_to_do(few, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    file = tmp_path / "run/last.safetensors"
    write_tensors(file, {}, "speechgru-state-2", {"epoch": 1})
    with pytest.raises(CheckpointError, match=r"older version.*--out") as caught:
        train(long_recipe(few), tmp_path / "run", "cpu", resume=True)
    assert str(file) in str(caught.value)


def test_a_folder_with_a_run_is_not_overwritten(few, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    with pytest.raises(TrainingError, match="--resume"):
        train(long_recipe(few), tmp_path / "run", "cpu")
    check_same_run(tmp_path / "run", whole)
    with pytest.raises(TrainingError, match="no run to resume"):
        train(long_recipe(few), tmp_path / "empty", "cpu", resume=True)


@pytest.mark.parametrize(
    "sections",
    [
        {"augment": {"noise_manifest": "nowhere.jsonl"}},
        {"model": {"cell": "gruu"}},
        {"data": {"dev": "nowhere.jsonl"}},
    ],
)
def test_what_cannot_start_leaves_no_run_behind(few, tmp_path, sections):
    with pytest.raises(Exception, match=r"nowhere|gruu"):
        train(quick(few, **sections), tmp_path / "run", "cpu")
    train(quick(few), tmp_path / "run", "cpu")


def test_dev_that_cannot_be_decoded_is_refused_before_the_first_step(few, tmp_path):
    """Its header is good: only decoding shows the damage."""
    dev = read_manifest(few / "dev.jsonl")
    dev[2] = replace(dev[2], audio=damaged(tmp_path), duration=0.9)
    write_manifest(tmp_path / "dev.jsonl", dev)
    recipe, seen = quick(few, data={"dev": str(tmp_path / "dev.jsonl")}), list[TrainingProgress]()
    with pytest.raises(TrainingError) as caught:
        train(recipe, tmp_path / "run", "cpu", on_progress=seen.append)
    assert f"{tmp_path}/nan.wav" in str(caught.value)
    assert str(caught.value).isprintable()
    assert seen == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_that_another_process_trains_is_not_touched(
    few, tmp_path, whole, monkeypatch, resume
):
    monkeypatch.setattr("speechgru.files.LOCK_TIMEOUT", 0.0)
    recipe, folder = long_recipe(few), tmp_path / "run"
    refused = []

    def another(progress: TrainingProgress) -> None:
        if progress.step == 5:
            with pytest.raises(SpeechgruError) as caught:
                train(recipe, folder, "cpu", resume=resume)
            refused.append(str(caught.value))

    train(recipe, folder, "cpu", on_progress=another)
    assert len(refused) == 1
    assert refused[0].startswith(f"{folder}: ")
    train(recipe, folder, "cpu", resume=True)  # once it has ended, the folder is free
    check_same_run(folder, whole)


@pytest.mark.parametrize(
    ("name", "reason"), [("file/run", "expected a folder"), ("n" * 300, "File name too long")]
)
def test_a_folder_that_cannot_be_created_is_named_in_one_line(few, tmp_path, name, reason):
    (tmp_path / "file").touch()
    folder = tmp_path / name
    with pytest.raises(SpeechgruError) as caught:
        train(quick(few), folder, "cpu")
    assert str(folder) in str(caught.value)
    assert reason in str(caught.value)
    with pytest.raises(TrainingError, match=reason):
        RunFolder(folder).write_inputs(quick(few), {})
    with pytest.raises(TrainingError):
        train(quick(few), folder, "cpu", resume=True)


# Killed -----------------------------------------------------------------------------------------


def in_a_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked process; its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        logging.disable()
        work()
        status = 0
    finally:
        os._exit(status)


def killed_or_done(child: int) -> bool:
    """True if it was killed, False if it finished its work; else the test fails."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def continue_run(recipe: Recipe, folder: Path) -> TrainingResult:
    """As a script that resumes whenever there is something to resume."""
    return train(recipe, folder, "cpu", resume=RunFolder(folder).started())


def dies_at(number: int, before: bool) -> Iterator[None]:
    """Replace os.replace by one that kills the process at its `number`-th call."""
    count, replace_file = 0, os.replace

    def fatal(*paths: object) -> None:
        nonlocal count
        count += 1
        if before and count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        replace_file(*paths)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = fatal
    yield


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_killed_at_each_write_a_run_can_be_resumed(few, tmp_path, whole, before):
    recipe = long_recipe(few)
    for number in range(1, 100):
        folder = tmp_path / f"run{number}"

        def work(folder: Path = folder, number: int = number) -> None:
            next(dies_at(number, before))
            train(recipe, folder, "cpu")

        killed = killed_or_done(in_a_child(work))
        continue_run(recipe, folder)
        check_same_run(folder, whole)
        if not killed:
            break
        shutil.rmtree(folder)
    assert 12 < number < 30  # recipe, state; for each epoch model, kept, metrics, state; mean


def test_killed_at_random_instants_a_run_can_be_resumed(few, tmp_path, whole):
    recipe, folder = long_recipe(few), tmp_path / "run"
    began = time.monotonic()
    train(recipe, tmp_path / "timed", "cpu")
    usual = time.monotonic() - began
    draw = random.Random(7)
    killed = 0
    for _ in range(12):
        child = in_a_child(lambda: continue_run(recipe, folder))
        time.sleep(draw.uniform(0, usual))
        os.kill(child, signal.SIGKILL)
        killed += killed_or_done(child)
    assert killed > 0
    continue_run(recipe, folder)
    check_same_run(folder, whole)


# The files of a run ------------------------------------------------------------------------------


def test_the_files_of_a_run(few, tmp_path):
    recipe = quick(few)
    train(recipe, tmp_path / "run", "cpu")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    expected = [".lock", "events", "last.safetensors", "metrics.jsonl", "model.safetensors"]
    assert names == [*expected, "recipe.yaml"]
    assert (tmp_path / "run" / "recipe.yaml").read_text() == recipe.to_yaml()
    for row in metrics(tmp_path / "run"):
        for key in ("epoch", "step", "loss", "learning_rate", "dev_wer", "dev_cer"):
            assert math.isfinite(row[key])


def events(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows: by tag, the points by step, none of which may come twice."""
    shown = EventAccumulator(str(folder / "events"), size_guidance={"scalars": 0}).Reload()
    found = {}
    for tag in shown.Tags()["scalars"]:
        points = [(event.step, event.value) for event in shown.Scalars(tag)]
        found[tag] = dict(points)
        assert len(found[tag]) == len(points)
    return found


def check_events(folder: Path) -> None:
    tags, rows = ("loss", "dev_wer", "dev_cer", "learning_rate"), metrics(folder)
    found = events(folder)
    assert found.keys() == set(tags)
    for tag in tags:
        points = {row["step"]: row[tag] for row in rows if tag in row}
        assert found[tag] == pytest.approx(points, rel=1e-6)  # TensorBoard keeps float32


def test_tensorboard_shows_the_metrics(few, tmp_path):
    train(quick(few, training={"epochs": 3, "evaluate_every": 2}), tmp_path / "run", "cpu")
    check_events(tmp_path / "run")
    assert len(events(tmp_path / "run")["loss"]) == 3
    assert len(events(tmp_path / "run")["dev_wer"]) == 2


@pytest.mark.parametrize("step", [7, 8, 9], ids=["before", "at", "after the end of an epoch"])
def test_tensorboard_shows_each_epoch_once_after_a_stop(few, tmp_path, step):
    recipe, folder = long_recipe(few), tmp_path / "run"
    train(recipe, folder, "cpu", on_progress=Stopper(step))
    time.sleep(1.1)  # TensorBoard sorts its files by the second in their names
    train(recipe, folder, "cpu", resume=True)
    check_events(folder)


@pytest.mark.parametrize("committed", [False, True])
def test_tensorboard_shows_each_epoch_once_after_a_kill(few, tmp_path, monkeypatch, committed):
    """At the save of the second epoch: its points are written again, or are there already."""
    recipe, folder, save = long_recipe(few), tmp_path / "run", RunFolder.save_state

    def save_and_die(run: RunFolder, state: TrainingState, *tensors: object) -> None:
        if committed or state.epoch < 2:
            save(run, state, *tensors)
        if state.epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_state", save_and_die)
        assert killed_or_done(in_a_child(lambda: train(recipe, folder, "cpu")))
    time.sleep(1.1)
    train(recipe, folder, "cpu", resume=True)
    check_events(folder)
