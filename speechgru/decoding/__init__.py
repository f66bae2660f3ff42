"""From emissions to token sequences: NumPy and a vocabulary, no torch, audio or files.

A decoder is one module and one line in `DECODERS`.
"""

from collections.abc import Callable
from typing import Any, Protocol

from speechgru.decoding.beam import BeamSearch
from speechgru.decoding.emission import Emission
from speechgru.decoding.greedy import Greedy
from speechgru.decoding.hypothesis import Hypothesis
from speechgru.decoding.transcript import Transcript, Word
from speechgru.errors import SpeechgruError
from speechgru.text import Vocabulary


class Decoder(Protocol):
    """Finds the token sequence of an emission over the vocabulary the decoder was made for."""

    def __call__(self, emission: Emission) -> Hypothesis: ...

    def start(self) -> Any:
        """A search that is fed piece by piece: `feed(log_probs)`, `nbest(n)` hypotheses."""

    def finish(self, search: Any, emission: Emission) -> Hypothesis:
        """The result of a search that was fed the emission."""


DECODERS: dict[str, Callable[[Vocabulary], Decoder]] = {
    "greedy": Greedy,
    "beam": BeamSearch,
}


def make_decoder(name: str, vocabulary: Vocabulary) -> Decoder:
    """The decoder of this name. Raises SpeechgruError for an unknown one."""
    if name not in DECODERS:
        raise SpeechgruError(f"decoder {name!r}: expected one of {', '.join(DECODERS)}")
    return DECODERS[name](vocabulary)


__all__ = [
    "DECODERS",
    "BeamSearch",
    "Decoder",
    "Emission",
    "Greedy",
    "Hypothesis",
    "Transcript",
    "Word",
    "make_decoder",
]
