"""The measured numbers in docs/article.md are those of the kept results."""

import re
from pathlib import Path

import pytest

from research.article import quoted

PAGE = (Path(__file__).parents[2] / "docs" / "article.md").read_text(encoding="utf-8")
NUMBER = r"[+−]?\d+\.\d+(?: to [+−]?\d+\.\d+)?|\d,\d{3}|\d+ of \d+"


@pytest.fixture(scope="module")
def numbers() -> list[str]:
    return [number.removeprefix("p ") for each in quoted().values() for number in each]


def measured() -> str:
    """The page without what others measured."""
    others = re.compile(r"^- \*\*Elsewhere\.\*\*.*?(?=^- \*\*|^#)", re.M | re.S)
    return " ".join(others.sub("", PAGE).split())


def test_every_measured_number_is_of_a_kept_result(numbers: list[str]):
    known = {found for number in numbers for found in re.findall(NUMBER, number)}
    contexts = {"0.6", "1.5"}  # seconds
    assert set(re.findall(NUMBER, measured())) - known <= contexts


def test_every_kept_number_is_quoted(numbers: list[str]):
    text = measured()
    assert [
        number
        for number in numbers
        if not re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d])", text)
    ] == []


def test_the_page_is_short():
    assert len(PAGE.splitlines()) <= 120
