"""The report: one valid page that needs nothing else, with results.json's own numbers."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from speechgru.compare.claims import (
    EASIER,
    LONG,
    LOSES,
    ORDER,
    all_claims,
    quality_claims,
    timing_claims,
)
from speechgru.compare.cost import measure
from speechgru.compare.grid import report
from speechgru.compare.trainability import flip_test, trainability

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


def test_every_claim_has_its_verdict(page: Page, finished: Path):
    results = json.loads((finished / "results.json").read_text())
    claims = all_claims(results)
    assert [claim["claim"] for claim in claims] == list(ORDER)
    for claim in claims:
        verdict = claim["verdict"][0].upper() + claim["verdict"][1:]
        words = claim["words"].replace("`", "")  # code in the page
        assert f"“{claim['claim']}”\n{verdict}: {words}" in page.text


def invented(verdicts: dict[tuple[str, str], str], runs: int = 3) -> dict[str, object]:
    """Results of rnn, gru and lstm whose pairs have these verdicts."""
    pairs = [
        {
            "a": a,
            "b": b,
            "verdict": v,
            "sentence": f"{a} {v} {b}",
            "minimum_detectable": 0.02,
            "seeds": [runs, runs],
        }
        for (a, b), v in verdicts.items()
    ]
    curve = [{"epoch": 1, "step": 10, "dev_wer": 0.1, "loss": 1.0, "skipped_steps": 0}]
    each = [{"seed": k, "fold": "", "curve": curve, "train_hours": 1.0} for k in range(runs)]
    cells = ("rnn", "gru", "lstm")
    return {
        "question": {
            "vary": "model.cell",
            "match": "params",
            "seeds": runs,
            "folds": None,
            "learning_rates": [0.001, 0.002],
        },
        "systems": [{"name": cell, "wer": [0.1] * runs, "wer_mean": 0.1} for cell in cells],
        "pairs": pairs,
        "by_length": None,
        "trainability": trainability(dict.fromkeys(cells, each), {c: [] for c in cells}),
        "learning_rates": {},
    }


@pytest.mark.parametrize(
    ("lstm", "rnn", "verdict"),
    [
        ("better", "better", "supported here"),
        ("better", "no difference shown", "undecided here"),
        ("equivalent", "better", "undecided here"),
        ("worse", "better", "contradicted here"),
    ],
)
def test_best_for_speech_is_no_surer_than_its_pairs(lstm, rnn, verdict):
    results = invented({("gru", "lstm"): lstm, ("gru", "rnn"): rnn, ("lstm", "rnn"): "better"})
    claims = {claim["claim"]: claim for claim in quality_claims(results)}
    assert claims["A GRU is the best cell for speech"]["verdict"] == verdict


def test_a_difference_larger_than_the_wer_itself_is_not_promised():
    results = invented({("gru", "lstm"): "no difference shown", ("gru", "rnn"): "better"})
    results["pairs"][0]["minimum_detectable"] = 1.2  # an lstm with 120 % would be needed
    claims = {claim["claim"]: claim for claim in quality_claims(results)}
    words = claims["A GRU is the best cell for speech"]["words"]
    assert "even a gru without errors would hardly be told from lstm" in words
    assert "120" not in words


def test_a_pair_may_be_named_either_way_round():
    results = invented({("rnn", "gru"): "worse", ("rnn", "lstm"): "worse"})
    claims = {claim["claim"]: claim for claim in quality_claims(results)}
    assert claims["A GRU is the best cell for speech"]["evidence"] == ["rnn worse gru"]
    claim = claims["Gates (LSTM, GRU) cure it"]
    assert claim["verdict"] == "not tested here"  # error rates say nothing of gradients
    assert "gru and lstm made fewer errors than rnn" in claim["words"]


def run(seed: int, *dev_wer: float, failed: bool = False) -> dict[str, object]:
    """A training that had these dev WER after 100, 200, … updates."""
    curve = [
        {"epoch": k, "step": 100 * k, "dev_wer": wer, "dev_cer": 0.8 * wer}
        for k, wer in enumerate(dev_wer, 1)
    ]
    values = {"seed": seed, "fold": "", "curve": curve, "train_hours": 1.0}
    return values | ({"failed": {"kind": "diverged", "reason": "NaN"}} if failed else {})


def trained(**runs: list[dict[str, object]]) -> dict[str, object]:
    whole = {name: [r for r in each if "failed" not in r] for name, each in runs.items()}
    failed = {name: [r for r in each if "failed" in r] for name, each in runs.items()}
    return trainability(whole, failed)


EARLY = [run(seed, 0.5, 0.1, 0.1, 0.1) for seed in range(8)]
LATE = [run(seed, 0.9, 0.5, 0.4, 0.1) for seed in range(8)]


def test_an_earlier_target_in_every_run_is_faster():
    (pair,) = trained(gru=EARLY, lstm=LATE)["pairs"]
    assert (pair["ratio"], pair["verdict"], pair["never"]) == (pytest.approx(0.5), "faster", [0, 0])
    assert pair["p"] == pytest.approx(2 / 2**8)


def test_a_third_cell_that_learns_nothing_changes_no_pair():
    alone = trained(gru=EARLY, lstm=LATE)
    nothing = [run(seed, 1.0, 1.0, 1.0, 1.0) for seed in range(8)]
    beside = trained(rnn=nothing, gru=EARLY, lstm=LATE)
    assert beside["target_dev_wer"] == alone["target_dev_wer"] == 0.1
    assert beside["systems"]["rnn"]["reached"] == "0 of 8"
    pair = next(p for p in beside["pairs"] if (p["a"], p["b"]) == ("gru", "lstm"))
    assert (pair["ratio"], pair["p"]) == (alone["pairs"][0]["ratio"], alone["pairs"][0]["p"])


def test_runs_that_diverged_are_late_not_absent():
    blown = [run(seed, 0.5, 0.1, 0.1, failed=seed >= 3) for seed in range(8)]
    found = trained(gru=blown, lstm=LATE)
    (pair,) = found["pairs"]
    assert (pair["runs"], pair["never"], pair["verdict"]) == (8, [5, 0], "no difference shown")
    assert found["systems"]["gru"]["reached"] == "3 of 8"
    assert found["systems"]["gru"]["median_updates_to_target"] is None


def test_giving_up_early_is_not_arriving_early():
    stopped = [run(s, 0.5, 0.5) if s < 4 else run(s, 0.5, 0.5, 0.5, 0.1) for s in range(8)]
    arrived = [run(s, 0.5, 0.5, 0.5, 0.5, 0.1) for s in range(8)]
    (pair,) = trained(rnn=stopped, gru=arrived)["pairs"]
    assert pair["never"] == [4, 0]
    assert pair["ratio"] > 1  # four runs count as twice 500 updates


def test_words_may_all_be_wrong_where_letters_are_not():
    poor = run(1, 1.05, 0.92)
    found = trained(rnn=[poor], gru=[run(1, 0.5, 0.4)])
    assert found["target_dev_wer"] == 0.92
    poor["curve"][1]["dev_cer"] = poor["curve"][0]["dev_cer"] = 0.8
    assert trained(rnn=[poor], gru=[run(1, 0.5, 0.4)])["target_dev_wer"] == 0.4


def test_silence_does_not_reach_a_target():
    """A model that says nothing leaves out every word; a poor one may have more errors."""
    poor, good = run(1, 1.0, 1.05, 0.98), run(1, 1.0, 0.9, 0.8)
    for each in (poor, good):
        each["curve"][0]["dev_cer"] = 1.0
        each["curve"][1]["dev_cer"] = each["curve"][2]["dev_cer"] = 0.5
    found = trained(rnn=[poor], gru=[good])
    assert found["target_dev_wer"] == 0.98
    poor["curve"][2]["dev_wer"] = 1.02
    found = trained(rnn=[poor], gru=[good])
    assert found["target_dev_wer"] == 1.02
    assert found["systems"]["gru"]["updates_to_target"] == [200]
    assert found["systems"]["rnn"]["updates_to_target"] == [300]


def test_runs_without_cer_are_not_called_silent():
    poor = run(1, 0.9, 0.2)
    for row in poor["curve"]:
        del row["dev_cer"]
    assert trained(rnn=[poor], gru=[run(1, 0.5, 0.1)])["target_dev_wer"] == 0.2


def test_nothing_learned_by_anybody_is_no_target():
    found = trained(gru=[run(1, 1.0)], lstm=[run(1, 0.95)])
    assert (found["target_dev_wer"], found["pairs"]) == (None, [])


@pytest.mark.parametrize(
    ("gru", "lstm", "verdict"),
    [
        (EARLY, LATE, "supported here"),
        (LATE, EARLY, "contradicted here"),
        (EARLY, EARLY, "undecided here"),
    ],
)
def test_updates_decide_what_is_easier_to_train(gru, lstm, verdict):
    results = invented({})
    results["trainability"] = trained(gru=gru, lstm=lstm)
    claim = {claim["claim"]: claim for claim in quality_claims(results)}[EASIER]
    assert claim["verdict"] == verdict
    assert "too few" not in claim["words"]


def test_too_few_runs_to_show_anything_are_told():
    results = invented({})
    results["trainability"] = trained(gru=EARLY[:6], lstm=LATE[:6], rnn=LATE[:6])
    claim = {claim["claim"]: claim for claim in quality_claims(results)}[EASIER]
    assert claim["verdict"] == "not tested here"
    assert "6 pairs of runs of 3 cells are too few" in claim["words"]


@pytest.mark.parametrize(
    ("rnn", "longest", "verdict"),
    [
        ([0.05, 0.1, 0.2], "better", "supported in part"),
        ([0.2, 0.1, 0.05], "better", "undecided here"),  # ahead everywhere
        ([0.05, 0.1, 0.2], "no difference shown", "undecided here"),
        ([0.02, 0.02, 0.01], "worse", "contradicted here"),
    ],
)
def test_length_matters_only_where_the_lead_grows_with_it(rnn, longest, verdict):
    results = invented({})
    results["by_length"] = {
        "seconds": [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]],
        "wer": {"rnn": rnn, "gru": [0.02] * 3, "lstm": [0.02] * 3},
        "pairs_on_longest": invented({("gru", "rnn"): longest, ("lstm", "rnn"): longest})["pairs"],
    }
    claim = {claim["claim"]: claim for claim in quality_claims(results)}[LONG]
    assert claim["verdict"] == verdict


@pytest.mark.parametrize(
    ("longest", "verdict"),
    [("worse", "supported in part"), ("better", "undecided here"),
     ("no difference shown", "undecided here")],
)  # fmt: skip
def test_who_loses_on_long_utterances_is_told_with_care(longest, verdict):
    results = invented({})
    pairs = invented({("gru", "lstm"): longest})["pairs"]
    results["by_length"] = {
        "seconds": [[0.0, 1.0], [2.0, 3.0]],
        "pairs_on_longest": pairs,
        "wer": {cell: [0.1, 0.1] for cell in ("rnn", "gru", "lstm")},
    }
    claim = {claim["claim"]: claim for claim in quality_claims(results)}[LOSES]
    assert claim["verdict"] == verdict
    assert "utterances of 2.0 to 3.0 s" in claim["words"]


def cost(seconds: float, share: float = 1.0) -> dict[str, object]:
    rtf = seconds / 1000
    road = {"seconds_per_epoch": seconds, "rtf_1_thread": rtf, "rtf_2_threads": rtf}
    return {"roads": {"cpu": road, "unroll": road}, "fastest": "cpu", "share": share}


@pytest.mark.parametrize(
    ("gru", "lstm", "verdict"),
    [
        (cost(1.0), cost(2.0), "supported here"),
        (cost(2.0), cost(1.0), "contradicted here"),
        (cost(1.0), cost(1.05), "undecided here"),
        (cost(1.0), cost(2.0, share=0.5), "undecided here"),  # others were at work
    ],
)
def test_the_clock_decides_what_is_cheaper(gru, lstm, verdict):
    results = invented({})
    for row in results["systems"]:
        row |= {"width": 10, "parameters": 1000, "macs_per_second": 1000.0}
    (claim,) = timing_claims(results, {"cost": {"gru": gru, "lstm": lstm}})
    assert claim["verdict"] == verdict


@pytest.mark.parametrize(
    ("differences", "p"),
    [([], 1.0), ([1.0], 1.0), ([1.0] * 6, 2 / 64), ([1.0, -1.0], 1.0), ([3.0, 1.0], 0.5)],
)
def test_flip_test_counts_signs(differences, p):
    assert flip_test(differences) == pytest.approx(p)


def test_costs_are_measured_on_two_roads(finished: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("speechgru.compare.cost.REPEATS", 1)
    monkeypatch.setattr("speechgru.compare.cost.UTTERANCES", 2)
    cost = measure(finished / "runs" / "gru-seed1", "cpu")
    assert cost["fastest"] in cost["roads"]
    assert "unroll" in cost["roads"]
    for values in cost["roads"].values():
        assert all(value > 0 for value in values.values())
    assert cost["bytes"] == (finished / "runs/gru-seed1/model.safetensors").stat().st_size


def test_costs_and_probes_enter_the_report(finished: Path, tmp_path: Path):
    import shutil

    out = tmp_path / "out"
    shutil.copytree(finished, out)
    road = {"rtf_1_thread": 0.01, "rtf_2_threads": 0.006, "seconds_per_epoch": 2.0}
    one = {
        "device": "CPU",
        "share": 0.99,
        "bytes": 1000,
        "roads": {"cpu": road, "unroll": road},
        "fastest": "cpu",
        "training_bytes": 5_000_000,
        "precisions": {},
    }
    (out / "cost.json").write_text(json.dumps({"rnn": one, "gru": one}))
    (out / "probes").mkdir()
    (out / "probes/gradient-reach.svg").write_text("<svg role='img' aria-label='it'></svg>")
    finding = {
        "probe": "gradient-reach",
        "claim": "RNNs forget.",
        "method": "By gradients.",
        "tables": [
            {"caption": "Reach", "head": ["cell", "halves"], "rows": [["rnn", "in 3 frames"]]}
        ],
        "numbers": {},
        "figures": ["gradient-reach.svg"],
    }
    (out / "probes/gradient-reach.json").write_text(json.dumps(finding))
    results = report(out)
    page = Page((out / "report.html").read_text())
    assert (page.faults, page.open) == ([], [])
    assert results["timings"]["cost"]["gru"]["fastest"] == "cpu"
    assert "in 3 frames" in page.text
    assert "compiled (cpu), fastest" in page.text
    assert "dev WER, % against seconds" in (out / "report.html").read_text().replace("Dev", "dev")
