"""What the probes say of the article's claims: never about the comparison's own data.

Spreads are lowest to highest over models; where they touch, nothing is said.
"""

import math
from collections.abc import Collection
from typing import Any

from speechgru.compare.claims import AGAINST, CURED, LONG, OPEN, PARTLY, SUPPORTED, VANISHING
from speechgru.compare.wording import listed
from speechgru.significance import LEVEL, holm

Values = dict[str, Any]
GATED = ("gru", "lstm")  # of whom the article speaks
STEADY = 0.99  # a gradient that keeps this share a frame still has a third of itself after 100
GROWING = 1 / STEADY  # and one that grows by this triples in as many


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
    if all(values["high"] < STEADY for values in spreads.values()):
        return _by_first_weights(SUPPORTED, words, spreads)
    if all(values["low"] > GROWING for values in spreads.values()):
        return _by_first_weights(AGAINST, f"{words}: it explodes", spreads)
    return OPEN, words


def _cured(numbers: Values) -> tuple[str, str] | None:
    plain = _per_frame(numbers, "rnn")
    pairs = [
        (cell, where, values, plain[where])
        for cell in GATED
        for where, values in _per_frame(numbers, cell).items()
        if where in plain
    ]
    if not pairs:
        return None
    words = "; ".join(
        f"{cell} × {_spread(gated)} a frame, rnn × {_spread(rnn)}, on {where}"
        for cell, where, gated, rnn in pairs
    )
    verdict = OPEN
    if any(rnn["high"] >= STEADY for _, _, _, rnn in pairs):
        words = f"the rnn's does not surely vanish ({words})"
    elif all(gated["low"] >= STEADY and gated["high"] <= GROWING for _, _, gated, _ in pairs):
        verdict = SUPPORTED
    elif any(gated["high"] > GROWING for _, _, gated, _ in pairs):
        words = f"with gates it may grow ({words})"
    elif all(gated["low"] > rnn["high"] for _, _, gated, rnn in pairs):
        verdict, words = PARTLY, f"with gates it shrinks more slowly, but vanishes still ({words})"
    elif all(gated["high"] < rnn["low"] for _, _, gated, rnn in pairs):
        verdict, words = AGAINST, f"with gates it shrinks faster ({words})"
    verdict, words = _of_both(verdict, words, {cell for cell, _, _, _ in pairs})
    return _by_first_weights(verdict, words, [where for _, where, _, _ in pairs])


def _by_first_weights(verdict: str, words: str, measured: Collection[str]) -> tuple[str, str]:
    """Less sure where no trained model was measured: first weights tell of their draw."""
    if any(not where.endswith("untrained") for where in measured):
        return verdict, words
    words += (
        "; so it is with first weights, which tell of how they are drawn; trained models were not "
        "measured"
    )
    return {SUPPORTED: PARTLY, AGAINST: OPEN}.get(verdict, verdict), words


def _of_both(verdict: str, words: str, cells: Collection[str]) -> tuple[str, str]:
    """Less sure where one gated cell stands for both."""
    missing = [cell for cell in GATED if cell not in cells]
    if verdict != SUPPORTED or not missing:
        return verdict, words
    return PARTLY, f"{words}; {listed(missing)} was not measured"


def _long(numbers: Values) -> tuple[str, str] | None:
    """Fisher's exact test of every problem and gated cell against the rnn. All of them together
    need no adjustment, one among them does: Holm's."""
    pairs, words, measured = [], [], set()
    for problem, cells in numbers.items():
        gated = [cell for cell in GATED if cell in cells]
        if "rnn" not in cells or not gated:
            continue
        rnn = cells["rnn"]
        told = [f"{cell} {cells[cell]['solved']} of {cells[cell]['runs']}" for cell in gated]
        words.append(f"{problem}: rnn solved {rnn['solved']} of {rnn['runs']}, {', '.join(told)}")
        pairs += [(cells[cell], rnn) for cell in gated]
        measured |= set(gated)
    if not words:
        return None
    more = [_more(gated, rnn) for gated, rnn in pairs]
    fewer = [_more(rnn, gated) for gated, rnn in pairs]
    told_all = "; ".join(words)
    if max(more) < LEVEL:
        return _of_both(SUPPORTED, told_all, measured)
    ahead, behind = min(holm(more)) < LEVEL, min(holm(fewer)) < LEVEL
    if ahead and behind:
        return OPEN, f"it depends on the problem ({told_all})"
    if ahead:
        return PARTLY, f"not in every problem, or not with each cell ({told_all})"
    return (AGAINST, f"the rnn solved more ({told_all})") if behind else (OPEN, told_all)


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
