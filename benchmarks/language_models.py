"""Time and memory of training and loading an n-gram model.

    python -m benchmarks.language_models lm.arpa.gz --words 10000000

The text is generated: words are drawn from the given model, one after the other, with a fixed
seed. So its n-gram statistics resemble those of real text of that length.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numba
import numpy as np

from speechgru.files import atomic_write
from speechgru.lm.arpa import arpa_bytes
from speechgru.lm.counting import read_corpus
from speechgru.lm.ngram import IMPOSSIBLE, START, Doubles, Ints, NGram, Tables, find
from speechgru.lm.smoothing import train
from speechgru.lm.store import load_ngram

MAX_CONTEXTS = 32


def generate(model: NGram, words: int, seed: int = 0) -> str:
    """Sentences drawn from a model, one per line, until there are `words` words."""
    tables = model.tables
    chance = np.where(tables.log_prob > 0.9 * IMPOSSIBLE, np.exp(tables.log_prob), 0)
    mass = np.concatenate([[0.0], np.cumsum(chance.astype(np.float64))])
    numbers = np.zeros(words, np.int32)
    _draw(tables, mass, model.start, model.end, model.numbers.get(START, -1), seed, numbers)
    names = np.array(model.words, object)
    names[model.end] = "\n"
    return " ".join(names[numbers]).replace(" \n ", "\n")


@numba.njit
def _draw(
    tables: Tables, mass: Doubles, start: int, end: int, never: int, seed: int, out: Ints
) -> None:
    np.random.seed(seed)
    tried = np.zeros(MAX_CONTEXTS, np.int32)
    state = start
    for i in range(len(out)):
        context, depth, number = state, 0, -1
        while number < 0:
            first, last = tables.first[context], tables.first[context + 1]
            share = np.random.random() * (mass[last] - mass[first] if context == 0 else 1.0)
            node = first + np.searchsorted(mass[first + 1 : last + 1], mass[first] + share)
            if node == last:  # no child: back off
                tried[depth], depth, context = context, depth + 1, tables.suffix[context]
                continue
            number = tables.word[node]
            for longer in tried[:depth]:  # the longer contexts have their own chance for this word
                if number == never or find(tables.word, tables.first, longer, number) >= 0:
                    number = -1
                    break
        out[i] = number
        if number == end:
            state = start
            continue
        child = find(tables.word, tables.first, state, number)
        while child < 0:
            state = tables.suffix[state]
            child = find(tables.word, tables.first, state, number)
        state = tables.state[child]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="ARPA file to draw text from")
    parser.add_argument("--words", type=int, default=1_000_000)
    parser.add_argument("--order", type=int, default=3)
    arguments = parser.parse_args()
    began = time.perf_counter()
    text = generate(load_ngram(arguments.model), arguments.words)
    print(f"generated {arguments.words:,} words in {time.perf_counter() - began:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "text.txt", Path(folder) / "lm.arpa.gz"
        source.write_text(text)
        del text
        _measure(source, target, arguments.order)


def _measure(source: Path, target: Path, order: int) -> None:
    began = time.perf_counter()
    with source.open() as lines:
        corpus = read_corpus(lines, "word", str.lower)
    read = time.perf_counter()
    trained = train(corpus, order, "word")
    estimated = time.perf_counter()
    atomic_write(target, arpa_bytes(trained.model, compress=True))
    written = time.perf_counter()
    print(f"{corpus.tokens:,} words, {corpus.sentences:,} sentences; {trained.model.counts()}")
    print(
        f"read {read - began:.1f} s, estimate {estimated - read:.1f} s, "
        f"write {written - estimated:.1f} s, {target.stat().st_size / 1e6:.0f} MB, at most "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB of memory"
    )
    for name in ("load", "load from the cache"):
        began = time.perf_counter()
        load_ngram(target)
        print(f"{name}: {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
