"""Small texts with the statistics of language: few words are frequent, most are rare."""

import numpy as np

import speechgru.lm.counting as counting
from speechgru.lm.counting import Corpus


def zipf_sentences(count: int, seed: int = 0, words: int = 200) -> list[str]:
    """Sentences whose words depend on the word before."""
    rng = np.random.default_rng(seed)
    sentences = []
    for _ in range(count):
        word, sentence = 0, []
        for _ in range(int(rng.integers(1, 9))):
            word = (7 * word + int(rng.zipf(1.4))) % words if rng.random() < 0.7 else word + 1
            sentence.append(f"w{word % words}")
        sentences.append(" ".join(sentence))
    return sentences


def corpus(sentences: list[str], unit: str = "word") -> Corpus:
    return counting.read_corpus(sentences, unit, str)  # type: ignore[arg-type]
