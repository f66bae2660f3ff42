"""`speechgru probe`: what it writes, how it goes on, what it says of faults."""

import json
from pathlib import Path

import pytest
from subject import write_subject
from typer.testing import CliRunner

from research.probes.commands import app
from speechgru.errors import SpeechgruError


def probe(*words: object) -> str:
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
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
            app, ["memory", "--lengths", "4,x", "--out", str(tmp_path)],
            catch_exceptions=False,
        )  # fmt: skip
