"""What a probe measured, kept row by row, and how it is summed up and written."""

from pathlib import Path

import pytest

from research.probes.finding import Finding, Rows, banded, rounded, spread
from speechgru.errors import SpeechgruError


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
