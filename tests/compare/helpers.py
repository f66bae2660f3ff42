"""What the tests of comparisons share: options without a GPU or costs."""

from collections.abc import Callable

from speechgru.compare import ComparisonSpec, RunOptions

MakeSpec = Callable[..., ComparisonSpec]
OPTIONS = RunOptions("cpu", cost=False)
