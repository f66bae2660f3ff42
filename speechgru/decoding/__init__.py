"""From log-probabilities (NumPy) and a vocabulary to tokens. No torch, audio or files here."""

from speechgru.decoding.greedy import greedy

__all__ = ["greedy"]
