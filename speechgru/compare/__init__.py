"""Which is better on this data, and on what terms: `question` asks, `plan` fixes the choices,
`grid` carries them out, `results` computes, `story` tells."""

from speechgru.compare.grid import Means, compare, report
from speechgru.compare.question import Question, ask

__all__ = ["Means", "Question", "ask", "compare", "report"]
