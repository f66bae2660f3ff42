"""The report of a comparison: results.json, report.md and report.html.

`report.md.j2` contains the text. The HTML page is the same document with figures, in the frame of
`report.html.j2`; it needs no other file.
"""

import base64
import re
import shlex
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt

from speechgru.charts import to_svg
from speechgru.compare.analysis import Analysis, PairResult, read_analysis
from speechgru.compare.convergence import Convergence, VariantConvergence
from speechgru.compare.cost import doubts
from speechgru.compare.folds import MANY
from speechgru.compare.matching import TOLERANCE
from speechgru.errors import plural
from speechgru.files import atomic_write, write_json
from speechgru.scoring.interval import LEVEL, MIN_SPEAKERS
from speechgru.scoring.significance import Comparison, p_text, signed_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIGH_WER = 0.5  # no recogniser above it is of use


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
    spec, pairs = analysis.plan.spec, analysis.convergence.pairs
    data = [*spec.recipe.data.train]
    if spec.by_speaker:
        data = list(dict.fromkeys([*data, spec.recipe.data.dev, *filter(None, [spec.test])]))
    text = _templates().get_template("report.md.j2").render(
        analysis=analysis,
        best=(analysis.ranking() or [""])[0],
        command=command(analysis),
        data=data,
        doubts=doubts(analysis.costs.values()),
        headline=headline(analysis),
        hours=_mean(value for s in analysis.systems for value in s.train_hours.values()),
        noisy=[
            _name(pair)
            for pair in analysis.pairs
            if pair.verdict == "no difference shown" and pair.comparison.from_seeds > 0.5
        ],
        same_speakers=0 < len(analysis.plan.folds) <= MANY,
        shown=shown_pairs(analysis),
        testable=any(len(pairs) * 2.0 ** (1 - pair.seeds) < LEVEL for pair in pairs),
        tolerance=TOLERANCE.get(spec.match),
        utterances=_mean(n for s in analysis.systems for n in s.train_utterances.values() if n),
        warnings=warnings(analysis),
    )  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def to_html(document: str, drawings: dict[str, str]) -> str:
    """One page; `drawings` are SVG images by the names that the document gives them."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(document)
    body = body.replace("<table>", '<div class="table" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>")
    for name, svg in drawings.items():
        url = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
        body = body.replace(f'src="{name}"', f'src="{url}"')
    figure = r"<figure>\1<figcaption>\2.</figcaption></figure>"
    body = re.sub(r'<p>(<img [^>]*alt="([^"]*)"[^>]*>)</p>', figure, body)
    title = escape(document.partition("\n")[0].lstrip("# ").replace("`", ""))
    return _templates().get_template("report.html.j2").render(title=title, body=body)


def headline(analysis: Analysis) -> str:
    """Which variant has the lowest WER, and than which others it is significantly better."""
    best, pairs = analysis.ranking() or ("", {})
    if not pairs:
        return "No two variants can be compared."
    rates = {s.name: s.rates.wer_mean for s in analysis.systems if s.rates}
    if rates[best] >= 1:
        return (
            "No variant makes fewer errors than an empty transcript would: the lowest WER is "
            f"{_percent(rates[best])} %."
        )
    names: dict[str, list[str]] = {}
    for other, pair in pairs.items():
        names.setdefault(pair.verdict.replace("worse", "better"), []).append(other)
    text = {
        "better": "significantly better than",
        "equivalent": "equivalent to",
        "no difference shown": "not significantly better than",
    }
    parts = [f"{text[key]} {_list(names[key])}" for key in text if key in names]
    equal = [other for other in pairs if rates[other] == rates[best]]
    lowest = f"{best}, like {_list(equal)}," if equal else best
    return f"{lowest} has the lowest WER, {_percent(rates[best])} %: {', '.join(parts)}."


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


def warnings(analysis: Analysis) -> dict[str, str]:
    """Kind → what must be known before the headline is trusted, most important first."""
    spec, systems = analysis.plan.spec, analysis.systems
    rates = [s.rates for s in systems if s.rates]
    found: dict[str, str] = {}
    if analysis.pending:
        found["unfinished"] = (
            f"{len(analysis.pending)} of {plural(len(analysis.plan.runs()), 'run')} "
            f"{'is' if len(analysis.pending) == 1 else 'are'} still to come; "
            "the same command continues."
        )
    lost = [
        f"{s.failed_runs + s.collapsed_runs} of {plural(s.runs + s.failed_runs, 'run')} of {s.name}"
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
    if not spec.by_speaker and spec.test in (None, spec.recipe.data.dev):
        found["dev"] = "WER is of dev, which also selected the checkpoints: it is too low."
    if any(1 in pair.comparison.seeds for pair in analysis.pairs):
        found["one-seed"] = "with one training per variant, another seed may change the order."
    if any(r.ci_unit == "utterance" for r in rates):
        known = rates[0].speakers
        reason = "the speakers of the test set are unknown"
        if known:
            count = plural(known, "speaker")
            reason = f"the test set has {count}, too few to generalise to others"
        if known >= MIN_SPEAKERS:
            reason = "some utterances of the test set have no known speaker"
        found["few-speakers"] = (
            f"{reason}: intervals are for other utterances of the same speakers."
        )
    return found | _unequal_terms(analysis)


def _unequal_terms(analysis: Analysis) -> dict[str, str]:
    found, trained = {}, [s for s in analysis.systems if s.runs]
    hours = {(run, h) for s in trained for run, h in s.train_hours.items()}
    counts = {(run, n) for s in trained for run, n in s.train_utterances.items() if n is not None}
    if any(len(values) > len(dict(values)) for values in (hours, counts)):
        means = [f"{s.name} {_mean(s.train_hours.values()):.4g} h" for s in trained]
        found["data"] = f"variants were trained on different utterances: {_list(means)}."
    if len(analysis.made_by) > 1:
        made = [f"{by} ({plural(runs, 'run')})" for by, runs in analysis.made_by.items()]
        found["devices"] = f"runs were made by different versions or devices: {_list(made)}."
    if outside := [s.name for s in analysis.systems if not s.size.within]:
        found["matching"] = (
            f"no hidden size of {_list(outside)} meets the target; the nearest one is used."
        )
    return found


def command(analysis: Analysis) -> str:
    """The command line that repeats the comparison."""
    spec = analysis.plan.spec
    words = ["--vary", f"{spec.key}={','.join(spec.variants.values())}"]
    words += ["--seeds", str(spec.seeds)] + (["--test", spec.test] if spec.test else [])
    words += ["--folds", "speaker"] if spec.by_speaker else []
    words += ["--match", spec.match] if spec.match != "hidden-size" else []
    if spec.learning_rates:
        words += ["--tune", f"lr={','.join(f'{rate:g}' for rate in spec.learning_rates)}"]
    return shlex.join(["speechgru", "compare", "recipe.yaml", *words, "--out", "FOLDER"])


def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False,
    )  # fmt: skip
    environment.filters |= {
        "code": lambda text: f"`{text}`",
        "count": lambda value: "–" if value is None else f"{value:,.0f}",
        "detectable": _detectable,
        "interval": _interval,
        "line": pair_line,
        "last_wers": _last_wers,
        "megabytes": lambda size, digits=0: "–" if size is None else f"{size / 1e6:.{digits}f}",
        "literal": lambda text: re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", text),
        "name": _name,
        "number": lambda value: f"{value:g}",
        "plural": lambda number, noun: plural(round(number), noun),
        "p": lambda p: p_text(p).removeprefix("p = ").removeprefix("p "),
        "percent": _percent,
        "points": signed_points,
        "row": lambda cells: "| " + " | ".join(map(str, cells)) + " |",
        "rule": lambda cells: "|" + "---|" * len(cells),
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


def _last_wers(variant: VariantConvergence) -> str:
    wers = [point.dev_wer.median for point in variant.curve if point.dev_wer]
    return " → ".join(f"{100 * wer:.1f}" for wer in wers[-3:])


def figures(analysis: Analysis) -> dict[str, str]:
    """Name → SVG, the same text for the same numbers."""
    from matplotlib.figure import Figure

    figures = {}
    if analysis.pairs:
        figures["differences"] = Figure((5, 0.9 + 0.28 * len(analysis.pairs)))
        _draw_differences(figures["differences"].subplots(), analysis.pairs)
    if any(variant.curve for variant in analysis.convergence.variants.values()):
        figures["curves"] = Figure((5, 5))
        wer, loss = figures["curves"].subplots(2, 1, sharex=True)
        _draw_curves(wer, loss, analysis.convergence)
    return {name: to_svg(figure) for name, figure in figures.items()}


def _draw_differences(axes: "Axes", pairs: Sequence[PairResult]) -> None:
    for row, pair in enumerate(pairs):
        colour = "C7" if pair.verdict == "no difference shown" else "C0"
        axes.plot([100 * end for end in pair.comparison.ci95], [row, row], color=colour)
        axes.plot(100 * pair.comparison.difference, row, "o", color=colour)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(pairs)), [_name(pair) for pair in pairs])
    axes.set(ylim=(len(pairs) - 0.5, -0.5), xlabel="points of WER")
    axes.grid(axis="x", alpha=0.3)


def _draw_curves(wer: "Axes", loss: "Axes", convergence: Convergence) -> None:
    for name, variant in convergence.variants.items():
        for axes, key, scale in ((wer, "dev_wer", 100), (loss, "loss", 1)):
            points = [(point.steps, getattr(point, key)) for point in variant.curve]
            rows = [(x, scale * b.low, scale * b.median, scale * b.high) for x, b in points if b]
            if rows:
                steps, low, middle, high = zip(*rows, strict=True)
                (line,) = axes.plot(steps, middle, label=name)
                axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.2)
    wer.set(ylabel="dev WER, %", ylim=(0, None))
    wer.legend()
    loss.set(ylabel="training loss per token", yscale="log", xlabel="optimiser steps")
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_formatter("{x:g}")
    for axes in (wer, loss):
        axes.grid(alpha=0.3)
