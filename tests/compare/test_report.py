"""The report: one valid page that needs nothing else, with results.json's own numbers."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from speechgru.compare.cost import measure
from speechgru.compare.grid import report

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Open tags, faults in their nesting, references and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.references: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: set[str | None] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "action", "data")]
        self.ids.add(values.get("id"))
        if values.get("role") == "img":
            self.images.append(values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.references += [v or "" for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


@pytest.fixture(scope="module")
def page(finished: Path) -> Page:
    return Page((finished / "report.html").read_text())


def test_the_page_is_well_formed_and_asks_for_nothing(page: Page, finished: Path):
    assert (page.faults, page.open) == ([], [])
    links = {reference for reference in page.references if reference.startswith("#")}
    assert set(page.references) - links == {"data:,"}
    assert {link[1:] for link in links} <= page.ids
    text = (finished / "report.html").read_text()
    assert set(re.findall(r"https?://[^\"' <]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "url(" not in text


def test_every_figure_has_a_text_alternative(page: Page):
    assert len(page.images) >= 4
    assert all(len(image["aria-label"] or "") > 20 for image in page.images)


def test_numbers_are_those_of_results_json(page: Page, finished: Path):
    results = json.loads((finished / "results.json").read_text())
    markdown = (finished / "report.md").read_text()
    for row in results["systems"]:
        for text in (f"{100 * row['wer_mean']:.2f}", f"{row['parameters']:,}", row["name"]):
            assert text in page.text
            assert text in markdown
    for pair in results["pairs"]:
        for text in (page.text, markdown):
            assert pair["sentence"][1:] in text  # the first letter may be a capital


def test_costs_are_measured_on_two_roads(finished: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("speechgru.compare.cost.REPEATS", 1)
    monkeypatch.setattr("speechgru.compare.cost.UTTERANCES", 2)
    cost = measure(finished / "runs" / "gru-seed1", "cpu")
    assert cost["fastest"] in cost["roads"]
    assert "unroll" in cost["roads"]
    for values in cost["roads"].values():
        assert all(value > 0 for value in values.values())
    assert cost["bytes"] == (finished / "runs/gru-seed1/model.safetensors").stat().st_size


def test_costs_enter_the_report(finished: Path, tmp_path: Path):
    import shutil

    out = tmp_path / "out"
    shutil.copytree(finished, out)
    backend = {"rtf_1_thread": 0.01, "rtf_2_threads": 0.006, "seconds_per_epoch": 2.0}
    one = {
        "device": "CPU",
        "share": 0.99,
        "bytes": 1000,
        "roads": {"cpu": backend, "unroll": backend},
        "fastest": "cpu",
        "training_bytes": 5_000_000,
        "precisions": {},
    }
    (out / "cost.json").write_text(json.dumps({"rnn": one, "gru": one}))
    results = report(out)
    page = Page((out / "report.html").read_text())
    assert (page.faults, page.open) == ([], [])
    assert results["timings"]["cost"]["gru"]["fastest"] == "cpu"
    assert "compiled (cpu), fastest" in page.text
    assert "dev WER, % against seconds" in (out / "report.html").read_text().replace("Dev", "dev")
