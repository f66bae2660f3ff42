"""The report of a comparison: results.json, report.md and report.html.

`report.md.j2` contains the text. The HTML page is the same document with figures, in the frame of
`report.html.j2`; it needs no other file.
"""

import base64
import io
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt

from speechgru.compare.analysis import Analysis, ByLength, PairResult, SystemResult, read_analysis
from speechgru.compare.convergence import Trial, VariantConvergence
from speechgru.compare.cost import NOISE, VariantCost, doubts
from speechgru.compare.folds import MANY
from speechgru.compare.matching import TOLERANCE
from speechgru.files import atomic_write, write_json
from speechgru.scoring.interval import LEVEL
from speechgru.scoring.significance import Comparison, p_text, signed_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HIGH_WER = 0.5  # no recogniser above it is of use
MATCHED = {
    "params": "parameters",
    "macs": "multiply-accumulates",
    "time": "transcription time",
    "train-time": "training time",
}
BACKENDS = {"cpu": "compiled (cpu)", "fused": "library (fused)", "unroll": "generic (unroll)"}
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "speechgru", "font.size": 10}


@dataclass(frozen=True)
class Caution:
    """What a reader must know before trusting the ranking."""

    kind: str
    text: str


def write_report(folder: str | Path) -> Analysis:
    """results.json, report.md and report.html from plan.json, results/ and, if there, cost.json.

    Raises SpeechgruError: no comparison in the folder, or a damaged file.
    """
    folder = Path(folder)
    analysis = read_analysis(folder)
    write_json(folder / "results.json", analysis.to_json())
    document = to_markdown(analysis)
    without = re.sub(r"!\[(.*?)\]\(\w+\)", r"*Figure in report.html: \1.*", document)
    atomic_write(folder / "report.md", without)
    atomic_write(folder / "report.html", to_html(document, figures(analysis)))
    return analysis


def to_markdown(analysis: Analysis) -> str:
    """The document; figures are `![caption](name)`."""
    spec, convergence = analysis.plan.spec, analysis.convergence
    data = [*spec.recipe.data.train]
    if spec.by_speaker:
        data = list(dict.fromkeys([*data, spec.recipe.data.dev, *filter(None, [spec.test])]))
    smallest_p = min((2.0 ** (1 - pair.seeds) for pair in convergence.pairs), default=1.0)
    text = (
        _environment()
        .get_template("report.md.j2")
        .render(
            analysis=analysis,
            backends=BACKENDS,
            best=(analysis.ranking() or [""])[0],
            command=command(analysis),
            data=data,
            doubts=doubts(analysis.costs.values()),
            headline=headline(analysis),
            hours=_mean(value for s in analysis.systems for value in s.train_hours.values()),
            matched=MATCHED.get(spec.match),
            noisy=[
                _name(pair)
                for pair in analysis.pairs
                if pair.verdict == "no difference shown" and pair.comparison.from_seeds > 0.5
            ],
            precision=spec.recipe.training.model_dump().get("precision", "auto"),
            quicker=_quicker(analysis),
            same_speakers=0 < len(analysis.plan.folds) <= MANY,
            shown=shown_pairs(analysis),
            testable=len(convergence.pairs) * smallest_p < LEVEL,
            tolerance=TOLERANCE.get(spec.match),
            utterances=_mean(n for s in analysis.systems for n in s.train_utterances.values() if n),
            warnings=warnings(analysis),
        )
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def to_html(document: str, drawings: dict[str, str]) -> str:
    """One page; `drawings` are SVG images by the names that the document gives them."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(document)
    body = body.replace("<table>", '<div class="table" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>")
    for name, svg in drawings.items():
        url = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
        body = body.replace(f'src="{name}"', f'src="{url}"')
    body = re.sub(
        r'<p>(<img [^>]*alt="([^"]*)"[^>]*>)</p>',
        r"<figure>\1<figcaption>\2.</figcaption></figure>",
        body,
    )
    title = document.partition("\n")[0].lstrip("# ").replace("`", "")
    template = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=False)
    return template.get_template("report.html.j2").render(title=escape(title), body=body)


# Headline and warnings ---------------------------------------------------------------------------


def headline(analysis: Analysis) -> str:
    """Which variant has the lowest WER, and than which others it is significantly better."""
    ranking = analysis.ranking()
    if ranking is None:
        return "No two variants can be compared."
    best, pairs = ranking
    names: dict[str, list[str]] = {}
    for other, pair in pairs.items():
        verdict = "better" if pair.verdict == "worse" else pair.verdict
        names.setdefault(verdict, []).append(other)
    text = {
        "better": "significantly better than",
        "equivalent": "equivalent to",
        "no difference shown": "not significantly better than",
    }
    parts = [f"{text[key]} {_list(names[key])}" for key in text if key in names]
    wer = next(s.rates.wer_mean for s in analysis.systems if s.rates and s.name == best)
    return f"{best} has the lowest WER, {_percent(wer)} %: {', '.join(parts)}."


def shown_pairs(analysis: Analysis) -> list[PairResult]:
    """Those that the headline is about, then other significant ones."""
    best, closest = analysis.ranking() or ("", {})
    others = [pair for pair in analysis.pairs if best not in (pair.a, pair.b)]
    return [*closest.values(), *(p for p in others if p.verdict in ("better", "worse"))]


def pair_line(pair: PairResult, adjusted: bool) -> str:
    """One pair in one line; `adjusted`: p is over several pairs."""
    comparison = pair.comparison
    return (
        f"{_name(pair)}: {signed_points(comparison.difference)} points of WER (95 % interval "
        f"{_interval(comparison)}), {'Holm-adjusted ' if adjusted else ''}"
        f"{p_text(comparison.p_adjusted)}"
    )


def warnings(analysis: Analysis) -> list[Caution]:
    """What the headline does not say by itself, most important first."""
    spec, systems = analysis.plan.spec, analysis.systems
    rates = [s.rates for s in systems if s.rates]
    found: dict[str, str] = {}
    if analysis.pending:
        found["unfinished"] = (
            f"{len(analysis.pending)} of {len(analysis.plan.runs())} runs are still to come; "
            "the same command continues."
        )
    lost = [
        f"{s.failed_runs + s.collapsed_runs} of {s.runs + s.failed_runs} runs of {s.name}"
        for s in systems
        if s.failed_runs + s.collapsed_runs
    ]
    if lost:
        found["failures"] = f"{_list(lost)} failed or learned nothing; WERs are of complete seeds."
    variants = analysis.convergence.variants
    if improving := [f"{n} ({_last_wers(v)} %)" for n, v in variants.items() if v.improving]:
        found["improving"] = (
            f"dev WER was still falling at the last evaluation of {_list(improving)}: "
            "more epochs may change the order."
        )
    if rates and min(r.wer_mean for r in rates) > HIGH_WER:
        found["high-wer"] = f"every WER is above {100 * HIGH_WER:.0f} %: no variant is usable yet."
    if not (spec.test or spec.by_speaker):
        found["dev"] = "WER is of dev, which also selected the checkpoints: it is too low."
    if any(1 in pair.comparison.seeds for pair in analysis.pairs):
        found["one-seed"] = "with one training per variant, another seed may change the order."
    if any(r.ci_unit == "utterance" for r in rates):
        found["few-speakers"] = (
            f"the test set has {rates[0].speakers or 'no known'} speakers, too few to generalise "
            "to others: intervals are for other utterances of the same speakers."
        )
    return [Caution(*item) for item in (found | _unequal_terms(analysis)).items()]


def _unequal_terms(analysis: Analysis) -> dict[str, str]:
    found, trained = {}, [s for s in analysis.systems if s.runs]
    hours = {(run, h) for s in trained for run, h in s.train_hours.items()}
    counts = {(run, n) for s in trained for run, n in s.train_utterances.items() if n is not None}
    if any(len(values) > len(dict(values)) for values in (hours, counts)):
        means = [f"{s.name} {_mean(s.train_hours.values()):.4g} h" for s in trained]
        found["data"] = f"variants were trained on different utterances: {_list(means)}."
    if len(analysis.made_by) > 1:
        made = [f"{by} ({runs} runs)" for by, runs in analysis.made_by.items()]
        found["devices"] = f"runs were made by different versions or devices: {_list(made)}."
    if outside := [s.name for s in analysis.systems if not s.size.within]:
        found["matching"] = (
            f"no hidden size of {_list(outside)} meets the target; the nearest one is used."
        )
    return found


def _quicker(analysis: Analysis) -> list[str]:
    """Variants that are not significantly worse than the best, and clearly faster."""
    ranking, costs = analysis.ranking(), analysis.costs
    if ranking is None or ranking[0] not in costs or doubts(costs.values()):
        return []
    own = costs[ranking[0]].timing().rtf_1_thread
    ratios = {
        name: costs[name].timing().rtf_1_thread / own
        for name, pair in ranking[1].items()
        if name in costs and pair.verdict not in ("better", "worse")
    }
    return [f"{name} (× {ratio:.2f})" for name, ratio in ratios.items() if ratio < 1 - NOISE]


def command(analysis: Analysis) -> str:
    """The command line that repeats the comparison."""
    spec = analysis.plan.spec
    words = ["--vary", f"{spec.key}={','.join(v.value for v in spec.variants)}"]
    words += ["--seeds", str(spec.seeds)] + (["--test", spec.test] if spec.test else [])
    words += ["--folds", "speaker"] if spec.by_speaker else []
    words += ["--match", spec.match] if spec.match != "hidden-size" else []
    if spec.learning_rates:
        words += ["--tune", f"lr={','.join(f'{rate:g}' for rate in spec.learning_rates)}"]
    return shlex.join(["speechgru", "compare", "recipe.yaml", *words, "--out", "FOLDER"])


# Cells of tables ---------------------------------------------------------------------------------


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "by_seed": _by_seed,
        "code": lambda text: f"`{text}`",
        "count": lambda value: "–" if value is None else f"{value:,.0f}",
        "detectable": _detectable,
        "error_cells": _error_cells,
        "interval": _interval,
        "line": pair_line,
        "last_wers": _last_wers,
        "megabytes": lambda size, digits=0: "–" if size is None else f"{size / 1e6:.{digits}f}",
        "literal": lambda text: re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", text),
        "name": _name,
        "number": lambda value: f"{value:g}",
        "p": lambda p: p_text(p).removeprefix("p = ").removeprefix("p "),
        "percent": _percent,
        "points": signed_points,
        "row": lambda cells: "| " + " | ".join(map(str, cells)) + " |",
        "rule": lambda cells: "|" + "---|" * len(cells),
        "seconds_to_target": _seconds_to_target,
        "seeds": lambda count: [f"seed {seed}" for seed in range(1, count + 1)],
        "thirds": _thirds,
        "tried": _tried,
        "verdict": _verdict,
    }
    return environment


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.2f}"


def _interval(comparison: Comparison) -> str:
    return f"{signed_points(comparison.ci95[0])} to {signed_points(comparison.ci95[1])}"


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else 0.0


def _list(items: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def _name(pair: PairResult) -> str:
    return f"{pair.a} − {pair.b}"


def _verdict(pair: PairResult) -> str:
    if pair.verdict == "equivalent":
        return f"equivalent within {100 * pair.comparison.margin:.2f}"
    return f"{pair.a} is {pair.verdict}" if pair.verdict in ("better", "worse") else pair.verdict


def _detectable(comparison: Comparison) -> str:
    """“none” where not even a system without errors would be told apart."""
    least = comparison.minimum_detectable
    return "none" if least >= max(comparison.rate_a, comparison.rate_b) else f"{100 * least:.2f}"


def _error_cells(system: SystemResult) -> list[str]:
    if not (rates := system.rates):
        return ["–"] * 4
    low, high = map(_percent, rates.wer_ci95)
    spread, cer = _percent(rates.wer_std), _percent(rates.cer_mean)
    return [_percent(rates.wer_mean), f"{low} to {high}", spread, cer]


def _by_seed(system: SystemResult, seeds: int) -> list[str]:
    rates = dict(zip(system.rates.seeds, system.rates.wer, strict=True)) if system.rates else {}
    return [_percent(rates.get(seed)) for seed in range(1, seeds + 1)]


def _thirds(length: ByLength) -> list[str]:
    parts = zip(length.seconds, length.words, strict=True)
    return [f"{low:.1f} to {high:.1f} s ({words:,} words)" for (low, high), words in parts]


def _last_wers(variant: VariantConvergence) -> str:
    wers = [point.dev_wer.median for point in variant.curve if point.dev_wer]
    return " → ".join(f"{100 * wer:.1f}" for wer in wers[-3:])


def _seconds_to_target(variant: VariantConvergence, cost: VariantCost | None) -> str:
    """The epoch in which half of the runs reached the target × its measured time."""
    steps = variant.median_steps_to_target
    if steps is None or cost is None:
        return "–"
    epoch = min(variant.curve, key=lambda point: abs(point.steps - steps)).epoch
    return f"{epoch * cost.timing().seconds_per_epoch:.0f}"


def _tried(trials: Sequence[Trial], rates: Sequence[float]) -> list[str]:
    by_rate = {trial.learning_rate: trial for trial in trials}
    cells = []
    for rate in rates:
        trial = by_rate.get(rate)
        text = "–" if trial is None else "failed"
        if trial and trial.dev_wer:
            text = _percent(trial.dev_wer.median)
            text += f" ({trial.failed} of {trial.runs} failed)" if trial.failed else ""
        cells.append(text)
    return cells


# Figures -----------------------------------------------------------------------------------------


def figures(analysis: Analysis) -> dict[str, str]:
    """Name → SVG, the same text for the same numbers."""
    import matplotlib

    texts = {}
    with matplotlib.rc_context(STYLE):
        for name, draw, drawn in (
            ("differences", _draw_differences, analysis.pairs),
            ("curves", _draw_curves, any(v.curve for v in analysis.convergence.variants.values())),
        ):
            if drawn:
                text = io.StringIO()
                draw(analysis).savefig(text, format="svg", metadata={"Date": None})
                texts[name] = text.getvalue()
    return texts


def _draw_differences(analysis: Analysis) -> "Figure":
    from matplotlib.figure import Figure

    pairs = analysis.pairs
    figure = Figure(figsize=(5, 0.9 + 0.28 * len(pairs)), layout="constrained")
    axes = figure.subplots()
    for row, pair in enumerate(pairs):
        ends = [100 * end for end in pair.comparison.ci95]
        colour = "C7" if pair.verdict == "no difference shown" else "C0"
        axes.plot(ends, [row, row], color=colour)
        axes.plot(100 * pair.comparison.difference, row, "o", color=colour)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(pairs)), [_name(pair) for pair in pairs])
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("points of WER")
    return figure


def _draw_curves(analysis: Analysis) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    wer, loss = figure.subplots(2, 1, sharex=True)
    for name, variant in analysis.convergence.variants.items():
        for axes, key, scale in ((wer, "dev_wer", 100), (loss, "loss", 1)):
            points = [(point.steps, getattr(point, key)) for point in variant.curve]
            rows = [(x, scale * b.low, scale * b.median, scale * b.high) for x, b in points if b]
            if rows:
                steps, low, middle, high = zip(*rows, strict=True)
                (line,) = axes.plot(steps, middle, label=name)
                axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.2)
    wer.set(ylabel="dev WER, %", ylim=(0, None))
    loss.set(ylabel="training loss per token", yscale="log", xlabel="optimiser steps")
    wer.legend()
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_formatter("{x:g}")
    for axes in (wer, loss):
        axes.grid(alpha=0.3)
    return figure
