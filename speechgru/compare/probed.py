"""What the probes say of the article's claims: never about the comparison's own data.

Gradients are judged by spreads, lowest to highest over models; where they touch, nothing is said.
Memory is judged by races of two cells at one problem (a task, a length, a learning rate).
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
    UNTESTED,
    VANISHING,
)
from speechgru.compare.wording import listed
from speechgru.scoring.significance import LEVEL, holm, p_text

Values = dict[str, Any]
GATED = ("gru", "lstm")  # of whom the article speaks
STEADY = 0.99  # a gradient that keeps this share a frame still has a third of itself after 100
GROWING = 1 / STEADY  # and one that grows by this triples in as many
FARTHER = 2.0  # times as far: what helps without curing
ENOUGH = 5  # models of a cell, for gradients to support or contradict
LEARNED = 0.9  # of the error of guessing: an error above it remembers nothing worth the name
RULES = (
    "A probe's verdict on gradients asks whether the spreads of at least "
    f"{ENOUGH} models a cell lie apart: from {STEADY:g} × a frame on they keep, from "
    f"{GROWING:.2f} on they grow; gates cure in part what they keep at some inputs only, or carry "
    f"{FARTHER:g} × as far. On memory, two cells are compared at each problem by who solved "
    "it in more runs (Fisher's exact test, two-sided), or whether all runs of one were done before "
    "any of the other; where nobody solved it, whether all last errors of one lie below the "
    "other's and below guessing. “Supported”: at every problem; “in part”: at some, p after Holm. "
    "Learning rates were tuned for none."
)


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


# Gradients ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Factor:
    """By what a cell's gradient is multiplied a frame, over models."""

    low: float
    median: float
    high: float
    models: int

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def _vanishing(numbers: Values) -> tuple[str, str] | None:
    factors = _per_frame(numbers, "rnn")
    if not factors:
        return None
    words = "; ".join(f"{factor} on {where}" for where, factor in factors.items())
    words = f"with every frame further back the gradient is multiplied by {words}"
    verdict = OPEN
    if all(factor.high < STEADY for factor in factors.values()):
        verdict = SUPPORTED
    elif all(factor.low > GROWING for factor in factors.values()):
        verdict, words = AGAINST, f"{words}: it explodes"
    return _no_surer(verdict, words, factors, factors.values())


def _cured(numbers: Values) -> tuple[str, str] | None:
    plain = _per_frame(numbers, "rnn")
    pairs = [
        (cell, where, factor, plain[where])
        for cell in GATED
        for where, factor in _per_frame(numbers, cell).items()
        if where in plain
    ]
    if not pairs:
        return None
    words = "; ".join(
        f"{cell} × {gated} a frame, rnn × {rnn}, on {where}" for cell, where, gated, rnn in pairs
    )
    shrinking = {
        f"{cell} on {where}": (gated, rnn)
        for cell, where, gated, rnn in pairs
        if gated.low < STEADY
    }
    verdict = OPEN
    if any(rnn.high >= STEADY for _, _, _, rnn in pairs):
        words = f"the rnn's does not surely vanish ({words})"
    elif any(gated.high > GROWING for _, _, gated, _ in pairs):
        words = f"with gates it may grow ({words})"
    elif not shrinking:
        verdict = SUPPORTED
    elif all(gated.low > rnn.high for gated, rnn in shrinking.values()):
        least = min(math.log(rnn.high) / math.log(gated.low) for gated, rnn in shrinking.values())
        most = max(
            math.log(rnn.low) / math.log(gated.high) if gated.high < 1 else math.inf
            for gated, rnn in shrinking.values()
        )
        if least >= FARTHER or len(shrinking) < len(pairs):  # kept elsewhere
            verdict = PARTLY
        elif most < FARTHER:
            verdict = AGAINST
        words = (
            f"in {listed(list(shrinking))} it reaches {least:.2g} × as far or more, but vanishes "
            f"still ({words})"
        )
    elif all(gated.high < rnn.low for _, _, gated, rnn in pairs):
        verdict, words = AGAINST, f"with gates it shrinks faster ({words})"
    verdict, words = _of_both(verdict, words, {cell for cell, _, _, _ in pairs})
    everyone = [factor for _, _, gated, rnn in pairs for factor in (gated, rnn)]
    return _no_surer(verdict, words, [where for _, where, _, _ in pairs], everyone)


def _no_surer(
    verdict: str, words: str, measured: Collection[str], factors: Collection[Factor]
) -> tuple[str, str]:
    """Less sure of few models, and where no trained one was measured: starting weights tell of
    their draw."""
    limits = []
    if all(where.endswith("untrained") for where in measured):
        limits.append("so it is with random starting weights; trained models were not measured")
    if (fewest := min(factor.models for factor in factors)) < ENOUGH:
        limits.append(f"of {fewest} model{'s' * (fewest > 1)} a cell")
    if not limits:
        return verdict, words
    return {SUPPORTED: PARTLY, AGAINST: OPEN}.get(verdict, verdict), "; ".join([words, *limits])


def _of_both(verdict: str, words: str, cells: Collection[str]) -> tuple[str, str]:
    """Less sure where one gated cell stands for both."""
    missing = [cell for cell in GATED if cell not in cells]
    if verdict != SUPPORTED or not missing:
        return verdict, words
    return PARTLY, f"{words}; {listed(missing)} was not measured"


def _per_frame(numbers: Values, cell: str) -> dict[str, Factor]:
    """Input → the factor a frame of a cell as it is usually drawn; of trained models, if any.
    Models of several shapes are taken together."""
    for state in (", trained", "", ", untrained"):
        found = {}
        for name, labels in numbers.items():
            mine = [
                each
                for label, each in labels.items()
                if label.partition(" (")[0] == cell + state and "per_frame" in each
            ]
            if mine and "-gain-" not in name:
                where = name.removeprefix("gradient-reach-") + (state or ", untrained")
                found[where] = _together(mine)
        if found:
            return found
    return {}


def _together(shapes: Sequence[Values]) -> Factor:
    spreads = [each["per_frame"] for each in shapes]
    return Factor(
        min(spread["low"] for spread in spreads),
        sorted(spread["median"] for spread in spreads)[len(spreads) // 2],
        max(spread["high"] for spread in spreads),
        sum(each["models"] for each in shapes),
    )


# Memory: races of two cells -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Race:
    """Two-sided p, with "a is ahead" and "b is ahead" apart, the least that so many runs can come
    to, and what was seen."""

    ahead: float
    behind: float
    least: float
    words: str


def _long(numbers: Values) -> tuple[str, str] | None:
    races = {gated: _races(numbers, gated, "rnn", _more) for gated in GATED}
    run = [gated for gated, each in races.items() if each]
    if not run:
        return None
    return _of_both(*_outcome([race for each in races.values() for race in each]), run)


def _loses(numbers: Values) -> tuple[str, str] | None:
    """Never against: who wins at one length may lose at another."""
    races = _races(numbers, "lstm", "gru", _more)
    if not races:
        return None
    verdict, words = _outcome(races)
    return (OPEN, f"not at these lengths ({words})") if verdict == AGAINST else (verdict, words)


def _easier(numbers: Values) -> tuple[str, str] | None:
    races = _races(numbers, "gru", "lstm", _sooner)
    return _outcome(races) if races else None


def _races(numbers: Values, a: str, b: str, test: Callable[[Values, Values], float]) -> list[Race]:
    """A race a problem. Where neither solves it, last errors decide: a choice by all runs
    together, which leaves them exchangeable."""

    def p(one: Values, other: Values) -> float:
        solved = one["solved"] + other["solved"]
        return test(one, other) if solved else _lower(one, other)

    races = []
    for problem, cells in numbers.items():
        if a in cells and b in cells:
            ahead, behind = p(cells[a], cells[b]), p(cells[b], cells[a])
            seen = f"problem {problem}: {_ran(a, cells[a])}, {_ran(b, cells[b])}"
            words = f"{seen} ({p_text(min(ahead, behind))})"
            races.append(Race(ahead, behind, _apart(cells[a], cells[b]), words))
    return races


def _outcome(races: Sequence[Race]) -> tuple[str, str]:
    """All won needs no adjustment, some among them do: Holm's."""
    words = "; ".join(race.words for race in races)
    ahead, behind = [race.ahead for race in races], [race.behind for race in races]
    if min(race.least for race in races) >= LEVEL:
        return UNTESTED, f"too few runs to show anything ({words})"
    if max(ahead) < LEVEL:
        return SUPPORTED, words
    if max(behind) < LEVEL:
        return AGAINST, words
    won, lost = (sum(p < LEVEL for p in holm(each)) for each in (ahead, behind))
    if won and lost:
        return OPEN, f"{won} of {len(races)} for it, {lost} against it ({words})"
    if won:
        return PARTLY, f"{won} of {len(races)} for it, none against it ({words})"
    return OPEN, f"{lost} of {len(races)} against it, none for it ({words})" if lost else words


def _ran(cell: str, found: Values) -> str:
    """How a cell did at a problem."""
    text = f"{cell} solved it in {found['solved']} of {found['runs']} runs"
    if updates := found.get("updates_to_solve"):
        text += " after {median:.0f} ({low:.0f} to {high:.0f}) updates".format(**updates)
    elif error := found.get("error"):
        text += " with errors of {median:.3g} ({low:.3g} to {high:.3g})".format(**error)
        text += f", guessing {found['chance']:.3g}" if "chance" in found else ""
    return text + (f", {found['failed']} left the numbers" if found.get("failed") else "")


def _more(a: Values, b: Values) -> float:
    """p that a's runs solve the problem no more often (Fisher's exact test, 1935), doubled.

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
    """p that a's last errors are no lower, by ranks: told only where all of a's are finite, better
    than guessing and below all of b's."""
    if not a.get("error") or not b.get("error") or a.get("failed"):
        return 1.0
    best = min(b["error"]["low"], LEARNED * a.get("chance", math.inf))
    return _apart(a, b) if a["error"]["high"] < best else 1.0


def _sooner(a: Values, b: Values) -> float:
    """p that a needs no fewer updates, by ranks: told only where all of a's runs solve the problem
    before any of b's does."""
    first = b["updates_to_solve"]["low"] if b.get("updates_to_solve") else math.inf
    whole = a["solved"] == a["runs"] and a.get("updates_to_solve")
    return _apart(a, b) if whole and a["updates_to_solve"]["high"] < first else 1.0


def _apart(a: Values, b: Values) -> float:
    """The chance that all of one side's runs come before all of the other's, whichever that is."""
    return min(1.0, 2 / math.comb(a["runs"] + b["runs"], a["runs"]))
