"""Line charts as SVG text: inline in a page or a file by itself; no script, no font, no dependency.

Design choices:
- Text and axes take the page's own colour (`currentColor`), lines a palette with a contrast of at
  least 3 on white and on black, so that one drawing serves light and dark pages and paper.
- Who cannot see it is told: role="img" and a label that holds the title and the caller's words.
- A nested <svg> clips the curves to the axes, so no ids are needed and charts share a page freely.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 360  # user units; the drawing scales to the page
LEFT, RIGHT, BOTTOM = 66, 22, 48  # margins of the plot; the top depends on the legend
FONT = 15  # text height; a character takes about 0.56 of it
PAPER = "color: #1a1a1a; background: #ffffff; "  # of a drawing by itself
COLOURS = ("#0072b2", "#d55e00", "#00895f", "#b0589a", "#7c6a1a", "#7a5cc0", "#787878")

Floats = Sequence[float]


@dataclass(frozen=True, slots=True)
class Series:
    """A named line of points (x, y), and the band between `low` and `high` if given.

    All sequences are of one length; NaN and infinity leave a gap. `colour` is a place in COLOURS;
    past their end they come again, dotted. `dashed` tells two lines of one colour apart.
    """

    name: str
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    colour: int = 0
    dashed: bool = False
    markers: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A label with its unit, and the range drawn: the data's own where an end is None."""

    label: str
    log: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to user units; log scales hold the ends' logarithms."""

    low: float
    high: float
    log: bool
    start: float
    end: float

    def __call__(self, value: float) -> float:
        place = _place(value, self.log)
        return self.start + (place - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(title: str, words: str, series: Sequence[Series], x: Axis, y: Axis) -> str:
    """One <svg> element. `words` say what the chart shows to who cannot see it."""
    legend, top = _legend(series)
    across = _scale(x, [v for s in series for v in s.x], 0, WIDTH - LEFT - RIGHT)
    up = _scale(y, [v for s in series for v in _heights(s)], HEIGHT - top - BOTTOM, 0)
    inner = f'x="{LEFT}" y="{top}" width="{across.end:g}" height="{up.start:g}"'
    label = escape(f"{title}. {words}", quote=True)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{label}" fill="currentColor" font-family="system-ui, sans-serif" '
            f'font-size="{FONT}" style="max-width: 100%; height: auto">',
            f"<title>{escape(title)}</title>",
            *legend,
            *_grid(across, up, top, x.label, y.label),
            f'<svg {inner} overflow="hidden">',
            *(_band(s, across, up) for s in series if s.low is not None),
            *(_line(s, across, up) for s in series),
            "</svg>",
            "</svg>",
        ]
    )


def standalone(svg: str) -> str:
    """The same as a file: black on white, whatever page shows it as a picture."""
    return svg.replace('style="', f'style="{PAPER}', 1) + "\n"


def inline(svg: str) -> str:
    """A file's drawing as part of a page again, in the page's own colours."""
    return svg.replace(PAPER, "", 1)


def number(value: float) -> str:
    """Short text for a tick or a sentence.

    >>> [number(v) for v in (0.25, 1500, 3e-9, 1e6, 0)]
    ['0.25', '1500', '3e-9', '1e6', '0']
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{int(exponent)}"


def round_steps(low: float, high: float) -> list[float]:
    """Values to label between two: three to seven, in steps of 1, 2 or 5 × a power of ten.

    >>> round_steps(-0.3, 11)
    [0, 2, 4, 6, 8, 10]
    """
    size: float = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(m * size for m in (1, 2, 5, 10) if (high - low) / (m * size) <= 6)
    step = int(step) if step >= 1 else step
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


# Parts -------------------------------------------------------------------------------------------


def _place(value: float, log: bool) -> float:
    """Where a value stands on its axis before scaling; NaN where it cannot be drawn."""
    if not log:
        return value if math.isfinite(value) else math.nan
    return math.log10(value) if 0 < value < math.inf else -math.inf if value == 0 else math.nan


def _heights(series: Series) -> list[float]:
    return [*series.y, *(series.low or ()), *(series.high or ())]


def _scale(axis: Axis, values: Floats, start: float, end: float) -> _Scale:
    places = [p for p in (_place(v, axis.log) for v in values) if math.isfinite(p)] or [0.0]
    low = min(places) if axis.low is None else _place(axis.low, axis.log)
    high = max(places) if axis.high is None else _place(axis.high, axis.log)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    return _Scale(low, high, axis.log, start, end)


def _ticks(scale: _Scale) -> list[float]:
    """Values to label: whole decades on a log scale (1, 2, 5 within few), steps of 1, 2 or 5."""
    low, high = scale.low - 1e-9, scale.high + 1e-9
    if scale.log:
        if high - low < 2:
            steps = [
                m * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for m in (1, 2, 5)
            ]
            steps = [value for value in steps if low <= math.log10(value) <= high]
            return steps if len(steps) > 1 else round_steps(10.0**low, 10.0**high)
        every = math.ceil((high - low) / 7)
        return [10.0**e for e in range(math.ceil(low), math.floor(high) + 1) if e % every == 0]
    return round_steps(low, high)


def _grid(across: _Scale, up: _Scale, top: float, x_label: str, y_label: str) -> list[str]:
    floor, right = top + up.start, LEFT + across.end
    parts = []
    for value in _ticks(across):
        at = LEFT + across(value)
        parts.append(_rule(at, top, at, floor) + _text(at, floor + FONT + 4, "middle", value))
    for value in _ticks(up):
        at = top + up(value)
        parts.append(_rule(LEFT, at, right, at) + _text(LEFT - 6, at + FONT / 3, "end", value))
    middle, centre = (LEFT + right) / 2, (top + floor) / 2
    parts.append(
        f'<path d="M{LEFT} {top}V{floor:g}H{right:g}" fill="none" stroke="currentColor"/>'
        f'<text x="{middle:g}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text transform="translate({FONT} {centre:g}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return parts


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    path = f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"
    return f'<path d="{path}" stroke="currentColor" stroke-opacity="0.15"/>'


def _text(x: float, y: float, anchor: str, value: float) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{number(value)}</text>'


def _legend(series: Sequence[Series]) -> tuple[list[str], float]:
    """Samples and names in rows above the plot, and the plot's top."""
    parts, x, y = [], float(LEFT), float(FONT + 4)
    for one in series:
        width = 44 + 0.56 * FONT * len(one.name)
        if x + width > WIDTH - RIGHT and x > LEFT:
            x, y = float(LEFT), y + FONT + 6
        parts.append(
            f'<path d="M{x:.1f} {y - 4:.1f}h24" {_stroke(one)}/>'
            f'<text x="{x + 29:.1f}" y="{y:.1f}">{escape(one.name)}</text>'
        )
        x += width
    return parts, y + 12


def _stroke(series: Series) -> str:
    pattern = ("", "2 3", "8 4", "8 3 2 3")[(series.colour >= len(COLOURS)) + 2 * series.dashed]
    dash = f' stroke-dasharray="{pattern}"' if pattern else ""
    colour = COLOURS[series.colour % len(COLOURS)]
    return f'fill="none" stroke="{colour}" stroke-width="2"{dash}'


def _line(series: Series, across: _Scale, up: _Scale) -> str:
    points, path = [], []
    pen = "M"
    for x, y in zip(series.x, series.y, strict=True):
        at, height = across(x), _bounded(up, y)
        if math.isnan(at) or math.isnan(height):
            pen = "M"
            continue
        path.append(f"{pen}{at:.1f} {height:.1f}")
        points.append((at, height))
        pen = "L"
    colour = COLOURS[series.colour % len(COLOURS)]
    dots = [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
    return f'<path d="{"".join(path)}" {_stroke(series)}/>' + "".join(dots * series.markers)


def _band(series: Series, across: _Scale, up: _Scale) -> str:
    assert series.low is not None
    assert series.high is not None
    edges = [
        (across(x), _bounded(up, low), _bounded(up, high))
        for x, low, high in zip(series.x, series.low, series.high, strict=True)
    ]
    colour = COLOURS[series.colour % len(COLOURS)]
    polygons = []
    for known, stretch in itertools.groupby(edges, lambda edge: not any(map(math.isnan, edge))):
        if known:
            kept = list(stretch)
            outline = [(x, high) for x, _, high in kept] + [(x, low) for x, low, _ in kept[::-1]]
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in outline)
            polygons.append(f'<polygon points="{points}" fill="{colour}" fill-opacity="0.18"/>')
    return "".join(polygons)


def _bounded(scale: _Scale, value: float) -> float:
    """In user units, at most a picture's height outside the plot: what is further (zero on a log
    scale) is hidden by the clip all the same. NaN stays NaN."""
    place = _place(value, scale.log)
    if math.isnan(place):
        return math.nan
    reach = scale.high - scale.low
    place = min(max(place, scale.low - reach), scale.high + reach)
    return scale.start + (place - scale.low) / (scale.high - scale.low) * (scale.end - scale.start)
