"""results.json told as a document: question, terms, results, costs, trainability, claims."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru.compare.claims import CURED, LONG, UNTESTED, VANISHING, all_claims
from speechgru.compare.course import cost_section, training_section
from speechgru.compare.document import (
    Bullets,
    Document,
    Figure,
    Section,
    Table,
    Text,
    Verdict,
)
from speechgru.compare.intervals import Interval, interval_chart
from speechgru.compare.wording import percent, points, signed

Values = dict[str, Any]
Probes = Sequence[tuple[Values, list[str]]]
PROBED = {  # the probes that bear on a claim
    VANISHING: ("gradient-reach",),
    CURED: ("gradient-reach", "gates"),
    LONG: ("memory", "length"),
}
PLACES = {  # where a claim's figure stands
    "pairs": "Word error rates",
    "lengths": "Errors and the length of what is said",
    "cost": "Costs",
    "curves": "How they train",
    "gradients": "How they train",
}


def tell(results: Values, probes: Probes = ()) -> Document:
    """The report. `probes` are findings and their drawings, (values, [svg, …]) each."""
    question = results["question"]
    what = "Which cell" if question["vary"] == "model.cell" else f"Which {question['vary']}"
    sections = [
        _answer(results), _terms(results), _errors(results), _lengths(results),
        cost_section(results),
        training_section(results), _probes(probes), _claims(results, probes), _failures(results),
    ]  # fmt: skip
    title = f"{what} is better: {', '.join(question['variants'])}"
    return Document(title, [section for section in sections if section.blocks])


def _answer(results: Values) -> Section:
    question = results["question"]
    section = Section("The question and the answer")
    data = ", ".join(Path(path).name for path in question["recipe"]["data"]["train"])
    heard = (
        "every speaker in turn, held out of training" if question["folds"]
        else Path(question["test"]).name if question["test"]
        else "dev, on which the best epoch was also chosen: no test was given"
    )  # fmt: skip
    section.blocks.append(
        Text(
            f"One recipe, trained on {data}, differs in {question['vary']} alone. Word error "
            f"rates (WER) are on {heard}."
        )
    )
    section.blocks += [Verdict(pair["sentence"]) for pair in results["pairs"]]
    scored = sum("wer" in row for row in results["systems"])
    if len(results["pairs"]) < scored * (scored - 1) // 2:
        section.blocks.append(Text("Variants that read different words are not tested in pairs."))
    if not results["pairs"]:
        section.blocks.append(Verdict("No two variants have results that can be compared."))
    elif len(results["pairs"]) > 1:
        section.blocks.append(
            Text(
                "p values are adjusted by Holm's method over all pairs, intervals are not. "
                "“No difference shown” does not mean equal: see the minimum detectable difference."
            )
        )
    return section


def _terms(results: Values) -> Section:
    question, section = results["question"], Section("The terms")
    recipe, match = question["recipe"], question["match"]
    model, training = recipe["model"], recipe["training"]
    ways = "both ways" if model["bidirectional"] else "one way"
    tuned = question["learning_rates"]
    items = [
        f"{question['seeds']} training(s) a variant, seeds 1 to {question['seeds']}; the same "
        "utterances, order, augmentation, schedule and decoder for all",
        f"{model['layers']} recurrent layer(s), {ways}; {training['epochs']} epochs; best epoch "
        "by dev WER" + (f", mean of {training['average']} tried" if training["average"] else ""),
        "equal width: parameters and work differ" if match == "width"
        else f"width of each variant solved for equal {match} (the recipe's own model is the "
        "measure)",
        f"learning rate of each variant chosen on dev among {', '.join(f'{r:g}' for r in tuned)}"
        if tuned else f"learning rate {training['learning_rate']:g} for all, not tuned: a "
        "variant that wants another is at a disadvantage",
        "widths and learning rates were on disk before test was touched; test was scored once a "
        "trained model",
    ]  # fmt: skip
    rows = [
        [
            row["name"], str(row["width"]), f"{row['parameters']:,}",
            f"{row['macs_per_second'] / 1e6:.2f}", f"{100 * (row['ratio'] - 1):+.1f} %",
            ", ".join(f"{rate:g}" for rate in row["learning_rates"]),
        ]
        for row in results["systems"]
    ]  # fmt: skip
    head = ["variant", "width", "parameters", "million MACs a second", f"off equal {match}",
            "learning rate"]  # fmt: skip
    section.blocks += [Bullets(items), Table("The variants", head, rows)]
    return section


def _errors(results: Values) -> Section:
    section, scored = Section("Word error rates"), [r for r in results["systems"] if "wer" in r]
    if not scored:
        return section
    rows = [
        [
            row["name"], percent(row["wer_mean"]), points(row["wer_std"]),
            f"{percent(row['wer_ci95'][0])} to {percent(row['wer_ci95'][1])}",
            percent(row["cer_mean"]), str(len(row["wer"])), f"{row['words']:,}",
            str(row["utterances"]), str(row["speakers"]),
        ]
        for row in scored
    ]  # fmt: skip
    head = ["variant", "WER %", "± over seeds", "95 % interval", "CER %", "seeds", "words",
            "utterances", "speakers"]  # fmt: skip
    note = f"intervals over other {scored[0]['ci_unit']}s of the same kind, seeds averaged"
    section.blocks.append(Table(f"Errors ({note})", head, rows))
    dots = [
        Interval(r["name"], 100 * r["wer_ci95"][0], 100 * r["wer_mean"], 100 * r["wer_ci95"][1],
                 tuple(100 * wer for wer in r["wer"]))
        for r in scored
    ]  # fmt: skip
    words = "; ".join(f"{r['name']} {percent(r['wer_mean'])} %" for r in scored)
    caption = f"WER with its 95 % interval; small circles are seeds. {words}."
    chart = interval_chart("Word error rates", words, dots, "WER, %")
    section.blocks.append(Figure(chart, caption))
    section.blocks += _differences(results["pairs"])
    return section


def _differences(pairs: list[Values]) -> list[Table | Figure]:
    if not pairs:
        return []
    rows = [
        [
            f"{p['a']} − {p['b']}", signed(p["difference"]),
            f"{signed(p['ci95'][0])} to {signed(p['ci95'][1])}", f"{p['p']:.3f}",
            f"{p['p_adjusted']:.3f}", f"{100 * p['minimum_detectable']:.2f}",
            f"{p['a']} {p['verdict']}" if p["verdict"] in ("better", "worse") else p["verdict"],
        ]
        for p in pairs
    ]  # fmt: skip
    head = ["pair", "points of WER", "95 % interval", "p", "p after Holm",
            "minimum detectable", "verdict"]  # fmt: skip
    drawn = [
        Interval(f"{p['a']} − {p['b']}", 100 * p["ci95"][0], 100 * p["difference"],
                 100 * p["ci95"][1])
        for p in pairs
    ]  # fmt: skip
    words = "; ".join(f"{row[0]}: {row[1]} points, {row[2]}" for row in rows)
    chart = interval_chart("Differences in WER", words, drawn, "points of WER", zero=True)
    caption = f"Differences with 95 % intervals; left of zero the first is better. {words}."
    title = "Differences (crossed bootstrap over seeds and speakers or utterances)"
    return [Table(title, head, rows), Figure(chart, caption)]


def _lengths(results: Values) -> Section:
    section, cut = Section("Errors and the length of what is said"), results["by_length"]
    if cut is None:
        return section
    head = ["variant"] + [
        f"{low:.1f} to {high:.1f} s ({words} words)"
        for (low, high), words in zip(cut["seconds"], cut["words"], strict=True)
    ]
    rows = [[name, *(percent(wer) for wer in wers)] for name, wers in cut["wer"].items()]
    section.blocks.append(Table("WER % in thirds of the utterances, by length", head, rows))
    section.blocks += [
        Text(f"On the longest third: {pair['sentence']}.") for pair in cut["pairs_on_longest"]
    ]
    return section


def _probes(probes: Probes) -> Section:
    section = Section("Probes")
    for values, drawings in probes:
        words = " ".join(values["words"])
        section.blocks.append(Text(f"{values['probe']}: {values['claim']} {values['method']}"))
        section.blocks.append(Bullets(values["words"]))
        section.blocks += [Figure(svg, f"{values['probe']}. {words}") for svg in drawings]
    return section


def _claims(results: Values, probes: Probes) -> Section:
    section = Section("The article's claims, on this data")
    for claim in all_claims(results):
        told = _told_by_probes(claim["claim"], probes)
        verdict = "measured by the probes" if told and claim["verdict"] == UNTESTED else (
            claim["verdict"]
        )  # fmt: skip
        section.blocks.append(Verdict(f"“{claim['claim']}”: {verdict} – {claim['words']}."))
        where = PLACES.get(claim["figure"])
        if evidence := [*claim["evidence"], *told]:
            section.blocks.append(Bullets(evidence))
        if where:
            section.blocks.append(Text(f"Figure and table: {where}."))
    return section


def _told_by_probes(claim: str, probes: Probes) -> list[str]:
    """The probes' own words, where they bear on a claim."""
    return [
        f"probe {values['probe']}: {words}"
        for values, _ in probes
        for words in values["words"]
        if values["probe"] in PROBED.get(claim, ())
    ]


def _failures(results: Values) -> Section:
    section = Section("Runs without a result")
    if results["failures"]:
        items = [f"{name}: {reason}" for name, reason in results["failures"].items()]
        section.blocks.append(Bullets(items))
    return section
