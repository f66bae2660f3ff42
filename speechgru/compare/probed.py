"""What the probes say of the article's claims: never about the comparison's own data.

Spreads are lowest to highest over models; where they touch, nothing is said.
"""

import math
from typing import Any

from speechgru.compare.claims import AGAINST, CURED, LONG, OPEN, PARTLY, SUPPORTED, VANISHING
from speechgru.compare.wording import listed
from speechgru.significance import LEVEL

Values = dict[str, Any]
STEADY = 0.99  # a gradient that keeps this share a frame still has a third of itself after 100


def verdicts(claim: str, findings: list[Values]) -> list[tuple[str, str, str]]:
    """(probe, verdict, words) of every finding that bears on the claim."""
    judges = {
        VANISHING: ("gradient-reach", _vanishing),
        CURED: ("gradient-reach", _cured),
        LONG: ("memory", _long),
    }
    if claim not in judges:
        return []
    probe, judge = judges[claim]
    found = [judge(each["numbers"]) for each in findings if each["probe"] == probe]
    return [(probe, verdict.removesuffix(" here"), words) for verdict, words in filter(None, found)]


def _vanishing(numbers: Values) -> tuple[str, str] | None:
    spreads = _per_frame(numbers, "rnn")
    if not spreads:
        return None
    words = "; ".join(f"{_spread(values)} on {where}" for where, values in spreads.items())
    words = f"with every frame further back the gradient is multiplied by {words}"
    if all(values["high"] < 1 for values in spreads.values()):
        return SUPPORTED, words
    if all(values["low"] > 1 for values in spreads.values()):
        return AGAINST, f"{words}: it explodes"
    return OPEN, words


def _cured(numbers: Values) -> tuple[str, str] | None:
    plain = _per_frame(numbers, "rnn")
    pairs = [
        (cell, where, values, plain[where])
        for cell in ("gru", "lstm")
        for where, values in _per_frame(numbers, cell).items()
        if where in plain
    ]
    if not pairs:
        return None
    words = "; ".join(
        f"{cell} × {_spread(gated)} a frame, rnn × {_spread(rnn)}, on {where}"
        for cell, where, gated, rnn in pairs
    )
    if all(gated["low"] >= STEADY for _, _, gated, _ in pairs):
        return SUPPORTED, words
    if all(gated["low"] > rnn["high"] for _, _, gated, rnn in pairs):
        return PARTLY, f"with gates it shrinks more slowly, but it shrinks ({words})"
    if all(gated["high"] < rnn["low"] for _, _, gated, rnn in pairs):
        return AGAINST, f"with gates it shrinks faster ({words})"
    return OPEN, words


def _long(numbers: Values) -> tuple[str, str] | None:
    """Fisher's exact test, problem by problem: did more runs of the gated cells solve it?"""
    more, fewer, words = [], [], []
    for problem, cells in numbers.items():
        gated = [cell for cell in ("gru", "lstm") if cell in cells]
        if "rnn" not in cells or not gated:
            continue
        rnn = cells["rnn"]
        told = [f"{cell} {cells[cell]['solved']} of {cells[cell]['runs']}" for cell in gated]
        words.append(f"{problem}: rnn solved {rnn['solved']} of {rnn['runs']}, {', '.join(told)}")
        if all(_more(cells[cell], rnn) < LEVEL for cell in gated):
            more.append(problem)
        fewer += [problem for cell in gated if _more(rnn, cells[cell]) < LEVEL]
    if not words:
        return None
    if fewer:
        return AGAINST, f"in {listed(fewer)} the rnn solved more ({'; '.join(words)})"
    return (SUPPORTED if more else OPEN), "; ".join(words)


def _per_frame(numbers: Values, cell: str) -> dict[str, Values]:
    """Input → the factor a frame of a cell as it is usually drawn; of trained models, if any."""
    for state in (", trained", "", ", untrained"):
        found = {
            name.removeprefix("gradient-reach-") + (state or ", untrained"): labels[cell + state]
            for name, labels in numbers.items()
            if "-gain-" not in name and cell + state in labels
        }
        spreads = {where: each["per_frame"] for where, each in found.items() if "per_frame" in each}
        if spreads:
            return spreads
    return {}


def _spread(values: Values) -> str:
    return "{median:.3g} ({low:.3g} to {high:.3g})".format(**values)


def _more(a: Values, b: Values) -> float:
    """One-sided p that a's runs solve the problem no more often than b's (Fisher 1935), doubled.

    >>> round(_more({"solved": 5, "runs": 5}, {"solved": 0, "runs": 5}), 4)
    0.0079
    """
    runs, solved = a["runs"] + b["runs"], a["solved"] + b["solved"]
    ways = [
        math.comb(a["runs"], k) * math.comb(b["runs"], solved - k)
        for k in range(a["solved"], min(a["runs"], solved) + 1)
    ]
    return min(1.0, 2 * sum(ways) / math.comb(runs, solved))
