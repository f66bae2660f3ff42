"""How probable it is that a word is right.

The raw confidence of a word is the posterior probability of its least probable token. Of the
measures that were compared (docs/transcripts.md), it separates right words from wrong ones best.
Its logit is made a probability by a straight line, fitted on dev (Platt 1999, "Probabilistic
outputs for support vector machines").
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechgru.audio.segmentation import SHORTEST
from speechgru.decoding.words import LEAD
from speechgru.errors import SpeechgruError
from speechgru.files import Json, read_json

FILE = "calibration.json"
FORMAT = "speechgru-calibration-1"
LEAST, MOST = 1e-4, 1 - 1e-4  # of confidences: nothing is certain


@dataclass(frozen=True, slots=True)
class Calibration:
    """From raw confidence to probability, for one decoder; the model's lead in seconds (see
    `words`); and how many seconds a part of a long recording has before a pause ends it (see
    `speechgru.audio.segmentation`). The default changes nothing."""

    slope: float = 1.0
    offset: float = 0.0
    lead: float = LEAD
    shortest: float = SHORTEST

    def __call__(self, log_probs: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Probabilities that words are right, from LEAST to MOST, from the natural logarithms of
        raw confidences."""
        probabilities = 1 / (1 + np.exp(-(self.offset + self.slope * logit(log_probs))))
        return np.clip(probabilities, LEAST, MOST)

    def to_json(self) -> Json:
        return asdict(self)


def read_calibrations(path: Path) -> dict[str, Calibration]:
    """The calibrations in a file, by decoder: "greedy" or "beam". Raises SpeechgruError."""
    values = read_json(path, "a calibration")
    try:
        if values.get("format") != FORMAT:
            raise ValueError(f"expected the format {FORMAT}, found {values.get('format')!r:.40}")
        found = {}
        for name, numbers in values["decoders"].items():
            if not all(isinstance(number, int | float) for number in numbers.values()):
                raise ValueError(f"expected numbers, found {numbers!r:.60}")
            found[name] = Calibration(**numbers)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpeechgruError(
            f"{path}: {error}; run `speechgru calibrate` again, or delete the file"
        ) from None
    return found


def logit(log_probs: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """log p / (1 - p) of limited probabilities, from log p."""
    limited = np.clip(np.exp(np.asarray(log_probs, np.float64)), LEAST, MOST)
    result: npt.NDArray[np.float64] = np.log(limited / (1 - limited))
    return result
