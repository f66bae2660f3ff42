"""Records on disk, and their summaries."""

import json
import math
from pathlib import Path

import pytest

from research.probes.finding import (
    Curves,
    Finding,
    Job,
    Record,
    Spread,
    Table,
    complete,
    grouped,
    plot,
    rounded,
    spread,
)
from speechgru.errors import SpeechgruError


def no_progress(*_: object) -> None:
    pass


def job(measured: list[Record], **settings: object) -> Job:
    def measure() -> Record:
        measured.append(settings)
        return {"value": 1 / 3, "curve": [math.nan, 2.0]}

    return Job({"cell": "gru", "seed": 1, **settings}, measure)


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text("not JSON\n")
    with pytest.raises(SpeechgruError, match=str(file)):
        complete(file, [job([])], no_progress)
    assert file.read_text() == "not JSON\n"


def test_records_are_found_by_all_their_settings(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    measured: list[Record] = []
    (record,) = complete(file, [job(measured)], no_progress)
    assert record == {"cell": "gru", "seed": 1, "value": 0.3333, "curve": [None, 2.0]}
    assert complete(file, [job(measured)], no_progress) == [record]
    assert len(measured) == 1
    complete(file, [job(measured, seed=2), job(measured, frames=8), job(measured)], no_progress)
    assert measured == [{}, {"seed": 2}, {"frames": 8}]
    assert len(file.read_text().splitlines()) == 3


def test_an_interrupted_probe_continues(tmp_path: Path) -> None:
    def interrupted() -> Record:
        raise KeyboardInterrupt

    measured: list[Record] = []
    stop = Job({"cell": "gru", "seed": 2}, interrupted)
    with pytest.raises(KeyboardInterrupt):
        complete(tmp_path / "r.jsonl", [job(measured), stop], no_progress)
    complete(tmp_path / "r.jsonl", [job(measured), job(measured, seed=2)], no_progress)
    assert measured == [{}, {"seed": 2}]


def test_spreads() -> None:
    assert spread([3, 1, 2]) == Spread(2, 1, 3)
    assert spread([3, None]) is None
    assert spread([]) is None
    assert str(spread([0.12345])) == "0.123"
    assert rounded({"a": [1.23456, float("inf"), 7]}) == {"a": [1.235, None, 7]}


def test_models_of_different_shapes_are_not_averaged() -> None:
    records = [{"cell": "gru", "shape": "1 × 8"}, {"cell": "rnn", "shape": "1 × 16"}]
    assert list(grouped(records)) == ["gru", "rnn"]
    with pytest.raises(SpeechgruError, match=r"gru.*1 × 8.*2 × 8"):
        grouped([*records, {"cell": "gru", "shape": "2 × 8"}])


def test_a_figure_has_medians_ranges_and_gaps() -> None:
    figure = plot("t", [Curves("gru", [0, 1], [[1.0, 2.0], [3.0, None], [5.0, 4.0]])], "x", "y")
    (axes,) = figure.axes
    middle = axes.lines[0].get_ydata()
    assert middle[0] == 3
    assert math.isnan(middle[1])  # one model has no value
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert (low, high) == (1, 5)


def test_a_finding_is_written_as_json_and_svg(tmp_path: Path) -> None:
    figure = plot("t", [Curves("gru", [0, 1], [[1.0, 2.0]])], "x", "y")
    finding = Finding("x", [Table("c", [{"cell": "gru", "ms": Spread(1, 0, 2)}])], {"f": figure})
    for folder in (tmp_path / "a", tmp_path / "b"):
        files = finding.write(folder)
        assert files == [folder / "x.json", folder / "f.svg"]
    (table,) = json.loads(files[0].read_text())["tables"]
    assert table["rows"][0]["ms"] == {"median": 1, "low": 0, "high": 2}
    assert "<svg" in files[1].read_text()
    assert files[1].read_bytes() == (tmp_path / "a/f.svg").read_bytes()  # no date, no random ids
