"""Text normalisation and vocabularies."""

from speechgru.text.normalisation import describe, normalise
from speechgru.text.vocabulary import BLANK, Vocabulary

__all__ = ["BLANK", "Vocabulary", "describe", "normalise"]
