"""A run on disk: stopped, killed or damaged, and resumed as if nothing had been."""

import logging
import math
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from trainings import (
    TOTAL,
    Stopper,
    check_same_run,
    damaged,
    long_recipe,
    metrics,
    quick,
    same_weights,
)

from speechgru.checkpoint import load_model
from speechgru.errors import CheckpointError, ManifestError, SpeechgruError, TrainingError
from speechgru.manifest import read_manifest, write_manifest
from speechgru.recipe import Recipe
from speechgru.training import Progress, Result, train
from speechgru.training.loop import stop_request
from speechgru.training.run import Run, TrainingState

# Stopping and going on --------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [(1,), (3,), (4,), (5, 7), (11,), tuple(range(1, TOTAL))])
def test_stopped_and_resumed_equals_uninterrupted(few, tmp_path, whole, steps):
    recipe = long_recipe(few)
    assert Run(whole).load_state()[0].step == TOTAL
    folder, results = tmp_path / "run", []
    for number in range(len(steps)):
        result = train(recipe, folder, "cpu", resume=number > 0, on_progress=Stopper(*steps))
        assert result.interrupted
        results.append(result)
        assert Run(folder).load_state()[0].step == steps[number]
    last = train(recipe, folder, "cpu", resume=True)
    assert not last.interrupted
    assert last.epochs == 3
    check_same_run(folder, whole)


def test_a_stop_in_the_last_epoch_s_scoring_still_finishes(few, tmp_path, whole):
    result = train(long_recipe(few), tmp_path / "run", "cpu", on_progress=Stopper(TOTAL))
    assert not result.interrupted
    check_same_run(tmp_path / "run", whole)


@pytest.fixture
def usual_interrupt():
    """Python's handler, which a shell takes away from what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_stops_at_once_and_the_usual_handler_comes_back(usual_interrupt):
    usual = signal.getsignal(signal.SIGINT)

    def twice(stop):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    with stop_request() as stop, pytest.raises(KeyboardInterrupt):
        twice(stop)
    assert signal.getsignal(signal.SIGINT) is usual


def test_resuming_a_finished_run_reports_it_and_leaves_it(few, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    before = load_model(whole).about
    result = train(long_recipe(few), tmp_path / "run", "cpu", resume=True)
    assert (result.dev_wer, result.dev_cer) == (before["dev_wer"], before["dev_cer"])
    assert result.epochs == 3
    check_same_run(tmp_path / "run", whole)


def test_stray_files_are_ignored(few, tmp_path, whole):
    """Newest-file-wins and name patterns are how others load the wrong one."""
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
    with pytest.raises(CheckpointError, match="not a whole speechgru checkpoint"):
        train(recipe, folder, "cpu", resume=True)


def test_resuming_keeps_to_the_recipe(few, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    with pytest.raises(TrainingError, match=r"training\.epochs: 3 → 9"):
        train(long_recipe(few, epochs=9), tmp_path / "run", "cpu", resume=True)
    with pytest.raises(TrainingError, match="holds no run to resume"):
        train(long_recipe(few), tmp_path / "empty", "cpu", resume=True)


@pytest.mark.parametrize("split", ["train", "dev", "noise"])
@pytest.mark.parametrize("change", ["text", "order", "fewer", "length", "file"])
def test_resuming_keeps_to_the_data(few, tmp_path, split, change):
    data = shutil.copytree(few, tmp_path / "data")
    shutil.copy(data / "dev.jsonl", data / "noise.jsonl")
    recipe = quick(data, augment={"noise_manifest": str(data / "noise.jsonl")})
    manifest = data / f"{split}.jsonl"
    train(recipe, tmp_path / "run", "cpu", on_progress=Stopper(5))
    state = (tmp_path / "run/last.safetensors").read_bytes()
    utterances = read_manifest(manifest)
    if change == "file" and split == "train":
        Path(utterances[0].audio).unlink()
    else:
        changed = {
            "text": [replace(utterances[0], text="o"), *utterances[1:]],
            "order": utterances[::-1],
            "fewer": utterances[1:],
            "length": [replace(utterances[0], duration=0.3), *utterances[1:]],
            "file": [*utterances[1:], replace(utterances[0], offset=0.01)],
        }[change]
        write_manifest(manifest, changed)
    with pytest.raises(TrainingError, match="was started with other utterances") as caught:
        train(recipe, tmp_path / "run", "cpu", resume=True)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run/last.safetensors").read_bytes() == state


def test_resuming_does_not_mind_where_the_data_stand(few, tmp_path, whole):
    shutil.copytree(few, tmp_path / "old")
    (tmp_path / "data").symlink_to("old")
    recipe = long_recipe(tmp_path / "data")
    train(recipe, tmp_path / "run", "cpu", on_progress=Stopper(5))
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "data").unlink()
    (tmp_path / "data").symlink_to("new")
    train(recipe, tmp_path / "run", "cpu", resume=True)
    assert same_weights(tmp_path / "run", whole, "last.safetensors")


def test_a_folder_in_use_is_not_written_over(few, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    with pytest.raises(TrainingError, match="holds a run already"):
        train(long_recipe(few), tmp_path / "run", "cpu")
    check_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize(
    "sections",
    [
        {"augment": {"noise_manifest": "nowhere.jsonl"}},
        {"model": {"cell": "gruu"}},
        {"data": {"dev": "nowhere.jsonl"}},
    ],
)
def test_what_cannot_start_leaves_no_folder_that_seems_in_use(few, tmp_path, sections):
    with pytest.raises(Exception, match=r"nowhere|gruu"):
        train(quick(few, **sections), tmp_path / "run", "cpu")
    train(quick(few), tmp_path / "run", "cpu")


def test_dev_that_cannot_be_decoded_is_refused_before_the_first_step(few, tmp_path):
    """Its header is good: only decoding tells."""
    dev = read_manifest(few / "dev.jsonl")
    dev[2] = replace(dev[2], audio=damaged(tmp_path), duration=0.9)
    write_manifest(tmp_path / "dev.jsonl", dev)
    recipe, seen = quick(few, data={"dev": str(tmp_path / "dev.jsonl")}), list[Progress]()
    with pytest.raises(TrainingError) as caught:
        train(recipe, tmp_path / "run", "cpu", on_progress=seen.append)
    assert str(caught.value).startswith(
        f"dev utterance {dev[2].id}: {tmp_path}/nan.wav: the sample at 0.5"
    )
    assert str(caught.value).isprintable()
    assert seen == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("resume", "reason"),
    [
        (True, ": in use by another `speechgru train`"),
        (False, " holds a run already: --resume goes on with it; or name another"),
    ],
)
def test_a_run_at_work_is_left_alone(few, tmp_path, whole, monkeypatch, resume, reason):
    monkeypatch.setattr("speechgru.files.LOCK_TIMEOUT", 0.0)
    recipe, folder = long_recipe(few), tmp_path / "run"
    refused = []

    def another(progress: Progress) -> None:
        if progress.step == 5:
            with pytest.raises(SpeechgruError) as caught:
                train(recipe, folder, "cpu", resume=resume)
            refused.append(str(caught.value))

    train(recipe, folder, "cpu", on_progress=another)
    (message,) = refused
    assert message.startswith(f"{folder}{reason}")
    assert message.isprintable()
    train(recipe, folder, "cpu", resume=True)  # once it has ended, it is nobody's
    check_same_run(folder, whole)


@pytest.mark.parametrize(
    ("name", "reason"), [("file/run", "Not a directory"), ("n" * 300, "File name too long")]
)
def test_a_folder_that_cannot_be_made_is_named_in_one_line(few, tmp_path, name, reason):
    (tmp_path / "file").touch()
    folder = tmp_path / name
    with pytest.raises(SpeechgruError) as caught:
        train(quick(few), folder, "cpu")
    assert str(caught.value) == f"{folder}: cannot be written: {reason}"
    with pytest.raises(TrainingError) as caught:
        Run(folder).create(quick(few), {})
    assert str(caught.value) == f"{folder}/recipe.yaml: cannot be written: {reason}"
    with pytest.raises(TrainingError, match="holds no run to resume"):
        train(quick(few), folder, "cpu", resume=True)


def test_other_people_s_recipe_errors_stay_what_they_are(few, tmp_path):
    with pytest.raises(ManifestError):
        train(quick(few, data={"dev": "nowhere.jsonl"}), tmp_path / "run", "cpu")


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


def go_on(recipe: Recipe, folder: Path) -> Result:
    """What a script that always resumes would do."""
    started = (folder / "recipe.yaml").exists()
    return train(recipe, folder, "cpu", resume=started)


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
        go_on(recipe, folder)
        check_same_run(folder, whole)
        if not killed:
            break
        shutil.rmtree(folder)
    assert 12 < number < 30  # recipe, and for each epoch model, kept, metrics, state; mean


def test_killed_at_random_instants_a_run_can_be_resumed(few, tmp_path, whole):
    recipe, folder = long_recipe(few), tmp_path / "run"
    began = time.monotonic()
    train(recipe, tmp_path / "timed", "cpu")
    usual = time.monotonic() - began
    draw = random.Random(7)
    killed = 0
    for _ in range(12):
        child = in_a_child(lambda: go_on(recipe, folder))
        time.sleep(draw.uniform(0, usual))
        os.kill(child, signal.SIGKILL)
        killed += killed_or_done(child)
    assert killed > 0
    go_on(recipe, folder)
    check_same_run(folder, whole)


# What a run leaves ------------------------------------------------------------------------------


def test_a_run_s_files(few, tmp_path):
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


def test_tensorboard_shows_what_the_metrics_hold(few, tmp_path):
    train(quick(few, training={"epochs": 3, "evaluate_every": 2}), tmp_path / "run", "cpu")
    check_events(tmp_path / "run")
    assert len(events(tmp_path / "run")["loss"]) == 3
    assert len(events(tmp_path / "run")["dev_wer"]) == 2


@pytest.mark.parametrize("step", [7, 8, 9], ids=["before", "at", "after the end of an epoch"])
def test_tensorboard_shows_each_epoch_once_after_a_stop(few, tmp_path, step):
    recipe, folder = long_recipe(few), tmp_path / "run"
    train(recipe, folder, "cpu", on_progress=Stopper(step))
    time.sleep(1.1)  # the files' names tell the second, which is how TensorBoard sorts them
    train(recipe, folder, "cpu", resume=True)
    check_events(folder)


@pytest.mark.parametrize("committed", [False, True])
def test_tensorboard_shows_each_epoch_once_after_a_kill(few, tmp_path, monkeypatch, committed):
    """At the second epoch's commit: its points come again, or are there already."""
    recipe, folder, save = long_recipe(few), tmp_path / "run", Run.save_state

    def save_and_die(run: Run, position: TrainingState, tensors: dict[str, Tensor]) -> None:
        if committed or position.epoch < 2:
            save(run, position, tensors)
        if position.epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save_state", save_and_die)
        assert killed_or_done(in_a_child(lambda: train(recipe, folder, "cpu")))
    time.sleep(1.1)
    train(recipe, folder, "cpu", resume=True)
    check_events(folder)
