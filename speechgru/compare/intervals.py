"""A chart of intervals: one row each, a dot at the estimate and a line from end to end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from speechgru.figures import COLOURS, FONT, WIDTH, number, round_steps

LEFT, RIGHT, ROW, BOTTOM = 150, 24, 30, 46  # user units


@dataclass(frozen=True, slots=True)
class Interval:
    """A named estimate between its ends; `dots` are drawn faintly beside it (one a seed)."""

    name: str
    low: float
    middle: float
    high: float
    dots: tuple[float, ...] = ()


def interval_chart(
    title: str, words: str, rows: Sequence[Interval], label: str, zero: bool = False
) -> str:
    """One <svg> element; with `zero`, a line where there is no difference. `words` say what the
    chart shows to who cannot see it."""
    values = [v for r in rows for v in (r.low, r.high, *r.dots)] + [0.0]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    low, high = low - 0.02 * span * (low < 0), high + 0.02 * span

    def across(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    floor = 10 + ROW * len(rows)
    label_text = escape(f"{title}. {words}", quote=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {floor + BOTTOM}" '
        f'role="img" aria-label="{label_text}" fill="currentColor" '
        f'font-family="system-ui, sans-serif" font-size="{FONT}" '
        'style="max-width: 100%; height: auto">',
        f"<title>{escape(title)}</title>",
    ]
    for value in round_steps(low, high):
        at = across(value)
        parts.append(
            f'<path d="M{at:.1f} 6V{floor}" stroke="currentColor" stroke-opacity="0.15"/>'
            f'<text x="{at:.1f}" y="{floor + FONT + 4}" text-anchor="middle">'
            f"{number(value).replace('-', '−')}</text>"
        )
    if zero:
        parts.append(f'<path d="M{across(0):.1f} 6V{floor}" stroke="currentColor"/>')
    parts += [_row(r, 10 + ROW * i + ROW / 2, i, across) for i, r in enumerate(rows)]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{floor + BOTTOM - 8}" text-anchor="middle">{escape(label)}</text>'
    )
    return "\n".join([*parts, "</svg>"])


def _row(row: Interval, y: float, place: int, across: Callable[[float], float]) -> str:
    colour = COLOURS[place % len(COLOURS)]
    dots = "".join(
        f'<circle cx="{across(dot):.1f}" cy="{y:.1f}" r="3" fill="none" stroke="{colour}"/>'
        for dot in row.dots
    )
    name = row.name if len(row.name) <= 20 else row.name[:19] + "…"
    return (
        f'<text x="{LEFT - 10}" y="{y + FONT / 3:.1f}" text-anchor="end">{escape(name)}</text>'
        f'<path d="M{across(row.low):.1f} {y:.1f}H{across(row.high):.1f}" stroke="{colour}" '
        f'stroke-width="2"/>'
        f'<circle cx="{across(row.middle):.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>{dots}'
    )
