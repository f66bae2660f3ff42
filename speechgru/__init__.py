"""Train a small GRU, LSTM or RNN speech recogniser, transcribe with it, compare the cells.

>>> from speechgru import Recognizer
>>> Recognizer.load("runs/digits").transcribe("a.wav").text   # doctest: +SKIP
'seven zero three'

The public names are loaded on first use, so that `speechgru --help` needs no torch.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Recognizer", "SpeechgruError", "Transcript", "__version__", "read_manifest", "score"]

if TYPE_CHECKING:
    from speechgru.decoding import Transcript
    from speechgru.errors import SpeechgruError
    from speechgru.manifest import read_manifest
    from speechgru.recognizer import Recognizer
    from speechgru.scoring import score

_HOME = {
    "Recognizer": "recognizer",
    "Transcript": "decoding",
    "SpeechgruError": "errors",
    "read_manifest": "manifest",
    "score": "scoring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'speechgru' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"speechgru.{_HOME[name]}"), name)
