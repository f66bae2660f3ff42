"""Loading a language model fast: its arrays are kept in a binary file beside the ARPA file.

The cache is a safetensors file (no pickle) with the SHA-256 digest of the ARPA file it was made
from; it is made anew when that has changed, or when the cache is damaged. Where the folder cannot
be written, the cache goes to the user's cache folder.
"""

import hashlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from speechgru.errors import LanguageModelError, SpeechgruError
from speechgru.files import atomic_write
from speechgru.lm.arpa import read_arpa
from speechgru.lm.ngram import MAX_ORDER, NGram, Tables
from speechgru.misspelt import why_unreadable

log = logging.getLogger(__name__)
FORMAT = "speechgru n-gram 2"


def load_ngram(path: str | Path) -> NGram:
    """The model in an ARPA file, from the cache where that is up to date.

    Raises LanguageModelError as `read_arpa` does.
    """
    digest = file_digest(path)
    for cache in _caches(Path(path), digest):
        if (model := _read_cache(cache, digest)) is not None:
            return model
    model = read_arpa(path)
    data = _cache_bytes(model, digest)
    for cache in _caches(Path(path), digest):
        with suppress(SpeechgruError):
            atomic_write(cache, data)
            return model
    log.info("%s: no folder to keep a cache in; the file is read again each time", path)
    return model


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content. Raises LanguageModelError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be read: {why_unreadable(path, error)}") from None


def _caches(path: Path, digest: str) -> Iterator[Path]:
    """Where the cache may be: beside the file, and in the user's cache folder."""
    yield path.with_name(path.name + ".cache")
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    yield folder / "speechgru" / "lm" / f"{digest[:32]}.cache"


def _cache_bytes(model: NGram, digest: str) -> bytes:
    arrays = dict(model.tables._asdict())
    arrays["words"] = np.frombuffer("\n".join(model.words).encode(), np.uint8)
    notes = {"format": FORMAT, "digest": digest, "order": str(model.order), "unit": model.unit}
    return save(arrays, notes)


def _read_cache(path: Path, digest: str) -> NGram | None:
    """The model in a cache file; None when there is no such file, or it is of another ARPA file,
    of another version or damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            notes = file.metadata() or {}
            if notes.get("format") != FORMAT or notes.get("digest") != digest:
                return None
            arrays = {name: np.array(file.get_tensor(name)) for name in (*Tables._fields, "words")}
        words = tuple(arrays.pop("words").tobytes().decode().split("\n"))
        model = NGram(words, int(notes["order"]), notes["unit"], Tables(**arrays))
        return model if _consistent(model) else None
    except (OSError, SafetensorError, UnicodeDecodeError, KeyError, ValueError, TypeError):
        return None


def _consistent(model: NGram) -> bool:
    """Whether no look-up can leave the arrays, which compiled code does not check."""
    word, log_prob, back_off, first, suffix, state = model.tables
    n, contexts = len(word), len(back_off)
    kinds = [(array.dtype, array.ndim) for array in model.tables]
    ints, floats = (np.dtype(np.int32), 1), (np.dtype(np.float32), 1)
    return (
        kinds == [ints, floats, floats, ints, ints, ints]
        and n == len(log_prob) == len(suffix) == len(state)
        and n > len(model.words) > 0
        and 1 <= model.order <= MAX_ORDER
        and len(first) == contexts + 1
        and bool(first[0] == 1 and first[1] == 1 + len(model.words) and first[-1] == n)
        and bool(np.all(np.diff(first) >= 0))
        and bool(np.all((word >= 0) & (word < len(model.words))))
        and bool(np.all((suffix >= 0) & (suffix[:1] == 0)))
        and bool(np.all(suffix[1:] < np.arange(1, n)))
        and bool(np.all((state >= 0) & (state < contexts)))
    )
