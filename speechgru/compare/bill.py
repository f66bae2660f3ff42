"""The report's section on what variants cost."""

from typing import Any

from speechgru.compare.cost import doubtful, on_road
from speechgru.compare.document import Block, Section, Table, Text
from speechgru.compare.wording import percent

Values = dict[str, Any]
KERNELS = {
    "cpu": "compiled (cpu)",
    "fused": "library (fused)",
    "unroll": "generic (unroll)",
}


def cost_section(results: Values) -> Section:
    section, measured = Section("Costs"), results["timings"]["cost"]
    names = [row["name"] for row in results["systems"]]
    costs = {name: measured[name] for name in names if name in measured}
    if not costs:
        return section
    target = results["trainability"]["target_dev_wer"]
    section.blocks += [
        Text(
            "Measured one variant after another on 1 or 2 threads, after all training; medians of "
            "5. Compare cells on the `generic` kernel, which runs each cell's equations frame by "
            "frame: not every cell has a `compiled` or `library` one. RTF is processing time ÷ "
            "audio time; memory is what training steps take beyond program and weights."
            + ("" if target is None else f" The target is dev WER {percent(target)} %: seconds an "
               "epoch × epochs in which half of the runs reached it.")
            + f" Device: {', '.join(sorted({cost['device'] for cost in costs.values()}))}. "
            "Parameters and work stand in the terms."
        ),
        *_doubt(costs),
        _table(results, costs),
        *_shorter(costs),
    ]  # fmt: skip
    return section


def _table(results: Values, costs: Values) -> Table:
    rows = []
    for name, cost in costs.items():
        for backend, values in cost["roads"].items():
            fastest = backend == cost["fastest"]
            rows.append([
                name, KERNELS[backend] + (", fastest" if fastest else ""),
                f"{values['seconds_per_epoch']:.2f}",
                _time_to_target(results, name, values["seconds_per_epoch"]),
                f"{values['rtf_1_thread']:.4f}", f"{values['rtf_2_threads']:.4f}",
                _megabytes(cost["training_bytes"]) if fastest else "–",
                f"{cost['bytes'] / 1e6:.2f}",
            ])  # fmt: skip
    head = ["variant", "kernel", "training, s an epoch", "s to the target", "RTF, 1 thread",
            "RTF, 2 threads", "training, MB", "model file, MB"]  # fmt: skip
    return Table("Costs on this machine", head, rows)


def _shorter(costs: Values) -> list[Block]:
    """What weights of fewer bits change, in time and in text."""
    rows = [
        [
            name, kind, f"{v['rtf_1_thread']:.4f}",
            f"{v['rtf_1_thread'] / on_road(cost)['rtf_1_thread']:.2f}",
            f"{v['texts_changed']} of {v['texts']}",
            f"{percent(v['wer_float32'])} → {percent(v['wer'])}" if "wer" in v else "–",
        ]
        for name, cost in costs.items()
        for kind, v in cost["precisions"].items()
    ]  # fmt: skip
    head = ["variant", "weights", "RTF, 1 thread", "× float32", "dev texts changed",
            "their dev WER %"]  # fmt: skip
    return [Table("Shorter recurrent weights, against float32", head, rows)] if rows else []


def _doubt(costs: Values) -> list[Block]:
    """A warning where these times do not tell who is faster."""
    doubt = doubtful(costs.values())
    if not doubt:
        return []
    return [
        Text(
            f"These times are not to be relied on: {doubt}. Delete cost.json and run the command "
            "again on one quiet machine."
        )
    ]


def _megabytes(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e6:.0f}"


def _time_to_target(results: Values, name: str, per_epoch: float) -> str:
    """Serial seconds an epoch × epochs in which half of the runs reached the target."""
    values = results["trainability"]["systems"][name]
    updates, rows = values["median_updates_to_target"], values["curve"]
    if updates is None or not rows:
        return "not reached"
    epoch = min(rows, key=lambda row: abs(row["updates"] - updates))["epoch"]
    return f"{per_epoch * epoch:.1f}"
