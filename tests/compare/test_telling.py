"""What the report says: never more than the pairs show, and nothing that the question unsays."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from speechgru.compare.bill import cost_section
from speechgru.compare.course import training_section
from speechgru.compare.document import Document, Section, to_html, to_markdown
from speechgru.compare.grid import report
from speechgru.compare.opening import answer, terms
from speechgru.compare.story import tell
from speechgru.compare.wording import listed, told

Values = dict[str, Any]


ROAD = {"rtf_1_thread": 0.01, "rtf_2_threads": 0.006, "seconds_per_epoch": 2.0}
COST = {"device": "CPU", "share": 0.99, "bytes": 1000, "roads": {"cpu": ROAD, "unroll": ROAD},
        "fastest": "cpu", "training_bytes": 5_000_000, "precisions": {}}  # fmt: skip


@pytest.fixture
def results(finished: Path) -> Values:
    """results.json of rnn and gru, two seeds; to be changed at will."""
    return json.loads((finished / "results.json").read_text())


def words_of(section: Section) -> str:
    return to_markdown(Document("", [section]))


def cells(results: Values, wers: dict[str, float], verdicts: dict[tuple[str, str], str]) -> Values:
    """The results as if these cells had been compared, with these verdicts of the first."""
    row, pair = results["systems"][0], results["pairs"][0]
    results["question"]["variants"] = list(wers)
    results["systems"] = [row | {"name": name, "wer_mean": wer} for name, wer in wers.items()]
    results["pairs"] = [
        pair | {"a": a, "b": b, "verdict": v, "sentence": f"{v}: {a}, {b}", "margin": 0.02}
        for (a, b), v in verdicts.items()
    ]
    results["character_pairs"] = copy.deepcopy(results["pairs"])
    return results


NONE = "no difference shown"


@pytest.mark.parametrize(
    ("found", "lead", "words"),
    [
        (("worse", "worse", NONE), "gru is the best of these.", "better than rnn and lstm"),
        (("worse", NONE, NONE), "Undecided between gru and lstm.", "better than rnn; that it"),
        (("worse", NONE, NONE), "Undecided between gru and lstm.", "lower than lstm (20.00 %) may"),
        (("equivalent", NONE, NONE), "Undecided between gru, rnn and lstm.", "equivalent to rnn"),
        (("equivalent", "equivalent", NONE), "Undecided between gru, rnn and lstm.", "lowest"),
        (("equivalent",) * 3, "Equivalent within 2.0 points: gru, rnn and lstm.", "equivalent to"),
        (("equivalent", "worse", NONE), "Equivalent within 2.0 points: gru and rnn.", "than lstm"),
        (("equivalent", "equivalent", "worse"), "Equivalent within 2.0 points: gru and lstm.", ""),
        ((NONE, NONE, "worse"), "Undecided between gru and lstm.", "than lstm (20.00 %) may be"),
        (
            (NONE, NONE, "worse"),
            "Undecided between gru and lstm.",
            "rnn (30.00 %) is shown to be worse than others, though not than it",
        ),
        ((NONE, "worse", "worse"), "No variant is shown to be the best.", "though not than it"),
    ],
)
def test_the_answer_is_what_the_pairs_show(results, found, lead, words):
    pairs = [("rnn", "gru"), ("lstm", "gru"), ("rnn", "lstm")]
    wers = {"rnn": 0.3, "gru": 0.1, "lstm": 0.2}
    text = words_of(answer(cells(results, wers, dict(zip(pairs, found, strict=True)))))
    assert f"> **{lead}** " in text
    assert words in text
    assert "WER is 10.00 %" in text or "lowest WER, 10.00 %" in text


def test_characters_are_told_where_they_show_something_else(results):
    results = cells(results, {"rnn": 0.3, "gru": 0.1}, {("rnn", "gru"): NONE})
    assert "(CER) show the same." in words_of(answer(results))
    results["character_pairs"][0] |= {"verdict": "worse", "sentence": "rnn is worse than gru: CER"}
    text = words_of(answer(results))
    assert "By character error rates (CER):\n\n- rnn is worse than gru: CER." in text
    assert "Undecided between gru and rnn." in text  # words decide


def test_who_must_choose_is_told_what_it_may_cost(results):
    wers = {"rnn": 0.3, "gru": 0.1, "lstm": 0.2, "cifg": 0.15}
    found = {("rnn", "gru"): NONE, ("lstm", "gru"): NONE, ("gru", "cifg"): NONE,
             ("rnn", "cifg"): "worse"}  # fmt: skip
    results = cells(results, wers, found)
    for pair, ci95 in zip(
        results["pairs"], [[0, 1], [-0.02, 0.12], [-0.15, 0.05], [0, 1]], strict=True
    ):
        pair["ci95"] = ci95
    text = words_of(answer(results))
    assert "If you must choose now, take gru." in text
    gap = 100 * results["pairs"][1]["difference"]
    told_as = f"lstm {gap:+.2f} (−2.00 to +12.00) and cifg {-gap:+.2f} (−5.00 to +15.00)."
    assert told_as.replace("-", "−") in text  # the rnn is worse than a cifg

    results["systems"][1] |= {"failed_runs": 2, "wer": [0.1]}
    text = words_of(answer(results))
    assert "lowest WER, 10.00 % (over 1 of 2 seeds: runs failed);" in text
    assert "the lowest found (over 1 of 2 seeds: runs failed); to be" in text

    quick = copy.deepcopy(COST)
    quick["roads"]["cpu"]["rtf_1_thread"] = 0.008
    results["timings"]["cost"] = dict.fromkeys(wers, COST) | {"cifg": quick}
    assert "one thread takes, × gru's time: cifg 0.80." in words_of(answer(results))
    for doubt in ({"share": 0.5}, {"device": "a GPU"}):
        results["timings"]["cost"]["cifg"] = quick | doubt
        assert "one thread takes" not in words_of(answer(results))


def test_an_answer_by_single_trainings_says_so(results):
    results = cells(results, {"rnn": 0.3, "gru": 0.1}, {("rnn", "gru"): "worse"})
    assert "another seed may turn the answer" not in words_of(answer(results))
    assert "gru is the best of these.**" in words_of(answer(results))
    results["pairs"][0]["seeds"] = [2, 1]
    assert "another seed may turn the answer" in words_of(answer(results))
    assert "gru is the best of these, as far as single trainings tell.**" in words_of(
        answer(results)
    )


def test_a_variant_that_read_other_words_is_not_the_lowest(results):
    results = cells(results, {"rnn": 0.3, "gru": 0.2, "lstm": 0.1}, {("rnn", "gru"): NONE})
    text = words_of(answer(results))
    assert "Undecided between gru and rnn." in text
    assert "take gru" in text
    assert "Variants that read different words are not tested in pairs." in text


@pytest.mark.parametrize("verdict", ["better", "worse"])
def test_where_one_is_shown_to_be_the_best_there_is_nothing_to_choose(results, verdict):
    pair = ("gru", "rnn") if verdict == "better" else ("rnn", "gru")
    results = cells(results, {"rnn": 0.3, "gru": 0.1}, {pair: verdict})
    text = words_of(answer(results))
    assert "gru is the best of these." in text
    assert "must choose" not in text


def test_many_pairs_are_told_by_what_they_show():
    pairs = [{"verdict": NONE, "sentence": "no difference shown"} for _ in range(5)]
    assert told(pairs) == ["No difference is shown in any of 5 pairs: see their intervals."]
    pairs[1] = {"verdict": "better", "sentence": "gru is better than rnn"}
    assert told(pairs) == [
        "gru is better than rnn.",
        "No difference is shown in the other 4 pairs: see their intervals.",
    ]
    assert told(pairs[2:]) == ["No difference shown."] * 3


def test_lists_are_english():
    assert [listed(list(names)) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


def test_a_grid_that_is_not_finished_says_so(finished: Path, tmp_path: Path):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    (out / "results/gru-seed2.json").unlink()
    results = report(out)
    assert results["pending"] == ["gru-seed2"]
    assert results["failures"] == {}
    markdown = (out / "report.md").read_text()
    assert "Not finished: 1 of 4 runs are still to come." in markdown
    assert "Still to come, 1 run: gru-seed2." in markdown
    assert "Failed" not in markdown
    assert "wer" in results["systems"][1]  # of the seed that is whole
    for file in (out / "results").glob("gru*"):
        file.unlink()
    report(out)
    assert "No two variants have results that can be compared." in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("vary", "unsaid"),
    [
        ("model.bidirectional", "two-way"),
        ("model.layers", "recurrent layer"),
        ("training.epochs", "the best one by dev WER"),
        ("training.learning_rate", "learning rate 0."),
        ("model.hidden_size", "equal width"),
    ],
)
def test_terms_say_nothing_of_the_setting_that_differs(results, vary, unsaid):
    before = words_of(terms(results))
    assert unsaid in before
    results["question"]["vary"] = vary
    after = words_of(terms(results))
    assert unsaid not in after
    assert f"everything but `{vary}` is the same for all" in after


def test_terms_name_what_could_not_be_matched(results):
    results["question"]["match"] = "params"
    results["systems"][1] |= {"ratio": 1.05, "within": False}
    text = words_of(terms(results))
    assert "+5.0 %" in text
    assert "No width of gru meets equal parameters" in text


def test_variants_that_trained_on_other_utterances_are_told(results):
    assert "utterances and their order" in words_of(terms(results))
    hours = results["systems"][1]["train_hours"]
    counts = results["systems"][1]["train_utterances"]
    for key, changed in (
        ("train_hours", dict.fromkeys(hours, 0.25)),
        ("train_utterances", {run: count - 1 for run, count in counts.items()}),  # too short to see
    ):
        other = copy.deepcopy(results)
        other["systems"][1][key] = changed
        text = words_of(terms(other))
        assert "They did not train on the same utterances." in text
        assert "gru 0.25" in text or key != "train_hours"
        assert "utterances and their order" not in text


def test_runs_made_by_different_means_are_told(results):
    (by,) = results["made_by"]
    assert by.endswith(", cpu")
    assert "by the same means" not in words_of(terms(results))
    results["made_by"] = {by: 3, "cuda": 1}
    assert f"3 runs by {by} and 1 run by cuda" in words_of(terms(results))


def test_without_a_test_no_test_is_spoken_of(results):
    assert "before test was touched" in words_of(terms(results))
    results["question"]["test"] = None
    assert "test" not in words_of(terms(results))


def test_the_answer_does_not_hide_failed_runs(results):
    for row in results["systems"]:
        row |= {"failed_runs": 0, "collapsed_runs": 0}
    assert "failed" not in words_of(answer(results))
    results["systems"][1] |= {"failed_runs": 2, "collapsed_runs": 1}
    assert "3 runs of gru failed or learned nothing" in words_of(answer(results))


def test_claims_are_about_cells_alone(results):
    titles = [section.title for section in tell(results).sections]
    assert "The article's claims, on this data" in titles
    results["question"]["vary"] = "features.kind"
    document = tell(results)
    assert "The article's claims, on this data" not in [s.title for s in document.sections]
    assert document.title.startswith("Which features.kind is better")


def test_failed_runs_and_the_largest_gradient_are_told(results):
    results["systems"][0] |= {"failed_runs": 1, "collapsed_runs": 1}
    results["trainability"]["systems"]["rnn"]["runs"] = 8
    results["trainability"]["systems"]["rnn"]["curve"][1]["grad_norm_max"] = [1.0, 2.0, 987.0]
    text = words_of(training_section(results))
    assert "| rnn | 2 of 8 (25 %) |" in text
    assert "| 987 |" in text


def test_curves_run_over_hours_only_where_they_differ_from_updates(results):
    assert "are 0.636 hours of audio, the same" in words_of(training_section(results))
    for row in results["trainability"]["systems"]["gru"]["curve"]:
        row["audio_hours"] *= 2
    text = words_of(training_section(results))
    assert "against hours of audio" in text
    assert "the same for every variant" not in text


def test_learning_rates_are_told_and_drawn(results):
    rows = [
        {"learning_rate": 0.001, "dev_wer": 0.2, "lowest": 0.1, "highest": 0.3, "failed": 0},
        {"learning_rate": 0.1, "dev_wer": None, "lowest": None, "highest": None, "failed": 1},
    ]
    survivors = rows[0] | {"learning_rate": 0.1, "runs": 6, "failed": 5}
    results["learning_rates"] = {"rnn": rows, "gru": rows[:1], "lstm": [survivors]}
    section = training_section(results)
    assert "| rnn | 20.00 | failed |" in words_of(section)
    assert "| gru | 20.00 | – |" in words_of(section)
    assert "| lstm | – | 20.00 (5 of 6 failed) |" in words_of(section)
    assert to_html(Document("", [section])).count("Dev WER at each learning rate tried") >= 2


def test_shorter_weights_are_told_in_time_and_text(results):
    short = {"rtf_1_thread": 0.005, "texts_changed": 2, "texts": 20}
    rnn = copy.deepcopy(COST) | {"precisions": {"bfloat16": short}}
    gru = copy.deepcopy(COST) | {
        "precisions": {"bfloat16": short | {"wer_float32": 0.1, "wer": 0.125}}
    }
    results["timings"]["cost"] = {"rnn": rnn, "gru": gru}
    text = words_of(cost_section(results))
    assert "| rnn | bfloat16 | 0.0050 | 0.50 | 2 of 20 | – |" in text
    assert "| gru | bfloat16 | 0.0050 | 0.50 | 2 of 20 | 10.00 → 12.50 |" in text
    assert "not to be relied on" not in text
    for name, value, reason in (("share", 0.5, "got 50 % of a"), ("device", "GPU", "CPU, GPU")):
        results["timings"]["cost"] = {"rnn": rnn | {name: value}, "gru": gru}
        text = words_of(cost_section(results))
        assert "not to be relied on" in text
        assert reason in text


def test_time_to_the_target_is_serial_seconds_by_epochs(results):
    results["timings"]["cost"] = {"rnn": COST}
    training = results["trainability"]["systems"]["rnn"]
    training["median_updates_to_target"] = 2 * training["curve"][0]["updates"]
    assert "| rnn | compiled (cpu), fastest | 2.00 | 4.0 |" in words_of(cost_section(results))
    training["median_updates_to_target"] = None
    assert "| not reached |" in words_of(cost_section(results))


def test_a_pairs_verdict_says_within_what_it_is_equivalent(results):
    results["pairs"][0] |= {"verdict": "equivalent", "margin": 0.0123}
    (section,) = [s for s in tell(results).sections if s.title == "Error rates"]
    assert "| equivalent within 1.23 points |" in words_of(section)


def test_pairs_that_cannot_be_decided_say_what_would_help(results):
    pair, results["character_pairs"] = results["pairs"][0], []
    pair |= {"verdict": NONE, "from_seeds": 0.9, "minimum_detectable": 0.99 * pair["rate_b"]}
    (section,) = [s for s in tell(results).sections if s.title == "Error rates"]
    assert "In rnn − gru most of the doubt comes from the trainings' seeds" in words_of(section)
    assert "| none |" not in words_of(section)
    pair |= {"from_seeds": 0.1, "minimum_detectable": 1.2}
    (section,) = [s for s in tell(results).sections if s.title == "Error rates"]
    assert "most of the doubt" not in words_of(section)
    assert "| none |" in words_of(section)
