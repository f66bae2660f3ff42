"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in (ROOT / "speechgru").rglob("*.py")
    if ">>>" in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_come_out_as_they_say(module):
    found = [
        test
        for test in doctest.DocTestFinder().find(importlib.import_module(module))
        if test.examples
    ]
    assert found
    for test in found:
        assert doctest.DocTestRunner().run(test).failed == 0, test.name
