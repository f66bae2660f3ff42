"""The report's section on how variants train."""

from typing import Any

from speechgru.compare.cost import on_road
from speechgru.compare.document import Block, Figure, Section, Table, Text
from speechgru.compare.folds import MANY
from speechgru.compare.trainability import smallest_p
from speechgru.compare.wording import NO_DIFFERENCE, capital, p_cell, percent, plural
from speechgru.figures import Axis, Series, line_chart

Values = dict[str, Any]
SAME_SPEAKERS = (
    " Dev has the training's speakers: it tells how training goes, not how others are understood."
)


def training_section(results: Values) -> Section:
    section, training = Section("How they train"), results["trainability"]
    systems = {name: v for name, v in training["systems"].items() if v["curve"]}
    if not systems:
        return section
    section.blocks += [
        Text(
            _target(training["target_dev_wer"])
            + " A run failed when it diverged (no finite loss for many steps), had another fault, "
            "or learned nothing (dev CER of 75 % or more). Gradient norms are taken before "
            "clipping: medians over an epoch's updates and over runs, and the largest of all; they "
            "fall with the loss and do not tell how far back gradients reach."
            + (SAME_SPEAKERS if 0 < len(results["folds"]) <= MANY else "")
        ),
        _convergence(results, systems),
    ]
    if training["pairs"]:
        section.blocks += _pairs(training["pairs"])
    section.blocks += _curves(results, systems)
    section.blocks += _rates(results["learning_rates"])
    return section


def _target(wer: float | None) -> str:
    if wer is None:
        return "No variant learned anything."
    return (
        f"The target is dev WER {percent(wer)} %, which half of the worst variant's runs reach; "
        "variants of which all runs learned nothing, or half diverged, have no say."
    )


def _convergence(results: Values, systems: Values) -> Table:
    counts = {row["name"]: row for row in results["systems"]}
    rows = []
    for name, values in systems.items():
        row, curve = counts[name], values["curve"]
        runs, failed = values["runs"], row["failed_runs"] + row["collapsed_runs"]
        updates = values["median_updates_to_target"]
        hours = curve[0]["audio_hours"] / curve[0]["updates"]
        largest = [point["grad_norm_max"][2] for point in curve if "grad_norm_max" in point]
        rows.append([
            name, f"{failed} of {runs} ({100 * failed / runs:.0f} %)", values["reached"],
            "–" if updates is None else f"{updates:,.0f}",
            "–" if updates is None else f"{updates * hours:.2f}",
            _norm(curve[0]), _norm(curve[-1]), _figure(max(largest)) if largest else "–",
        ])  # fmt: skip
    head = ["variant", "runs that failed", "reached the target", "updates to it (median)",
            "hours of audio", "gradient norm, first epoch", "last epoch", "largest"]  # fmt: skip
    return Table("Convergence, failures and gradients", head, rows)


def _pairs(pairs: list[Values]) -> list[Block]:
    rows = [
        [
            f"{p['a']} ÷ {p['b']}", percent(p["target_dev_wer"]), f"{p['ratio']:.2f}",
            str(p["runs"]), "{} and {}".format(*p["never"]), p_cell(p["p_adjusted"]),
            p["verdict"] if p["verdict"] == NO_DIFFERENCE
            else f"{p['a']} needs {'fewer' if p['verdict'] == 'faster' else 'more'}",
        ]
        for p in pairs
    ]  # fmt: skip
    head = ["pair", "target, dev WER %", "ratio of updates", "pairs of runs", "never arrived",
            "p after Holm", "verdict"]  # fmt: skip
    least = min(smallest_p(pair["seeds"]) for pair in pairs) * len(pairs)
    note = (
        "A pair's target is what the worse of the two reaches in half of its runs (the other alone "
        "where half of its runs diverged). A run that never arrived (of the first, and of the "
        "second) counts as twice the pair's most updates. The test takes seeds for the sample; by "
        f"it, of {plural(len(pairs), 'pair')}, p after Holm cannot fall below "
        f"{min(1.0, least):.2g}."
    )
    title = "Who needs more updates (geometric means of equally numbered runs)"
    return [Table(title, head, rows), Text(note)]


def _curves(results: Values, systems: Values) -> list[Block]:
    """Dev WER and loss against updates, hours of audio and, where measured, seconds."""
    costs = results["timings"]["cost"]
    scores = [("dev_wer", "dev WER, %", 100.0, False), ("loss", "training loss a token", 1.0, True)]
    across = [("updates", "updates")]
    if len({_hours_an_update(values) for values in systems.values()}) > 1:
        across.append(("audio_hours", "hours of audio"))
    if set(costs) >= set(systems):
        systems = {name: _timed(values, costs[name]) for name, values in systems.items()}
        across.append(("seconds", "seconds of one thread"))
    figures = [
        _curve(systems, key, along, label, x_label, scale, log)
        for key, label, scale, log in scores
        for along, x_label in across
    ]
    figures.append(
        _curve(systems, "grad_norm_median", "updates", "gradient norm", "updates", 1.0, True)
    )
    blocks: list[Block] = [figure for figure in figures if figure is not None]
    if len(across) < 2 or across[1][0] != "audio_hours":
        hours = 1000 * _hours_an_update(next(iter(systems.values())))
        blocks.append(
            Text(f"1,000 updates are {hours:.3g} hours of audio, the same for every variant.")
        )
    return blocks


def _hours_an_update(values: Values) -> float:
    return float(f"{values['curve'][0]['audio_hours'] / values['curve'][0]['updates']:.6g}")


def _curve(
    systems: Values, key: str, across: str, label: str, x_label: str, scale: float, log: bool
) -> Figure | None:
    series, ends = [], []
    for place, (name, values) in enumerate(systems.items()):
        rows = [row for row in values["curve"] if key in row]
        if not rows:
            return None
        low, middle, high = ([scale * row[key][i] for row in rows] for i in range(3))
        series.append(
            Series(
                name, [row[across] for row in rows], middle, low, high, place, markers=len(rows) < 4
            )
        )
        ends.append(f"{name} ends at {middle[-1]:.3g}")
    title = f"{capital(label)} against {x_label}"
    words = "; ".join(ends)
    lowest = None if log else 0.0
    svg = line_chart(title, words, series, Axis(x_label, low=0.0), Axis(label, log, lowest))
    return Figure(svg, f"{title}: median over runs, band from lowest to highest. {words}.")


def _rates(table: Values) -> list[Block]:
    """Sensitivity: dev WER at each learning rate tried, as numbers and as a figure."""
    if not table:
        return []
    rates = sorted({row["learning_rate"] for rows in table.values() for row in rows})
    lines, series, words = [], [], []
    for place, (name, rows) in enumerate(table.items()):
        found = {row["learning_rate"]: row for row in rows}
        lines.append([name, *(_tried(found.get(rate)) for rate in rates)])
        done = [row for row in rows if row["dev_wer"] is not None]
        middle, low, high = (
            [100 * row[key] for row in done] for key in ("dev_wer", "lowest", "highest")
        )
        x = [row["learning_rate"] for row in done]
        series.append(Series(name, x, middle, low, high, place, markers=True))
        if known := [row["dev_wer"] for row in done]:
            words.append(f"{name} from {percent(min(known))} to {percent(max(known))} %")
    title = "Dev WER at each learning rate tried"
    told = "; ".join(words)
    svg = line_chart(
        title, told, series, Axis("learning rate", log=True), Axis("dev WER, %", low=0.0)
    )
    head = ["variant", *(f"{rate:g}" for rate in rates)]
    return [
        Table(f"{title}, % (median; one seed)", head, lines),
        Figure(svg, f"{title}: the flatter, the less it matters. {told}."),
    ]


def _tried(row: Values | None) -> str:
    if row is None:
        return "–"
    if row["dev_wer"] is None:
        return "failed"
    lost = f" ({row['failed']} of {row['runs']} failed)" if row["failed"] else ""
    return percent(row["dev_wer"]) + lost


def _timed(values: Values, cost: Values) -> Values:
    """The curve with serial seconds on the fastest backend."""
    per_epoch = on_road(cost)["seconds_per_epoch"]
    return {"curve": [row | {"seconds": row["epoch"] * per_epoch} for row in values["curve"]]}


def _norm(row: Values) -> str:
    return _figure(row["grad_norm_median"][1]) if "grad_norm_median" in row else "–"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
