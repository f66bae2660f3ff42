"""Text normalisation and vocabularies."""

from speechgru.text.normalisation import describe, normalise
from speechgru.text.vocabulary import BLANK, Vocabulary, frames_needed

__all__ = ["BLANK", "Vocabulary", "describe", "frames_needed", "normalise"]
