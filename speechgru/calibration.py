"""Calibrating the confidence of words on a dev set, and measuring it.

Expected calibration error: the mean over words of |share of right words − mean confidence| of the
word's bin, of BINS of equal width (Naeini et al. 2015, "Obtaining well calibrated probabilities
using Bayesian binning"). Normalised cross entropy: NIST's, as sclite prints it; 0 for a constant
confidence, 1 for a perfect one.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.stats import rankdata

from speechgru.audio.segmentation import LONGEST, SHORTEST
from speechgru.decoding import Decoder, Emission
from speechgru.decoding.confidence import FORMAT, Calibration, logit, read_calibrations
from speechgru.decoding.references import match_references
from speechgru.decoding.words import LEAD, first_leads, least_probable, spell
from speechgru.errors import SpeechgruError
from speechgru.files import Json, read_json, write_json
from speechgru.manifest import Utterance
from speechgru.recognizer import OnProgress, Recognizer
from speechgru.scoring import score
from speechgru.text import Vocabulary

Doubles = npt.NDArray[np.float64]
BINS = 10
FEWEST_LEADS = 20  # beginnings of utterances from which a lead is estimated
LONGEST_LEAD = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Words:
    """Recognised words: logarithms of their raw confidences, and whether they are right; the leads
    of first words, in seconds; and utterances that cannot be read: id → reason."""

    log_probs: Doubles
    right: npt.NDArray[np.bool_]
    leads: Doubles
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quality:
    """How good confidences are: see the module. `auc`: the area under the ROC curve of "this word
    is wrong". `nce` and `auc` are NaN where all words are right, or all wrong; so is `ece` without
    words."""

    words: int
    wrong: int
    ece: float
    nce: float
    auc: float

    def to_json(self) -> Json:
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


def calibrate(words: Words, durations: Sequence[float] = ()) -> Calibration:
    """Platt's fit, with his targets that keep it finite without errors, and never upside down: a
    word that the model is surer of is not less probable; the lead; and, from the durations of
    utterances like those of the training set, how long a part of a long recording is at least."""
    count, wrong = len(words.right), int((~words.right).sum())
    if not count:
        raise SpeechgruError("no words were recognised: there is nothing to calibrate")
    x = logit(words.log_probs)
    targets = np.where(words.right, (count - wrong + 1) / (count - wrong + 2), 1 / (wrong + 2))

    def loss(line: Doubles) -> float:
        z = line[0] + line[1] * x
        return float((np.logaddexp(0, z) - targets * z).sum())

    line = minimize(loss, np.array([0.0, 1.0]), method="Nelder-Mead", bounds=[(-50, 50), (0, 50)])
    offset, slope = line.x
    lead = LEAD
    if len(words.leads) >= FEWEST_LEADS:
        lead = float(np.clip(np.median(words.leads), 0.0, LONGEST_LEAD))
    shortest = SHORTEST
    if len(durations):
        shortest = float(np.clip(np.median(durations) / 3, SHORTEST, LONGEST / 2))
    return Calibration(
        round(float(slope), 4), round(float(offset), 4), round(lead, 3), round(shortest, 1)
    )


def quality(confidences: Doubles, right: npt.NDArray[np.bool_]) -> Quality:
    """Of confidences in (0, 1)."""
    if not len(right):
        return Quality(0, 0, math.nan, math.nan, math.nan)
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    ece = 0.0
    for number in range(BINS):
        inside = bins == number
        if inside.any():
            ece += abs(float((right[inside] - confidences[inside]).sum())) / len(right)
    share = float(right.mean())
    wrong = int((~right).sum())
    nce = auc = math.nan
    if 0 < wrong < len(right):
        most = -float((len(right) - wrong) * math.log2(share) + wrong * math.log2(1 - share))
        found = np.log2(np.where(right, confidences, 1 - confidences)).sum()
        nce = (most + float(found)) / most
        ranks = rankdata(confidences)  # equal ones share their mean rank
        positive = len(right) - wrong
        above = float(ranks[right].sum()) - positive * (positive + 1) / 2
        auc = above / (positive * wrong)
    return Quality(len(right), wrong, ece, nce, auc)


def recognise_words(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    on_progress: OnProgress = lambda done, total, name: None,
) -> Words:
    """The words that the recogniser finds. Raises AudioError when no utterance can be read."""
    log_probs: list[float] = []
    right: list[bool] = []
    leads: list[float] = []
    failed: dict[str, str] = {}
    normalise = recognizer.checkpoint.normalise
    references = (normalise(utterance.text) for utterance in utterances)
    decoder = match_references(recognizer.decoder, references, normalise)
    for utterance, emission in recognizer.readable_emissions(utterances, failed, on_progress):
        vocabulary, texts = recognizer.checkpoint.vocabulary, []
        for section in emission.sections():
            for word, value in _words(decoder, vocabulary, section, leads):
                parts = normalise(word).split()  # e-mail: two words, as in the references
                texts += parts
                log_probs += [value] * len(parts)
        reference = normalise(utterance.text)
        scored = score([reference], [" ".join(texts)]).utterances[0]
        right += [mark == "" for _, word, mark, _ in scored.alignment if word]
    return Words(np.array(log_probs), np.array(right, bool), np.array(leads), failed)


def _words(
    decoder: Decoder, vocabulary: Vocabulary, section: Emission, leads: list[float]
) -> list[tuple[str, float]]:
    """The words of a section, each with the logarithm of its raw confidence; the lead of the first,
    in seconds, is added to `leads` if it is known."""
    hypothesis = decoder(section)
    words = spell(hypothesis, vocabulary)
    if words:
        leads += first_leads(section, hypothesis.frames[words[0].first])
    values = least_probable(section, hypothesis, words)
    return [(word.text, float(value)) for word, value in zip(words, values, strict=True)]


def write_calibration(path: Path, decoder: str, calibration: Calibration, measured: Json) -> None:
    """Write the calibration of one decoder, and how good it was; a file's others stay. Raises
    SpeechgruError."""
    known: dict[str, Calibration] = {}
    measurements: Json = {}
    if path.exists():
        known = read_calibrations(path)
        earlier = read_json(path, "a calibration").get("measured")
        measurements = earlier if isinstance(earlier, dict) else {}
    values = {name: each.to_json() for name, each in known.items()}
    values[decoder] = calibration.to_json()
    measurements[decoder] = measured
    write_json(path, {"format": FORMAT, "decoders": values, "measured": measurements})
