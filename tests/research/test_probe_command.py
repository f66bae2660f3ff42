"""`python -m research.probes`: the files it writes, and that it continues."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from subject import write_subject
from typer.testing import CliRunner

from research.probes.commands import app
from speechgru.errors import SpeechgruError

ROOT = Path(__file__).parents[2]


def probe(*words: object) -> str:
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_records_tables_and_figures_are_written_and_kept(tmp_path: Path) -> None:
    command = ("gradient-reach", "--cells", "rnn,gru", "--seeds", 2, "--frames", 30)
    output = probe(*command, "--out", tmp_path)
    values = json.loads((tmp_path / "gradient-reach.json").read_text())
    (table,) = values["tables"]
    assert [row["models"] for row in table["rows"]] == ["rnn", "gru"]
    assert table["caption"] in output
    assert "<svg" in (tmp_path / "gradient-reach-noise.svg").read_text()
    records = (tmp_path / "gradient-reach.jsonl").read_text()
    assert len(records.splitlines()) == 4
    probe(*command, "--out", tmp_path)
    assert (tmp_path / "gradient-reach.jsonl").read_text() == records
    assert str(tmp_path) not in records


def test_a_report_is_rebuilt_from_records(tmp_path: Path) -> None:
    command = ("gradient-reach", "--cells", "gru", "--seeds", 1, "--frames", 30, "--out", tmp_path)
    output = probe(*command)
    files = {file: file.read_bytes() for file in tmp_path.glob("*.[js]*[gn]")}
    assert len(files) == 2
    for file in files:
        file.unlink()
    assert probe("report", tmp_path / "gradient-reach.jsonl") == output
    assert {file: file.read_bytes() for file in files} == files


@pytest.mark.parametrize("name", ["gates", "length", "gradient-reach"])
def test_runs_are_probed_on_a_manifest(name: str, tones: Path, tmp_path: Path) -> None:
    run = write_subject(tmp_path / "m.safetensors")
    words = ["--manifest", tones / "dev.jsonl", "--utterances", 2, "--out", tmp_path / "out"]
    if name == "gradient-reach":
        words += ["--frames", 5]
    assert "gru" in probe(name, run, *words)
    assert (tmp_path / "out" / f"{name}.json").exists()


def test_memory_from_the_command_line(tmp_path: Path) -> None:
    options = ["--lengths", "4", "--cells", "rnn", "--seeds", 1, "--steps", 100]
    assert "steps to solve" in probe("memory", *options, "--out", tmp_path)
    assert (tmp_path / "memory-adding-4-rate-0.001.svg").exists()


def test_a_list_of_anything_but_numbers_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpeechgruError, match="'4,x'"):
        CliRunner().invoke(
            app, ["memory", "--lengths", "4,x", "--out", str(tmp_path)], catch_exceptions=False
        )


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "research.probes", "memory", "--cells", "gruu", "--out", "x"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "gruu" in done.stderr
    assert "Traceback" not in done.stderr
