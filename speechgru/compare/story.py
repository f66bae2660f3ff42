"""results.json as a document: question, terms, results, costs, trainability."""

from typing import Any

from speechgru.compare.bill import cost_section
from speechgru.compare.course import training_section
from speechgru.compare.document import (
    Block,
    Bullets,
    Document,
    Figure,
    Section,
    Table,
    Text,
)
from speechgru.compare.intervals import Interval, interval_chart
from speechgru.compare.opening import answer, terms
from speechgru.compare.question import CELL
from speechgru.compare.wording import (
    NO_DIFFERENCE,
    listed,
    p_cell,
    percent,
    plural,
    points,
    signed,
)

Values = dict[str, Any]
NAMED = 10  # runs that are still to come, by name


def tell(results: Values) -> Document:
    """The report."""
    question = results["question"]
    what = "Which cell" if question["vary"] == CELL else f"Which {question['vary']}"
    sections = [
        answer(results), terms(results), _errors(results), _lengths(results),
        cost_section(results), training_section(results), _without_result(results),
    ]  # fmt: skip
    title = f"{what} is better: {', '.join(question['variants'])}"
    return Document(title, [section for section in sections if section.blocks])


def _errors(results: Values) -> Section:
    section, scored = Section("Error rates"), [r for r in results["systems"] if "wer" in r]
    if not scored:
        return section
    rows = [
        [
            row["name"], percent(row["wer_mean"]), points(row["wer_std"]),
            f"{percent(row['wer_ci95'][0])} to {percent(row['wer_ci95'][1])}",
            ", ".join(f"{100 * wer:.1f}" for wer in row["wer"]), percent(row["cer_mean"]),
            f"{row['words']:,}",
            f"{row['utterances']:,}", str(row["speakers"]),
        ]
        for row in scored
    ]  # fmt: skip
    head = ["variant", "WER %", "SD over seeds", "95 % interval", "WER % by seed", "CER %", "words",
            "utterances", "speakers"]  # fmt: skip
    unit = scored[0]["ci_unit"]
    note = (
        f"intervals: for other such {unit}s, by bootstrap, seeds averaged; variants are compared "
        "in the next table"
    )
    section.blocks.append(Table(f"Errors ({note})", head, rows))
    dots = [
        Interval(r["name"], 100 * r["wer_ci95"][0], 100 * r["wer_mean"], 100 * r["wer_ci95"][1],
                 tuple(100 * wer for wer in r["wer"]) if len(r["wer"]) > 1 else ())
        for r in scored
    ]  # fmt: skip
    words = "; ".join(f"{r['name']} {percent(r['wer_mean'])} %" for r in scored)
    caption = f"WER with its 95 % interval; small circles are seeds. {words}."
    chart = interval_chart("Word error rates", words, dots, "WER, %")
    section.blocks.append(Figure(chart, caption))
    section.blocks += _differences(results["pairs"], bool(results["folds"]))
    if results["character_pairs"]:
        section.blocks += [
            _pair_table("Differences in CER, in points", results["character_pairs"]),
            Text("Word errors decide; these stand beside them, with an adjustment of their own."),
        ]
    return section


def _differences(pairs: list[Values], held_out: bool) -> list[Block]:
    if not pairs:
        return []
    drawn = [
        Interval(f"{p['a']} − {p['b']}", 100 * p["ci95"][0], 100 * p["difference"],
                 100 * p["ci95"][1])
        for p in pairs
    ]  # fmt: skip
    words = "; ".join(
        f"{p['a']} − {p['b']}: {signed(p['difference'])} points, {_ends(p)}" for p in pairs
    )
    chart = interval_chart("Differences in WER", words, drawn, "points of WER", zero=True)
    trainings = [count for pair in pairs for count in pair["seeds"]]
    sampled = (
        "Speakers are taken for a sample of all speakers, each with models of its own." if held_out
        else "Seeds and speakers (utterances, where speakers are few) are both taken for samples."
        if min(trainings) > 1
        else "Speakers (utterances, where speakers are few) are taken for a sample; other seeds "
        "may differ." if max(trainings) == 1
        else "Speakers (utterances, where speakers are few) are taken for a sample, and so are "
        "seeds where there are several; how other trainings of a single one would differ is in no "
        "interval, which may be the narrower for it."
    )  # fmt: skip
    told = (
        f"Below zero the first of a pair makes fewer errors. {sampled} Intervals and p come from a "
        "paired bootstrap and Student's t. The minimum detectable difference is a true difference "
        "that such a test finds 8 times in 10; smaller ones are found less often."
    )
    if any(_detectable(pair) == "none" for pair in pairs):
        told += " “None”: not even a system without errors would be told from the other so often."
    if len(pairs) > 1:
        told += " P after Holm decides, so an interval may lie off zero and nothing be shown."
    return [
        _pair_table("Differences in WER, in points", pairs),
        Text(told),
        *_what_would_tell(pairs),
        Figure(chart, "Differences with 95 % intervals; left of zero the first is better."),
    ]


def _pair_table(caption: str, pairs: list[Values]) -> Table:
    several = len(pairs) > 1
    rows = [
        [
            f"{p['a']} − {p['b']}", signed(p["difference"]), _ends(p), p_cell(p["p"]),
            *([p_cell(p["p_adjusted"])] if several else []),
            _detectable(p), _verdict(p),
        ]
        for p in pairs
    ]  # fmt: skip
    head = ["pair", "points", "95 % interval", "p", *(["p after Holm"] if several else []),
            "minimum detectable", "verdict"]  # fmt: skip
    return Table(caption, head, rows)


def _ends(pair: Values) -> str:
    return f"{signed(pair['ci95'][0])} to {signed(pair['ci95'][1])}"


def _detectable(pair: Values) -> str:
    least = pair["minimum_detectable"]
    return "none" if least >= max(pair["rate_a"], pair["rate_b"]) else f"{100 * least:.2f}"


def _what_would_tell(pairs: list[Values]) -> list[Block]:
    """Where trainings differ so much that other seeds would tell more than other speakers."""
    noisy = [
        f"{p['a']} − {p['b']}"
        for p in pairs
        if p["verdict"] == NO_DIFFERENCE and p["from_seeds"] > 0.5
    ]
    if not noisy:
        return []
    words = (
        f"In {listed(noisy)} most of the doubt comes from the trainings' seeds: more seeds would "
        "tell more than more test data."
    )
    return [Text(words)]


def _verdict(pair: Values) -> str:
    if pair["verdict"] == "equivalent":
        return f"equivalent within {100 * pair['margin']:.2f} points"
    better_or_worse = pair["verdict"] in ("better", "worse")
    return f"{pair['a']} is {pair['verdict']}" if better_or_worse else str(pair["verdict"])


def _lengths(results: Values) -> Section:
    section, cut = Section("Errors and the length of what is said"), results["by_length"]
    if cut is None:
        return section
    head = ["variant"] + [
        f"{low:.2f} to {high:.2f} s ({words:,} words)"
        for (low, high), words in zip(cut["seconds"], cut["words"], strict=True)
    ]
    rows = [[name, *(percent(wer) for wer in wers)] for name, wers in cut["wer"].items()]
    section.blocks.append(Table("WER % in thirds of the utterances, by length", head, rows))
    if cut["pairs_on_longest"]:
        title = "Differences on the longest third, in points of WER"
        section.blocks += [_pair_table(title, cut["pairs_on_longest"]), _growth(cut["growth"])]
    return section


def _growth(pairs: list[Values]) -> Table:
    """Whether a lead on the longest third is larger than the one on the shortest."""
    rows = [
        [
            f"{p['a']} − {p['b']}", signed(p["difference"]), _ends(p), p_cell(p["p_adjusted"]),
            "no growth shown" if p["verdict"] == NO_DIFFERENCE
            else f"{p['a']} {'gains' if p['verdict'] == 'better' else 'loses'} with length",
        ]
        for p in pairs
    ]  # fmt: skip
    head = ["pair", "points", "95 % interval", "p after Holm", "verdict"]
    return Table("Growth of the difference, from the shortest third to the longest", head, rows)


def _without_result(results: Values) -> Section:
    section = Section("Runs without a result")
    if results["failures"]:
        items = [f"{name}: {reason}" for name, reason in results["failures"].items()]
        section.blocks += [Text("Failed:"), Bullets(items)]
    if pending := results["pending"]:
        more = f" and {len(pending) - NAMED} more" if len(pending) > NAMED else ""
        section.blocks.append(
            Text(
                f"Still to come, {plural(len(pending), 'run')}: {', '.join(pending[:NAMED])}{more}."
                " The same command goes on where it stopped."
            )
        )
    return section
