"""Word and character error rates, transcript files, and significance tests."""

from speechgru.scoring.trn import TIDIED, tidy, write_trn
from speechgru.scoring.wer import (
    Counts,
    Score,
    UtteranceScore,
    aligned_words,
    alignment_lines,
    plural,
    score,
    score_files,
    worst,
)

__all__ = [
    "TIDIED",
    "Counts",
    "Score",
    "UtteranceScore",
    "aligned_words",
    "alignment_lines",
    "plural",
    "score",
    "score_files",
    "tidy",
    "worst",
    "write_trn",
]
