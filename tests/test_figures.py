"""Charts: well-formed, scaled as labelled, clipped, and told to who cannot see them."""

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from speechgru.figures import COLOURS, Axis, Series, line_chart, number, standalone

NS = {"s": "http://www.w3.org/2000/svg"}


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def line_points(svg: str) -> list[list[tuple[float, float]]]:
    """Points of each curve, in user units of the plot."""
    plot = parse(svg).find("s:svg", NS)
    assert plot is not None
    curves = [p.get("d", "") for p in plot.findall("s:path", NS)]
    return [
        [(float(a), float(b)) for a, b in re.findall(r"[ML](\S+?) ([-\d.]+)", d)] for d in curves
    ]


def test_a_log_axis_makes_an_exponential_a_straight_line() -> None:
    x = list(range(11))
    svg = line_chart("t", "w", [Series("a", x, [0.5**k for k in x])], Axis("x"), Axis("y", True))
    (points,) = line_points(svg)
    steps = {round(b[1] - a[1], 1) for a, b in pairwise(points)}
    assert max(steps) - min(steps) <= 0.2  # coordinates carry one decimal
    assert points[0][1] == 0  # the largest value lies on the top
    assert points[-1][1] > 200  # the smallest at the bottom, further down


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.45), (0.003, 0.004), (2.1, 4.9), (1, 900)])
def test_a_log_axis_has_ticks_however_short(low: float, high: float) -> None:
    series = [Series("a", [0, 1], [low, high], colour=0)]
    svg = line_chart("t", "w", series, Axis("x"), Axis("y", log=True))
    texts = [t.text or "" for t in parse(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert sum(low <= float(text) <= high for text in texts if re.fullmatch(r"[\d.]+", text)) >= 2


def test_gaps_stay_gaps_and_zero_on_a_log_axis_leaves_the_plot() -> None:
    y = [1.0, math.nan, 0.1, 0.0]
    svg = line_chart("t", "w", [Series("a", [0, 1, 2, 3], y)], Axis("x"), Axis("y", True, 0.01, 1))
    plot = parse(svg).find("s:svg", NS)
    assert plot is not None
    assert plot.get("overflow") == "hidden"
    (path,) = plot.findall("s:path", NS)
    assert path.get("d", "").count("M") == 2
    (points,) = line_points(svg)
    assert len(points) == 3
    assert points[-1][1] > float(plot.get("height", "0"))


def test_title_words_and_names_reach_a_screen_reader_escaped() -> None:
    series = [Series("a<b", [0, 1], [1, 2], [0, 1], [2, 3], 1), Series("c", [0, 1], [2, 1])]
    root = parse(line_chart('Reach & "depth"', "It falls.", series, Axis("x < 3"), Axis("y")))
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'Reach & "depth". It falls.'
    texts = [element.text for element in root.iter() if element.text]
    assert {"a<b", "c", "x < 3"} <= set(texts)
    plot = root.find("s:svg", NS)
    assert plot is not None
    (band,) = plot.findall("s:polygon", NS)
    assert band.get("fill") == COLOURS[1]
    assert len(band.get("points", "").split()) == 4


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[], [3.0], [math.nan, math.inf], [0.0, 0.0]])
def test_nothing_to_draw_is_drawn(values: list[float], log: bool) -> None:
    series = Series("a", list(range(len(values))), values)
    parse(line_chart("t", "w", [series], Axis("x"), Axis("y", log)))


def test_a_chart_needs_nothing_from_outside() -> None:
    svg = standalone(line_chart("t", "w", [Series("a", [0, 1], [0, 1])], Axis("x"), Axis("y")))
    assert "background: #ffffff" in svg
    assert not re.search(r"href|url\(|<script|<style|\bid=", svg)


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.1)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", COLOURS)
def test_lines_can_be_seen_on_white_and_on_black(colour: str) -> None:
    light = luminance(colour)
    assert 1.05 / (light + 0.05) >= 3
    assert (light + 0.05) / 0.05 >= 3


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.25"), (1500, "1500"), (3e-9, "3e-9"), (1e6, "1e6"), (0, "0"), (-2e-7, "-2e-7")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
