"""Figures as the report writes them: rates are fractions, text is per cent."""

import math


def percent(rate: float) -> str:
    return "–" if math.isnan(rate) else f"{100 * rate:.2f}"


def points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def signed(value: float) -> str:
    return f"{100 * value:+.2f}".replace("-", "−")
