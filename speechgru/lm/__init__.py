"""n-gram language models: reading, training, pruning and scoring them. No torch here."""

from speechgru.lm.ngram import NGram

__all__ = ["NGram"]
