"""The measured numbers that docs/article.md quotes, computed from the results kept in docs/results.

`python -m research.article` prints them; a test checks that the page quotes these and no others.
"""

import json
from pathlib import Path
from typing import Any

from speechgru.compare.analysis import Analysis, read_analysis
from speechgru.scoring.significance import p_text, signed_points

RESULTS = Path(__file__).parents[1] / "docs" / "results"
CELLS = ("rnn", "gru", "lstm")
AN4 = ("an4-cells", "an4-tuned", "an4-full", "an4-time")
LIBRISPEECH = ("librispeech-cells", "librispeech-tuned")
WITH_LANGUAGE_MODEL = ("an4-tuned", "an4-full", "librispeech-tuned")


def quoted() -> dict[str, list[str]]:
    """What was measured → its numbers, as the page has them."""
    found: dict[str, list[str]] = {}
    for probe in ("gradient-reach", "gradient-reach-forget-bias"):
        for row in _table(f"{probe}/gradient-reach", "noise"):
            if row["models"] in (*CELLS, "lstm_ln"):
                factor = f"{row['× per frame']['median']:.2f}"
                found[f"{probe}: gradient per frame, untrained, {row['models']}"] = [factor]
    for probe in ("adding-100", "adding-200", "adding-100-forget-bias", "adding-200-forget-bias"):
        for row in _table(f"{probe}/memory", "learning rate 0.01"):
            if row["cell"] in CELLS:
                found[f"{probe}: solved, median steps, {row['cell']}"] = _solved(row)
    for row in _table("copy-30/memory", "copy problem"):
        if row["cell"] in ("gru", "lstm"):
            wrong = f"{row['last share of letters wrong']['median']:.2f}"
            found[f"copy-30: solved, letters wrong, {row['cell']}"] = [*_solved(row), wrong]
    for row in _table("length-an4/length", "WER % by context"):
        wers = [f"{row[context]['median']:.1f}" for context in ("0.6 s", "1.5 s", "unlimited")]
        found[f"dev WER % with 0.6, 1.5 and unlimited seconds of context, {row['cell']}"] = wers
    for name in (*AN4, "fsdd-speakers", *LIBRISPEECH):
        for what, numbers in _comparison(read_analysis(RESULTS / name)).items():
            found[f"{name}: {what}"] = numbers
    for name in WITH_LANGUAGE_MODEL:
        for pair in ("rnn-gru", "gru-lstm"):
            found |= _with_language_model(f"{name}/lm/{pair}.json")
    return found | _equal_hidden_size()


def _table(file: str, caption: str) -> list[dict[str, Any]]:
    """Rows of the probe's first table with these words in its caption."""
    tables = json.loads((RESULTS / "probes" / f"{file}.json").read_text())["tables"]
    return next(table["rows"] for table in tables if caption in table["caption"])


def _solved(row: dict[str, Any]) -> list[str]:
    steps = row["steps to solve"]
    return [f"{row['solved']} of {row['runs']}", *([f"{steps['median']:,.0f}"] if steps else [])]


def _comparison(analysis: Analysis) -> dict[str, list[str]]:
    """WERs, GRU against LSTM, steps to a common dev WER, times."""
    gru = next(system for system in analysis.systems if system.name == "gru")
    hours = sum(gru.train_hours.values()) / len(gru.train_hours)
    found = {"hours of training data": [f"{hours:.2g}"]}
    found["millions of parameters"] = [f"{gru.size.parameters / 1e6:.2g}"]
    for system in analysis.systems:
        if system.rates and system.name in (*CELLS, "ligru"):
            found[f"WER, {system.name}"] = [f"{100 * system.rates.wer_mean:.1f}"]
    (pair,) = [pair for pair in analysis.pairs if (pair.a, pair.b) == ("gru", "lstm")]
    low, high = (signed_points(end, 1) for end in pair.comparison.ci95)
    p = p_text(pair.comparison.p_adjusted).removeprefix("p ").removeprefix("= ")
    difference = signed_points(pair.comparison.difference, 1)
    found["gru − lstm, interval, p"] = [difference, f"{low} to {high}", p]
    if analysis.plan.spec.match == "time":
        return found
    for steps in analysis.convergence.pairs:
        if (steps.a, steps.b) == ("gru", "lstm"):
            found["steps, gru ÷ lstm"] = [f"{steps.ratio:.2f}"]
    for growth in analysis.by_length.growth if analysis.by_length else ():
        if (growth.a, growth.b) == ("gru", "lstm"):
            points = signed_points(growth.comparison.difference, 1)
            found["growth, gru − lstm"] = [points, p_text(growth.comparison.p_adjusted)]
    if not analysis.costs:
        return found
    ours, theirs = (analysis.costs[cell].timing() for cell in ("gru", "lstm"))
    found["time, gru ÷ lstm: training, transcription"] = [
        f"{ours.seconds_per_epoch / theirs.seconds_per_epoch:.2f}",
        f"{ours.rtf_1_thread / theirs.rtf_1_thread:.2f}",
    ]
    return found


def _with_language_model(file: str) -> dict[str, list[str]]:
    """WERs and their difference, of the transcripts that `speechgru significance` compared."""
    test = json.loads((RESULTS / file).read_text())["bootstrap"]
    low, high = (signed_points(end, 1) for end in test["ci95"])
    wers = [f"{100 * test[rate]:.1f}" for rate in ("rate_a", "rate_b")]
    return {
        f"{file}: WER": wers,
        f"{file}: difference, interval": [signed_points(test["difference"], 1), f"{low} to {high}"],
        f"{file}: p": [f"{test['p']:.3f}"],
    }


def _equal_hidden_size() -> dict[str, list[str]]:
    """Two bidirectional layers of 256 units, one utterance of 1000 frames, one core."""
    cases = json.loads((RESULTS / "bench" / "one-core.json").read_text())["cases"]
    keys = ("kind", "hidden", "batch", "frames")
    (case,) = [c for c in cases if [c[key] for key in keys] == ["forward", 256, 1, 1000]]
    times = case["medians_ms"]
    return {
        f"time at equal hidden size, gru ÷ lstm, {name}": [
            f"{times[f'{name} gru'] / times[f'{name} lstm']:.2f}"
        ]
        for name in ("ours", "torch.nn", "onnxruntime")
    }


if __name__ == "__main__":
    for what, numbers in quoted().items():
        print(f"{what}: {', '.join(numbers)}")
