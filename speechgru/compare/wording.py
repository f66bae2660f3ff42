"""Figures and lists as the report writes them: rates are fractions, text is per cent."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NO_DIFFERENCE = "no difference shown"
MATCHED = {
    "params": "parameters",
    "macs": "work (multiply-accumulates)",
    "time": "time to transcribe",
    "train-time": "time to train",
}


def percent(rate: float) -> str:
    return "–" if math.isnan(rate) else f"{100 * rate:.2f}"


def points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def signed(value: float, digits: int = 2) -> str:
    """In points or per cent, always with a sign."""
    return f"{100 * value:+.{digits}f}".replace("-", "−")


def p_cell(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def short_path(path: str) -> str:
    """The folder and the name, which tell a manifest; where it lies is nobody's business."""
    return "/".join(Path(path).parts[-2:])


def told(pairs: Sequence[dict[str, Any]]) -> list[str]:
    """Pairs in sentences: all of them when they are few, else those that show something."""
    shown = [pair for pair in pairs if pair["verdict"] != NO_DIFFERENCE or len(pairs) <= 3]
    sentences = [_sentence(pair) for pair in shown]
    rest = len(pairs) - len(shown)
    if rest:
        which = f"the other {rest} pairs" if shown else f"any of {rest} pairs"
        sentences.append(f"No difference is shown in {which}: see their intervals.")
    return sentences


def _sentence(pair: dict[str, Any]) -> str:
    text = str(pair["sentence"]) + "."
    return capital(text) if text.startswith(NO_DIFFERENCE) else text
