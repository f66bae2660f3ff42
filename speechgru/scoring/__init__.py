"""Word and character error rates, transcript files, and significance tests."""

from speechgru.scoring.breakdown import (
    Confusions,
    SpeakerScore,
    breakdown,
    by_speaker,
    confusions,
)
from speechgru.scoring.lines import TIDIED, tidy
from speechgru.scoring.listing import alignment_lines, superficial, worst
from speechgru.scoring.transcripts import Format, read_matched
from speechgru.scoring.trn import write_trn
from speechgru.scoring.wer import (
    Counts,
    Score,
    UtteranceScore,
    score,
    score_files,
    score_matched,
)

__all__ = [
    "TIDIED",
    "Confusions",
    "Counts",
    "Format",
    "Score",
    "SpeakerScore",
    "UtteranceScore",
    "alignment_lines",
    "breakdown",
    "by_speaker",
    "confusions",
    "read_matched",
    "score",
    "score_files",
    "score_matched",
    "superficial",
    "tidy",
    "worst",
    "write_trn",
]
