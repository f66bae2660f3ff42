"""What the probes say of the article's claims: never about the comparison's own data.

Spreads are lowest to highest over models; where they touch, nothing is said.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from speechgru.compare.claims import (
    AGAINST,
    CURED,
    EASIER,
    LONG,
    LOSES,
    OPEN,
    PARTLY,
    SUPPORTED,
    VANISHING,
)
from speechgru.compare.wording import listed
from speechgru.significance import LEVEL, holm

Values = dict[str, Any]
GATED = ("gru", "lstm")  # of whom the article speaks
STEADY = 0.99  # a gradient that keeps this share a frame still has a third of itself after 100
FARTHER = 2.0  # times as far: what helps without curing
GROWING = 1 / STEADY  # and one that grows by this triples in as many


def verdicts(claim: str, findings: list[Values]) -> list[tuple[str, str, str]]:
    """(name, verdict, words) of every finding that bears on the claim."""
    judges = {
        VANISHING: ("gradient-reach", _vanishing),
        CURED: ("gradient-reach", _cured),
        EASIER: ("memory", _easier),
        LONG: ("memory", _long),
        LOSES: ("memory", _loses),
    }
    if claim not in judges:
        return []
    probe, judge = judges[claim]
    found = [(_name(each), judge(each["numbers"])) for each in findings if each["probe"] == probe]
    return [(name, each[0].removesuffix(" here"), each[1]) for name, each in found if each]


def _name(finding: Values) -> str:
    """gradient-reach, or the folder of several findings: memory in adding-100."""
    folder = finding.get("folder")
    probe = str(finding["probe"])
    return f"{probe} in {folder}" if folder and folder != probe else probe


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
        far = min(math.log(rnn["high"]) / math.log(gated["low"]) for _, _, gated, rnn in pairs)
        verdict = PARTLY if far >= FARTHER else AGAINST
        words = f"with gates it reaches {far:.2g} × as far or more, but vanishes still ({words})"
    elif all(gated["high"] < rnn["low"] for _, _, gated, rnn in pairs):
        verdict, words = AGAINST, f"with gates it shrinks faster ({words})"
    verdict, words = _of_both(verdict, words, {cell for cell, _, _, _ in pairs})
    return _by_first_weights(verdict, words, [where for _, where, _, _ in pairs])


def _by_first_weights(verdict: str, words: str, measured: Collection[str]) -> tuple[str, str]:
    """Less sure where no trained model was measured: starting weights tell of their draw."""
    if any(not where.endswith("untrained") for where in measured):
        return verdict, words
    words += "; so it is with random starting weights; trained models were not measured"
    return {SUPPORTED: PARTLY, AGAINST: OPEN}.get(verdict, verdict), words


def _of_both(verdict: str, words: str, cells: Collection[str]) -> tuple[str, str]:
    """Less sure where one gated cell stands for both."""
    missing = [cell for cell in GATED if cell not in cells]
    if verdict != SUPPORTED or not missing:
        return verdict, words
    return PARTLY, f"{words}; {listed(missing)} was not measured"


def _long(numbers: Values) -> tuple[str, str] | None:
    races = [(gated, _races(numbers, gated, "rnn", _more)) for gated in GATED]
    run = {gated: each for gated, each in races if each}
    if not run:
        return None
    verdict, words = _outcome([race for each in run.values() for race in each])
    return _of_both(verdict, words, run.keys())


def _loses(numbers: Values) -> tuple[str, str] | None:
    races = _races(numbers, "lstm", "gru", _more)
    return _outcome(races) if races else None


def _easier(numbers: Values) -> tuple[str, str] | None:
    races = _races(numbers, "gru", "lstm", _sooner)
    return _outcome(races) if races else None


# Races: two cells at one problem ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Race:
    """p for "a is no better than b", for the reverse, and what was seen."""

    ahead: float
    behind: float
    words: str


def _races(numbers: Values, a: str, b: str, test: Callable[[Values, Values], float]) -> list[Race]:
    """A race a problem of the memory probe. Where neither solves it, last errors decide."""

    def p(one: Values, other: Values) -> float:
        solved = one["solved"] + other["solved"]
        return test(one, other) if solved else _lower(one, other)

    return [
        Race(p(cells[a], cells[b]), p(cells[b], cells[a]), f"{problem}: {_ran(cells, a, b)}")
        for problem, cells in numbers.items()
        if a in cells and b in cells
    ]


def _outcome(races: Sequence[Race]) -> tuple[str, str]:
    """All won needs no adjustment, one among them does: Holm's."""
    words = "; ".join(race.words for race in races)
    ahead, behind = [race.ahead for race in races], [race.behind for race in races]
    if max(ahead) < LEVEL:
        return SUPPORTED, words
    if max(behind) < LEVEL:
        return AGAINST, words
    won, lost = min(holm(ahead)) < LEVEL, min(holm(behind)) < LEVEL
    if won and lost:
        return OPEN, f"it depends on the problem ({words})"
    if won:
        return PARTLY, f"not in every problem, or not with each cell ({words})"
    return OPEN, f"in some problems the other way ({words})" if lost else words


def _ran(cells: Values, a: str, b: str) -> str:
    """How two cells did at one problem."""
    told = []
    for cell in (a, b):
        each = cells[cell]
        text = f"{cell} solved it in {each['solved']} of {each['runs']} runs"
        if each.get("updates_to_solve"):
            text += " after {median:.0f} ({low:.0f} to {high:.0f}) updates".format(
                **each["updates_to_solve"]
            )
        elif each.get("error"):
            text += f", error {_spread(each['error'])}"
        told.append(text)
    return ", ".join(told)


def _more(a: Values, b: Values) -> float:
    """That a's runs solve the problem no more often (Fisher's exact test, 1935), doubled.

    >>> round(_more({"solved": 5, "runs": 5}, {"solved": 0, "runs": 5}), 4)
    0.0079
    """
    runs, solved = a["runs"] + b["runs"], a["solved"] + b["solved"]
    ways = [
        math.comb(a["runs"], k) * math.comb(b["runs"], solved - k)
        for k in range(a["solved"], min(a["runs"], solved) + 1)
    ]
    return min(1.0, 2 * sum(ways) / math.comb(runs, solved))


def _lower(a: Values, b: Values) -> float:
    """That a's last errors are no lower, by ranks: told only where the ranges lie apart."""
    if not a.get("error") or not b.get("error"):
        return 1.0
    return _apart(a, b) if a["error"]["high"] < b["error"]["low"] else 1.0


def _sooner(a: Values, b: Values) -> float:
    """That a needs no fewer updates, by ranks: told only where all of a's runs solve the problem
    before any of b's does."""
    first = b["updates_to_solve"]["low"] if b.get("updates_to_solve") else math.inf
    whole = a["solved"] == a["runs"] and a.get("updates_to_solve")
    return _apart(a, b) if whole and a["updates_to_solve"]["high"] < first else 1.0


def _apart(a: Values, b: Values) -> float:
    """The chance that all of one side's runs come before all of the other's, whichever that is."""
    return min(1.0, 2 / math.comb(a["runs"] + b["runs"], a["runs"]))


# Gradients ----------------------------------------------------------------------------------------


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
