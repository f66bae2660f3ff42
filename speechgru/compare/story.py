"""results.json told as a document: question, terms, results, costs, trainability, claims."""

from collections.abc import Sequence
from typing import Any

from speechgru.compare.bill import cost_section
from speechgru.compare.claims import all_claims
from speechgru.compare.course import training_section
from speechgru.compare.document import (
    Block,
    Bullets,
    Details,
    Document,
    Figure,
    Heading,
    Section,
    See,
    Table,
    Text,
    Verdict,
)
from speechgru.compare.intervals import Interval, interval_chart
from speechgru.compare.opening import answer, terms
from speechgru.compare.probed import verdicts
from speechgru.compare.question import CELL
from speechgru.compare.wording import capital, p_cell, percent, plural, points, signed, told

Values = dict[str, Any]
Probes = Sequence[tuple[Values, list[str]]]
PLACES = {  # where a claim's figure stands
    "pairs": "Word error rates",
    "lengths": "Errors and the length of what is said",
    "cost": "Costs",
    "curves": "How they train",
    "gradients": "How they train",
}
NAMED = 10  # runs that are still to come, by name


def tell(results: Values, probes: Probes = ()) -> Document:
    """The report. `probes` are findings and their drawings, (values, [svg, …]) each."""
    question = results["question"]
    what = "Which cell" if question["vary"] == CELL else f"Which {question['vary']}"
    sections = [
        answer(results), terms(results), _errors(results), _lengths(results),
        cost_section(results), training_section(results), _probes(probes),
    ]  # fmt: skip
    if question["vary"] == CELL:
        told_so_far = {section.title for section in sections if section.blocks}
        sections.append(_claims(results, probes, told_so_far))
    sections.append(_without_result(results))
    title = f"{what} is better: {', '.join(question['variants'])}"
    return Document(title, [section for section in sections if section.blocks])


def _errors(results: Values) -> Section:
    section, scored = Section("Word error rates"), [r for r in results["systems"] if "wer" in r]
    if not scored:
        return section
    rows = [
        [
            row["name"], percent(row["wer_mean"]), points(row["wer_std"]),
            f"{percent(row['wer_ci95'][0])} to {percent(row['wer_ci95'][1])}",
            percent(row["cer_mean"]), str(len(row["wer"])), f"{row['words']:,}",
            f"{row['utterances']:,}", str(row["speakers"]),
        ]
        for row in scored
    ]  # fmt: skip
    head = ["variant", "WER %", "± over seeds", "95 % interval", "CER %", "seeds", "words",
            "utterances", "speakers"]  # fmt: skip
    note = f"intervals: for other {scored[0]['ci_unit']}s of the same kind, seeds averaged"
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
    return section


def _differences(pairs: list[Values], held_out: bool) -> list[Block]:
    if not pairs:
        return []
    several = len(pairs) > 1
    rows = [
        [
            f"{p['a']} − {p['b']}", signed(p["difference"]),
            f"{signed(p['ci95'][0])} to {signed(p['ci95'][1])}", p_cell(p["p"]),
            *([p_cell(p["p_adjusted"])] if several else []),
            f"{100 * p['minimum_detectable']:.2f}",
            _verdict(p),
        ]
        for p in pairs
    ]  # fmt: skip
    head = ["pair", "points of WER", "95 % interval", "p", *(["p after Holm"] if several else []),
            "minimum detectable", "verdict"]  # fmt: skip
    drawn = [
        Interval(f"{p['a']} − {p['b']}", 100 * p["ci95"][0], 100 * p["difference"],
                 100 * p["ci95"][1])
        for p in pairs
    ]  # fmt: skip
    words = "; ".join(f"{row[0]}: {row[1]} points, {row[2]}" for row in rows)
    chart = interval_chart("Differences in WER", words, drawn, "points of WER", zero=True)
    several_seeds = min(min(pair["seeds"]) for pair in pairs) > 1
    sampled = (
        "Speakers are taken for a sample of all speakers, each with models of its own." if held_out
        else "Seeds and speakers (utterances, where speakers are few) are both taken for samples."
        if several_seeds
        else "Speakers (utterances, where speakers are few) are taken for a sample; other seeds "
        "may differ."
    )  # fmt: skip
    return [
        Table("Differences in WER, in points", head, rows),
        Text(
            f"Below zero the first of a pair makes fewer errors. {sampled} The minimum detectable "
            "difference is a true difference that such a test would find 8 times in 10"
            + (", with so many pairs" if several else "")
            + ": smaller ones stay open. “Equivalent” means that the whole interval lies within a "
            "tenth of the pair's mean WER."
        ),
        Figure(chart, "Differences with 95 % intervals; left of zero the first is better."),
    ]


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
        f"{low:.1f} to {high:.1f} s ({words:,} words)"
        for (low, high), words in zip(cut["seconds"], cut["words"], strict=True)
    ]
    rows = [[name, *(percent(wer) for wer in wers)] for name, wers in cut["wer"].items()]
    section.blocks.append(Table("WER % in thirds of the utterances, by length", head, rows))
    if cut["pairs_on_longest"]:
        section.blocks += [Text("On the longest third:"), Bullets(told(cut["pairs_on_longest"]))]
    return section


def _probes(probes: Probes) -> Section:
    section = Section("Probes")
    for values, drawings in probes:
        section.blocks += [
            Heading(capital(values["probe"].replace("-", " "))),
            Text(f"The claim: {values['claim']}"),
            Text(values["method"]),
            Details("What was measured", values["words"]),
        ]
        section.blocks += [Figure(svg, _figure_words(svg)) for svg in drawings]
    return section


def _figure_words(svg: str) -> str:
    """A drawing's own title; what it shows stands in the list above it."""
    _, _, rest = svg.partition("<title>")
    title, found, _ = rest.partition("</title>")
    return f"{title}: line, the median over models; band, lowest to highest." if found else "Figure"


def _claims(results: Values, probes: Probes, sections: set[str]) -> Section:
    section = Section("The article's claims, on this data")
    for claim in all_claims(results):
        section.blocks += [
            Heading(f"“{claim['claim']}”"),
            Verdict(f"{capital(claim['verdict'])}:", f"{claim['words']}."),
        ]
        if claim["evidence"]:
            section.blocks.append(Bullets(claim["evidence"]))
        if (place := PLACES.get(claim["figure"])) in sections and place is not None:
            section.blocks.append(See(place))
        probed = verdicts(claim["claim"], [values for values, _ in probes])
        section.blocks += [
            Verdict(f"By the probe {name}, not by this data: {verdict}.", f"{capital(words)}.")
            for name, verdict, words in probed
        ]
        section.blocks += [See("Probes")] * bool(probed)
    return section


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
