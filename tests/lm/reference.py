"""n-gram models written as slowly and plainly as in the literature, to compare with."""

import gzip
import math
from collections import Counter, defaultdict
from pathlib import Path

Ngram = tuple[str, ...]


class Backoff:
    """An ARPA file as dictionaries. Log probabilities are natural."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
        self.log_prob: dict[Ngram, float] = {}
        self.back_off: dict[Ngram, float] = defaultdict(float)
        order = 0
        for line in text[text.index("\\data\\") :].splitlines():
            if line.endswith("-grams:"):
                order = int(line[1 : line.index("-")])
            elif order and line.strip() and line[0] != "\\":
                fields = line.split()
                ngram = tuple(fields[1 : order + 1])
                self.log_prob[ngram] = float(fields[0]) * math.log(10)
                if len(fields) > order + 1:
                    self.back_off[ngram] = float(fields[order + 1]) * math.log(10)
        self.order = order

    def word(self, history: Ngram, word: str) -> float:
        if (word,) not in self.log_prob:
            word = "<unk>"
        ngram = (*history, word)
        if ngram in self.log_prob:
            return self.log_prob[ngram]
        return self.back_off[history] + self.word(history[1:], word)

    def sentence(self, words: list[str]) -> list[float]:
        known = [word if (word,) in self.log_prob else "<unk>" for word in words]
        text = ("<s>", *known, "</s>")
        return [
            self.word(text[max(0, i - self.order + 1) : i], text[i]) for i in range(1, len(text))
        ]


class KneserNey:
    """Interpolated modified Kneser–Ney (Chen & Goodman 1999, equations 26 to 29) by recursion."""

    def __init__(self, sentences: list[list[str]], order: int) -> None:
        self.order = order
        self.counts: list[Counter[Ngram]] = [Counter() for _ in range(order + 1)]
        for sentence in sentences:
            text = ("<s>", *sentence, "</s>")
            for n in range(1, order + 1):
                for i in range(len(text) - n + 1):
                    self.counts[n][text[i : i + n]] += 1
        for n in range(order - 1, 0, -1):
            before: dict[Ngram, set[str]] = defaultdict(set)
            for ngram in self.counts[n + 1]:
                before[ngram[1:]].add(ngram[0])
            for ngram in self.counts[n]:
                if ngram[0] != "<s>":
                    self.counts[n][ngram] = len(before[ngram])
        del self.counts[1][("<s>",)]
        self.words = {ngram[0] for ngram in self.counts[1]} | {"<unk>"}
        self.discounts = [[0.0, 0.0, 0.0, 0.0]]
        for n in range(1, order + 1):
            often = Counter(self.counts[n].values())
            y = often[1] / (often[1] + 2 * often[2])
            more = [i - (i + 1) * y * often[i + 1] / often[i] for i in (1, 2, 3)]
            self.discounts.append([0.0, *more])

    def word(self, history: Ngram, word: str) -> float:
        """Probability of a word after a history of at most order - 1 words."""
        n = len(history) + 1
        after = {g: c for g, c in self.counts[n].items() if g[:-1] == history}
        lower = self.word(history[1:], word) if history else 1 / len(self.words)
        if not after:
            return lower
        total = sum(after.values())
        spare = sum(self.discounts[n][min(c, 3)] for c in after.values())
        own = after.get((*history, word), 0)
        return (own - self.discounts[n][min(own, 3)]) / total + spare / total * lower


class WittenBell:
    """Interpolated Witten–Bell (method C) by recursion."""

    def __init__(self, sentences: list[list[str]], order: int) -> None:
        self.counts: Counter[Ngram] = Counter()
        for sentence in sentences:
            text = ("<s>", *sentence, "</s>")
            for n in range(1, order + 1):
                for i in range(len(text) - n + 1):
                    self.counts[text[i : i + n]] += 1
        del self.counts[("<s>",)]
        self.words = {ngram[0] for ngram in self.counts if len(ngram) == 1} | {"<unk>"}

    def word(self, history: Ngram, word: str) -> float:
        after = {
            g: c for g, c in self.counts.items() if len(g) == len(history) + 1 and g[:-1] == history
        }
        lower = self.word(history[1:], word) if history else 1 / len(self.words)
        own = after.get((*history, word), 0)
        return (own + len(after) * lower) / (sum(after.values()) + len(after)) if after else lower
