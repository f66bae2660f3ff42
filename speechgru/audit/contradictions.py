"""Texts that a trained model contradicts: wrong labels, most likely.

The measure is a log-likelihood ratio per character: how much more likely, by CTC, the model's own
text is than the one in the manifest. It is near 0 where the two differ by what the model confuses
anyway, and large where the audio is of other words. docs/audit.md has the figures behind LIMIT.
"""

from collections.abc import Iterator, Sequence

import torch

from speechgru.audit.entries import Entry, OnProgress
from speechgru.audit.kinds import Problem
from speechgru.decoding import Emission
from speechgru.errors import SpeechgruError
from speechgru.recognizer import Recognizer
from speechgru.scoring import score
from speechgru.text import Vocabulary, frames_needed

LIMIT = 3.0  # nats per character


def contradictions(
    entries: Sequence[Entry], recognizer: Recognizer, on_progress: OnProgress
) -> Iterator[Problem]:
    """Problems of the entries that can be decoded: characters that the model lacks, in the order of
    the entries; then contradicted texts, worst first."""
    vocabulary, normalise = recognizer.checkpoint.vocabulary, recognizer.checkpoint.normalise
    texts = [normalise(entry.utterance.text) for entry in entries]
    known: list[tuple[Entry, str]] = []
    for entry, text in zip(entries, texts, strict=True):
        if unknown := vocabulary.unknown(text):
            yield entry.problem("outside-vocabulary", " ".join(sorted(unknown))[:60])
        elif text and entry.audio is not None:
            known.append((entry, text))
    found: list[tuple[float, Problem]] = []
    emissions = recognizer.emissions(entry.utterance for entry, _ in known)
    for number, ((entry, text), emission) in enumerate(zip(known, emissions, strict=True), 1):
        on_progress(number, len(known), entry.utterance.id)
        if isinstance(emission, SpeechgruError):
            continue  # reported by what its file is measured with
        if frames_needed(vocabulary.encode(text)) > len(emission.log_probs):
            continue  # text-too-long
        own = normalise(recognizer.decode(emission).text)
        ratio = likelihood_ratio(emission, vocabulary, own, text)
        if ratio > LIMIT:
            cer = score([text], [own]).cer
            detail = f"CER {cer:.0%}, {ratio:.1f} nats per character; recognised: {own[:80]!r}"
            found.append((ratio, entry.problem("contradicted", detail)))
    found.sort(key=lambda item: -item[0])
    yield from (problem for _, problem in found)


def likelihood_ratio(emission: Emission, vocabulary: Vocabulary, own: str, text: str) -> float:
    """ln p(own) − ln p(text) by CTC, per character of the longer one."""
    difference = _log_likelihood(emission, vocabulary, own) - _log_likelihood(
        emission, vocabulary, text
    )
    return difference / max(len(own), len(text), 1)


def _log_likelihood(emission: Emission, vocabulary: Vocabulary, text: str) -> float:
    log_probs = torch.tensor(emission.log_probs)[:, None]  # (frames, 1, tokens)
    tokens = torch.tensor(vocabulary.encode(text), dtype=torch.int64)
    lengths = torch.tensor([len(log_probs)]), torch.tensor([len(tokens)])
    loss = torch.nn.functional.ctc_loss(
        log_probs, tokens, *lengths, blank=vocabulary.blank, reduction="sum"
    )
    return -float(loss)
