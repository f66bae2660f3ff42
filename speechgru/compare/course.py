"""The report's sections on what a variant costs and how it trains."""

from typing import Any

from speechgru.compare.document import Figure, Section, Table, Text
from speechgru.compare.wording import percent
from speechgru.figures import Axis, Series, line_chart

Values = dict[str, Any]


def cost_section(results: Values) -> Section:
    section, timings = Section("Costs"), results["timings"]
    rows = []
    for name, cost in timings["cost"].items():
        for road, values in cost["roads"].items():
            note = f"{road} (fastest)" if road == cost["fastest"] else road
            target = _time_to_target(results, name, values["seconds_per_epoch"])
            rows.append([
                name, note, f"{values['seconds_per_epoch']:.2f}", target,
                f"{values['rtf_1_thread']:.4f}", f"{values['rtf_2_threads']:.4f}",
                _megabytes(cost["training_bytes"]) if road == cost["fastest"] else "–",
                f"{cost['bytes'] / 1e6:.2f}",
            ])  # fmt: skip
    if rows:
        head = ["variant", "road", "s an epoch", "s to the target dev WER", "RTF 1 thread",
                "RTF 2 threads", "training MB", "model MB"]  # fmt: skip
        devices = ", ".join({cost["device"] for cost in timings["cost"].values()})
        section.blocks += [
            Text(
                "Measured one after another on pinned threads, after all training; medians of 5. "
                "`cpu` and `fused` are kernels that not every cell has: compare cells on "
                "`unroll`, which runs the equations of each frame by frame. RTF is processing time "
                "÷ audio time. Memory is what training steps take beyond program and weights. "
                f"Device: {devices}."
            ),
            *_busy(timings["cost"]),
            Table("Costs on this machine", head, rows),
        ]
    precise = [
        [name, kind, f"{v['rtf_1_thread']:.4f}", f"{v['texts_changed']} of {v['texts']}"]
        for name, cost in timings["cost"].items()
        for kind, v in cost["precisions"].items()
    ]
    if precise:
        head = ["variant", "weights", "RTF 1 thread", "dev texts changed"]
        section.blocks.append(Table("Shorter weights", head, precise))
    return section


def _busy(costs: Values) -> list[Text]:
    """A warning when other work was under way while costs were measured."""
    load = max(cost["load"] for cost in costs.values())
    if load <= 1.2:
        return []
    return [
        Text(
            f"Others were at work meanwhile (load {load:.1f} a processor): these times are not to "
            "be relied on. Delete cost.json and run the command again on a quiet machine."
        )
    ]


def _megabytes(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e6:.0f}"


def _time_to_target(results: Values, name: str, per_epoch: float) -> str:
    """Serial seconds an epoch × the median epochs to the target."""
    values = results["trainability"]["systems"][name]
    updates, rows = values["median_updates_to_target"], values["curve"]
    if updates is None or not rows:
        return "not reached"
    return f"{per_epoch * updates / rows[0]['updates']:.1f}"


def training_section(results: Values) -> Section:
    section, training = Section("How they train"), results["trainability"]
    systems = {name: v for name, v in training["systems"].items() if v["curve"]}
    if not systems:
        return section
    target = training["target_dev_wer"]
    rows = [
        [
            name, values["reached"],
            "–" if (m := values["median_updates_to_target"]) is None else f"{m:,.0f}",
            str(values["diverged"]),
            _norm(values["curve"][0]), _norm(values["curve"][-1]),
        ]
        for name, values in systems.items()
    ]  # fmt: skip
    head = ["variant", f"runs that reached dev WER {percent(target)} %", "updates (median)",
            "diverged", "gradient norm, first epoch", "last epoch"]  # fmt: skip
    section.blocks.append(Table("Convergence; norms are medians before clipping", head, rows))
    section.blocks += [
        Text(
            f"{p['a']} needed {p['ratio']:.2f} × the updates of {p['b']} "
            f"({p['runs']} pairs of runs, p = {p['p_adjusted']:.3f} after Holm): "
            + (
                p["verdict"]
                if p["verdict"] not in ("faster", "slower")
                else f"{p['a']} is {p['verdict']}"
            )
            + "."
        )
        for p in training["pairs"]
    ]
    section.blocks += _curves(results, systems)
    section.blocks += _rates(results["learning_rates"])
    return section


def _curves(results: Values, systems: Values) -> list[Figure]:
    costs = results["timings"]["cost"]
    figures = [
        _curve(systems, "dev_wer", "updates", "dev WER, %", "updates", 100.0, False),
        _curve(
            systems, "loss", "audio_hours", "training loss a token", "hours of audio", 1.0, True
        ),
        _curve(systems, "grad_norm_median", "updates", "gradient norm", "updates", 1.0, True),
    ]
    if set(costs) >= set(systems):
        timed = {name: _timed(values, costs[name]) for name, values in systems.items()}
        x_label = "seconds of one thread"
        figures.insert(1, _curve(timed, "dev_wer", "seconds", "dev WER, %", x_label, 100.0, False))
    return [figure for figure in figures if figure is not None]


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
    title = f"{label[0].upper()}{label[1:]} against {x_label}"
    words = "; ".join(ends)
    lowest = None if log else 0.0
    svg = line_chart(title, words, series, Axis(x_label), Axis(label, log, lowest))
    return Figure(svg, f"{title}: median over runs, band from lowest to highest. {words}.")


def _rates(table: Values) -> list[Table]:
    if not table:
        return []
    rates = sorted({row["learning_rate"] for rows in table.values() for row in rows})
    lines = []
    for name, rows in table.items():
        found = {row["learning_rate"]: row["dev_wer"] for row in rows}
        cells = ["failed" if found.get(r) is None else percent(found[r]) for r in rates]
        lines.append([name, *cells])
    head = ["variant", *(f"{rate:g}" for rate in rates)]
    return [Table("Dev WER % at each learning rate tried", head, lines)]


def _timed(values: Values, cost: Values) -> Values:
    """The curve with serial seconds on the fastest road."""
    per_epoch = cost["roads"][cost["fastest"]]["seconds_per_epoch"]
    return {"curve": [row | {"seconds": row["epoch"] * per_epoch} for row in values["curve"]]}


def _norm(row: Values) -> str:
    return f"{row['grad_norm_median'][1]:.3g}" if "grad_norm_median" in row else "–"
