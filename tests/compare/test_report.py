"""The report: one valid page that needs nothing else, a Markdown twin, and their warnings."""

import re
import shlex
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_runs import MODEL, compared, finished, run, scores

from speechgru.compare.analysis import Analysis, read_analysis
from speechgru.compare.cost import Timing, VariantCost
from speechgru.compare.plan import ModelSize, Plan
from speechgru.compare.report import (
    command,
    figures,
    headline,
    to_html,
    to_markdown,
    warnings,
    write_report,
)
from speechgru.compare.runner import RunResult, TrainedModel
from speechgru.compare.spec import parse
from speechgru.recipe import Recipe, make_recipe

DOCUMENTED = Path(__file__).parents[2] / "docs" / "results"
KEPT = sorted(plan.parent for plan in DOCUMENTED.glob("*/plan.json"))
VOID = {"meta", "link", "br", "hr", "img", "input"}
GOOD, BAD = [0, 1, 0, 1, 0, 1] * 4, [3, 4, 5, 4, 3, 4] * 4
TWO = {"rnn": [BAD, BAD], "gru": [GOOD, GOOD]}


class Page(HTMLParser):
    """Open tags, errors in their nesting, references, images and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.errors: list[str] = []
        self.references: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "action", "data")]
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def page(analysis: Analysis) -> Page:
    return Page(to_html(to_markdown(analysis), figures(analysis)))


@pytest.fixture(scope="module")
def built(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of `finished`, from its plan and results alone."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copy(finished / "plan.json", folder)
    shutil.copytree(finished / "results", folder / "results")
    write_report(folder)
    return folder


def test_the_report_needs_plan_and_results_alone_and_repeats_exactly(finished: Path, built: Path):
    for name in ("results.json", "report.html", "report.md"):
        assert (built / name).read_bytes() == (finished / name).read_bytes()


def test_the_page_is_well_formed_and_loads_nothing(built: Path):
    text = (built / "report.html").read_text()
    shown = Page(text)
    assert (shown.errors, shown.open) == ([], [])
    assert all(reference.startswith("data:") for reference in shown.references)
    assert not re.findall(r"https?://|@import|url\(|<script", text)


def test_figures_have_a_text_alternative(built: Path):
    images = Page((built / "report.html").read_text()).images
    assert len(images) == 2
    assert all(len(image["alt"] or "") > 20 for image in images)


def test_both_forms_contain_the_numbers(built: Path):
    analysis = read_analysis(built)
    shown = Page((built / "report.html").read_text()).text
    for text in (shown, (built / "report.md").read_text()):
        for system in analysis.systems:
            assert system.rates is not None
            assert f"{100 * system.rates.wer_mean:.2f}" in text
            assert f"{100 * system.rates.cer_mean:.2f}" in text
            assert f"{system.size.parameters:,}" in text
        for pair in analysis.pairs:
            assert f"{100 * pair.comparison.difference:+.2f}".replace("-", "−") in text
            assert f"{pair.comparison.p:.3f}" in text


@pytest.mark.parametrize("kept", KEPT, ids=lambda folder: folder.name)
def test_kept_reports_are_up_to_date(kept: Path):
    """To rebuild them: docs/results/README.md."""
    document = to_markdown(read_analysis(kept))
    document = re.sub(r"!\[(.*?)\]\(\w+\)", r"*Figure in report.html: \1.*", document)
    assert document == (kept / "report.md").read_text()
    assert len(document.splitlines()) <= 150


def test_the_headline_names_the_best_and_how_surely():
    close = [*GOOD[:-1], GOOD[-1] + 1]
    text = headline(compared({"rnn": [BAD, BAD], "gru": [GOOD, GOOD], "lstm": [close, close]}))
    assert text.startswith("gru has the lowest WER, 5.00 %")
    better, _, rest = text.partition(",")[2].partition("not significantly")
    assert "rnn" in better
    assert "lstm" in rest
    assert "5.00" not in headline(compared({"a": [GOOD], "b": [GOOD]}, key="text.case"))


def test_variants_of_equal_wer_are_both_named_and_that_of_lower_cer_is_first():
    wrong_letters = replace(scores(GOOD), character_errors=(5,) * len(GOOD))
    changes = {"rnn-seed1": finished("rnn", 1, wrong_letters)}
    text = headline(compared({"rnn": [GOOD], "gru": [GOOD]}, changes=changes))
    assert text.startswith("gru, like rnn, has the lowest WER, 5.00 %")


@pytest.mark.parametrize(("errors", "named"), [(9, True), (10, False), (12, False)])
def test_no_variant_is_best_that_makes_as_many_errors_as_an_empty_transcript(errors, named):
    analysis = compared({"rnn": [[13] * 24] * 2, "gru": [[errors] * 24] * 2})  # of 10 words
    assert ("gru has" in headline(analysis)) == named
    assert f"{10 * errors}.00 %" in headline(analysis)
    assert ("take gru" in to_markdown(analysis)) == named


def kinds(analysis: Analysis) -> list[str]:
    return list(warnings(analysis))


def test_a_complete_comparison_needs_no_warning():
    assert kinds(compared(TWO)) == []


LOST = replace(run(2, 0.9, failed=True), run="gru-seed2", variant="gru")
NOTHING = replace(
    finished("gru", 2, scores(BAD)), curve=run(2, 1.0, 1.0).curve
)  # a dev CER of 80 %
FALLING = {
    f"gru-seed{seed}": finished("gru", seed, scores(GOOD), curve=run(seed, 0.80, 0.51, 0.46).curve)
    for seed in (1, 2)
}
LESS = replace(MODEL, train_hours=0.9)
GPU = replace(MODEL, made_by="speechgru 1, torch 2, cuda")


def gru_seed1(model: TrainedModel) -> RunResult:
    return finished("gru", 1, scores(GOOD), model=model)


@pytest.mark.parametrize(
    ("kind", "analysis"),
    [
        ("unfinished", compared(TWO, changes={"gru-seed2": None})),
        ("failures", compared(TWO, changes={"gru-seed2": LOST})),
        ("failures", compared(TWO, changes={"gru-seed2": NOTHING})),
        ("improving", compared(TWO, changes=FALLING)),
        ("high-wer", compared({"rnn": [[8] * 24] * 2, "gru": [[7] * 24] * 2})),
        ("dev", compared(TWO, test=None)),
        ("dev", compared(TWO, test=Recipe().data.dev)),
        ("one-seed", compared({"rnn": [BAD], "gru": [GOOD]})),
        ("data", compared(TWO, changes={"gru-seed1": gru_seed1(LESS)})),
        ("devices", compared(TWO, changes={"gru-seed1": gru_seed1(GPU)})),
    ],
)  # fmt: skip
def test_warnings(kind: str, analysis: Analysis):
    assert kind in kinds(analysis)
    assert warnings(analysis)[kind] in to_markdown(analysis)


def test_counts_of_one_have_their_noun_in_the_singular():
    text = to_markdown(compared({"rnn": [BAD], "gru": [GOOD]}, changes={"gru-seed1": None}))
    assert "1 of 2 runs is still to come" in text
    assert "- 1 run still to come" in text
    assert "(1 run)" in text


def test_counts_of_one_are_singular_in_the_terms_and_in_the_warnings():
    one = {"gru-seed1": finished("gru", 1, scores([1], words=1))}
    recipe = make_recipe({"model": {"hidden_size": 1}, "training": {"average": 1}})
    analysis = compared({"gru": [[1]]}, changes=one, match="params")
    spec = replace(analysis.plan.spec, recipe=recipe)
    text = to_markdown(replace(analysis, plan=replace(analysis.plan, spec=spec)))
    assert ": 1 utterance, 1 word, 1 speaker" in text
    assert "with 1 unit (" in text
    assert "the mean of" not in text  # of one epoch, there is none
    only = compared({"gru": [[1]]}, changes={"gru-seed1": run(1, 0.9, failed=True)})
    assert "1 of 1 run of gru failed" in warnings(only)["failures"]


def test_the_warning_of_an_unfinished_training_shows_its_last_evaluations():
    (text,) = warnings(compared(TWO, changes=FALLING)).values()
    assert "gru (80.0 → 51.0 → 46.0 %)" in text


def test_few_speakers_and_a_missed_match_are_warned_of():
    few = {
        f"{name}-seed{seed}": finished(name, seed, scores(errors, speakers=["ann", "bob"] * 12))
        for name, (errors, _) in TWO.items()
        for seed in (1, 2)
    }
    assert kinds(compared(TWO, changes=few)) == ["few-speakers"]
    unknown = {
        run: replace(each, scores=replace(each.scores, speakers=(None, *scores(GOOD).speakers[1:])))
        for run, each in few.items()
    }
    (text,) = warnings(compared(TWO, changes=unknown)).values()
    assert "too few" not in text
    analysis = compared(TWO)
    sizes = analysis.plan.sizes | {"gru": ModelSize(8, 900, 1e6, 0.9, False)}
    gru = replace(analysis.systems[1], size=sizes["gru"])
    assert kinds(replace(analysis, systems=(analysis.systems[0], gru))) == ["matching"]


def test_what_the_data_cannot_show_is_left_out():
    text = to_markdown(compared(TWO))
    assert "## Utterance length" not in text
    assert "## Cost" not in text
    (head,) = [line for line in text.splitlines() if line.startswith("| pair | target")]
    assert "verdict" not in head  # two seeds cannot show who converges faster
    many = {"rnn": [BAD] * 6, "gru": [GOOD] * 6}
    assert "| p | verdict |" in to_markdown(compared(many))


@pytest.mark.parametrize(
    ("key", "values", "row"),
    [
        ("model.forget_bias", ("0", "1"), "| forget-gate bias |"),
        ("training.learning_rate", ("0.1", "0.2"), "| learning rate |"),
        ("model.layers", ("1", "2"), "| model |"),
    ],
)
def test_the_varied_setting_is_not_among_the_equal_terms(key: str, values: tuple[str, str], row):
    assert row in to_markdown(compared(TWO))
    text = to_markdown(compared(dict(zip(values, TWO.values(), strict=True)), key=key))
    assert row not in text


def test_costs_have_a_row_per_backend():
    timing = Timing(0.0123, 0.0077, 2.5)
    cost = VariantCost(
        "a CPU", 2_000_000, {"cpu": timing, "unroll": timing}, "cpu", 0.99, 5_000_000
    )
    text = to_markdown(compared(TWO, costs={"rnn": cost, "gru": cost}))
    section = text.partition("## Cost")[2].partition("## ")[0]
    assert section.count("| 2.50 | 0.0123 | 0.0077 |") == 4
    assert section.count("| 5 | 2.00 |") == 2  # memory was measured on the fastest
    assert "Warning" not in section
    busy = replace(cost, cpu_share=0.5)
    text = to_markdown(compared(TWO, costs={"rnn": cost, "gru": busy}))
    assert "Warning" in text.partition("## Cost")[2]


def test_a_comparison_without_results_has_a_report():
    changes = {f"{name}-seed{seed}": None for name in TWO for seed in (1, 2)}
    shown = page(compared(TWO, changes=changes))
    assert (shown.errors, shown.open) == ([], [])
    assert "4 of 4 runs" in shown.text


def test_reasons_and_paths_cannot_break_the_page():
    reason = "<script>alert(1)</script> | *a* `b` [c](d)"
    lost = replace(LOST, failure=replace(LOST.failure, reason=reason))
    shown = page(compared(TWO, changes={"gru-seed2": lost}, test="da|ta/<b>.jsonl"))
    assert (shown.errors, shown.open) == ([], [])
    assert "script" not in shown.tags
    assert "b" not in shown.tags
    assert reason in shown.text


@pytest.mark.parametrize(
    "options",
    [
        {"cells": "gru,lstm", "seeds": 3, "test": "a b.jsonl", "match": "params"},
        {"vary": "augment.speed=[0.9, 1.1],[1.0]", "folds": "speaker", "tune": "lr=0.001,0.003"},
    ],
)
def test_the_command_repeats_the_comparison(options):
    spec = parse(compared(TWO).plan.spec.recipe, **options)
    analysis = compared(TWO)
    sizes = dict.fromkeys(spec.names, analysis.plan.sizes["gru"])
    words = shlex.split(command(replace(analysis, plan=Plan(spec, sizes))))
    assert words[:3] == ["speechgru", "compare", "recipe.yaml"]
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert given.pop("--out") == "FOLDER"
    repeated = {name.removeprefix("--"): value for name, value in given.items()}
    repeated["seeds"] = int(repeated["seeds"])
    assert parse(spec.recipe, **repeated) == spec
