"""`speechgru probe`: what it writes, how it goes on, what it says of faults."""

import json
from pathlib import Path

import pytest
import torch
from subject import write_subject
from tones import tone_recipe
from typer.testing import CliRunner

from speechgru.checkpoint import load_model
from speechgru.cli import app
from speechgru.errors import SpeechgruError
from speechgru.probes.finding import Finding, Rows, banded, rounded, spread
from speechgru.probes.subjects import load_subjects, untrained
from speechgru.training import train


def probe(*words: object) -> str:
    result = CliRunner().invoke(app, ["probe", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_figures_numbers_and_rows_are_written_and_kept(tmp_path: Path) -> None:
    order = ("gradient-reach", "--cells", "rnn,gru", "--seeds", 2, "--width", 8, "--steps", 30)
    said = probe(*order, "--out", tmp_path)
    assert "vanishing" in said
    assert "distance, on noise" in said
    values = json.loads((tmp_path / "gradient-reach.json").read_text())
    assert {"probe", "claim", "method", "tables", "numbers", "figures"} == set(values)
    assert (tmp_path / values["figures"][0]).read_text().startswith("<svg")
    rows = (tmp_path / "gradient-reach.jsonl").read_text()
    assert len(rows.splitlines()) == 4
    probe(*order, "--out", tmp_path)
    assert (tmp_path / "gradient-reach.jsonl").read_text() == rows
    assert str(tmp_path) not in rows


@pytest.mark.parametrize("name", ["gates", "length"])
def test_runs_are_probed_on_a_manifest(name: str, tones: Path, tmp_path: Path) -> None:
    run = write_subject(tmp_path / "m.safetensors")
    words = ["--manifest", tones / "dev.jsonl", "--utterances", 2, "--out", tmp_path / "out"]
    assert "gru" in probe(name, run, *words)
    assert (tmp_path / "out" / f"{name}.json").exists()


def test_memory_from_the_command_line(tmp_path: Path) -> None:
    order = ["--lengths", "4", "--cells", "rnn", "--seeds", 1, "--updates", 100, "--width", 4]
    assert "runs that solved it" in probe("memory", *order, "--out", tmp_path)
    assert (tmp_path / "memory-adding-4.svg").exists()


def test_numbers_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpeechgruError, match=r"'4,x': expected numbers separated by commas"):
        CliRunner().invoke(
            app, ["probe", "memory", "--lengths", "4,x", "--out", str(tmp_path)],
            catch_exceptions=False,
        )  # fmt: skip


def test_untrained_is_the_model_that_training_began_with(tones: Path, tmp_path: Path) -> None:
    """Training that hardly moves the weights ends where `untrained` begins."""
    still = {"epochs": 1, "learning_rate": 1e-9, "seed": 7}
    train(tone_recipe(tones, training=still), tmp_path / "run", "cpu")
    (subject,) = load_subjects([tmp_path / "run"])
    assert subject.seed == 7
    first = untrained(subject).model.state_dict()
    for name, tensor in load_model(tmp_path / "run").model.state_dict().items():
        torch.testing.assert_close(tensor, first[name], atol=1e-6, rtol=0)


def test_rows_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("not JSON\n")
    with pytest.raises(SpeechgruError, match="not the rows of a probe"):
        Rows(tmp_path / "rows.jsonl")


def test_rows_are_found_by_every_setting(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl")
    rows.add({"cell": "gru", "seed": 1}, {"value": 1 / 3, "curve": [float("nan"), 2.0]})
    again = Rows(tmp_path / "rows.jsonl")
    assert again.find({"cell": "gru", "seed": 1}) == {
        "cell": "gru", "seed": 1, "value": 0.3333, "curve": [None, 2.0],
    }  # fmt: skip
    assert again.find({"cell": "gru", "seed": 2}) is None
    assert again.find({"cell": "gru", "seed": 1, "width": 8}) is None


def test_spreads_and_bands() -> None:
    assert (spread([3, 1, 2]).median, spread([3, 1, 2]).low, spread([3, 1, 2]).high) == (2, 1, 3)
    band = banded("a", [0, 1], [[1.0, 2.0], [3.0, None], [5.0, 4.0]], 0)
    assert (band.y[0], band.low[0], band.high[0]) == (3, 1, 5)
    assert band.y[1] != band.y[1]  # one model has no value there: a gap
    assert rounded({"a": [1.23456, float("inf"), 7]}) == {"a": [1.235, None, 7]}


def test_a_finding_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finding = Finding("x", "c", "m", (), {}, {"f": "<svg></svg>"})
    with pytest.raises(SpeechgruError, match="cannot be written"):
        finding.write(tmp_path / "file")
