"""The measured numbers that docs/article.md quotes, computed from the results kept in docs/results.

`python -m research.article` prints them; a test checks that the page quotes these and no others.
"""

import json
from pathlib import Path
from typing import Any

from speechgru.compare.analysis import Analysis, read_analysis
from speechgru.scoring.significance import p_text, signed_points

RESULTS = Path(__file__).parents[1] / "docs" / "results"
TASKS = (
    ("adding-100", "adding problem, 100 frames, learning rate 0.01"),
    ("adding-200", "adding problem, 200 frames, learning rate 0.01"),
    ("copy-30", "copy problem, 30 frames"),
)


def quoted() -> dict[str, list[str]]:
    """What is measured → its numbers, as the page has them."""
    found: dict[str, list[str]] = {}
    for name in ("gradient-reach/gradient-reach", "gradient-reach-fsdd/gradient-reach"):
        for row in _table(name, "noise"):
            if row["models"] in ("rnn", "gru", "lstm", "lstm_ln", "rnn, trained"):
                factor = row["× per frame"]
                found[f"{name}: gradient per frame, {row['models']}"] = [f"{factor['median']:.2f}"]
    for folder, start in TASKS:
        for name in (f"{folder}/memory", f"{folder}-forget-bias/memory"):
            for row in _table(name, start):
                if row["cell"] in ("rnn", "gru", "lstm"):
                    found[f"{name}: {row['cell']}"] = _task(row)
    for row in _table("length-an4/length", "WER % by context"):
        wers = [f"{row[context]['median']:.1f}" for context in ("0.3 s", "0.6 s", "1.5 s")]
        found[f"WER % with 0.3, 0.6 and 1.5 s of context: {row['cell']}"] = wers
    for name in ("an4-cells", "an4-time", "fsdd-speakers", "librispeech-cells"):
        analysis = read_analysis(RESULTS / name)
        found |= {f"{name}: {what}": numbers for what, numbers in _comparison(analysis).items()}
    found |= _equal_hidden_size()
    return found


def _table(file: str, start: str) -> list[dict[str, Any]]:
    """Rows of the probe's table whose caption starts or ends so."""
    tables = json.loads((RESULTS / "probes" / f"{file}.json").read_text())["tables"]
    return next(
        t["rows"] for t in tables if t["caption"].startswith(start) or t["caption"].endswith(start)
    )


def _task(row: dict[str, Any]) -> list[str]:
    """Runs that solved the problem, and the median of their steps, or the last error."""
    solved = f"{row['solved']} of {row['runs']}"
    if steps := row["steps to solve"]:
        return [solved, f"{steps['median']:,.0f}"]
    error = next((v for k, v in row.items() if k.startswith("last share")), None)
    return [solved] + ([f"{error['median']:.2f}"] if error else [])


def _comparison(analysis: Analysis) -> dict[str, list[str]]:
    """WERs, GRU against LSTM (and RNN), steps to a common dev WER, costs."""
    found = {
        f"WER, {system.name}": [f"{100 * system.rates.wer_mean:.1f}"]
        for system in analysis.systems
        if system.rates and system.name in ("rnn", "gru", "lstm", "ligru")
    }
    for pair in analysis.pairs:
        if {pair.a, pair.b} in ({"gru", "lstm"}, {"rnn", "gru"}):
            low, high = (signed_points(end, 1) for end in pair.comparison.ci95)
            difference = signed_points(pair.comparison.difference, 1)
            found[f"{pair.a} − {pair.b}"] = [
                difference, f"{low} to {high}", p_text(pair.comparison.p_adjusted)
            ]  # fmt: skip
    for speed in analysis.convergence.pairs:
        if (speed.a, speed.b) == ("gru", "lstm"):
            found["steps, gru ÷ lstm"] = [f"{speed.ratio:.2f}"]
    if analysis.by_length:
        for pair in analysis.by_length.growth:
            if (pair.a, pair.b) == ("gru", "lstm"):
                growth = signed_points(pair.comparison.difference, 1)
                found["growth, gru − lstm"] = [growth, p_text(pair.comparison.p_adjusted)]
    gru, lstm = (analysis.costs[cell] for cell in ("gru", "lstm"))
    for backend in ("fastest", "unroll"):
        ours, theirs = gru.timing(backend), lstm.timing(backend)
        ratios = (ours.seconds_per_epoch / theirs.seconds_per_epoch,
                  ours.rtf_1_thread / theirs.rtf_1_thread)  # fmt: skip
        found[f"time, gru ÷ lstm, {backend} (training, transcription)"] = [
            f"{ratio:.2f}" for ratio in ratios
        ]
    return found


def _equal_hidden_size() -> dict[str, list[str]]:
    """Bidirectional layers of 256 units, one utterance of 1000 frames, one core."""
    cases = json.loads((RESULTS / "bench" / "one-core.json").read_text())["cases"]
    (case,) = [
        c for c in cases if (c["kind"], c["hidden"], c["batch"]) == ("forward", 256, 1)
    ]  # fmt: skip
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
