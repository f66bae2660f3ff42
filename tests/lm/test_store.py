"""The cache of a language model: fast, never wrong, never in the way."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from speechgru.errors import LanguageModelError
from speechgru.lm import store
from speechgru.lm.arpa import arpa_bytes
from speechgru.lm.smoothing import train
from speechgru.lm.store import load_ngram
from tests.lm.texts import corpus, zipf_sentences


@pytest.fixture
def arpa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    path = tmp_path / "models" / "lm.arpa.gz"
    path.parent.mkdir()
    write(path, 0)
    return path


def write(path: Path, seed: int) -> None:
    path.write_bytes(arpa_bytes(train(corpus(zipf_sentences(30, seed)), 3, "word").model, True))


def never(path: object) -> None:
    raise AssertionError("the ARPA file was read again")


def test_the_second_load_does_not_read_the_file(
    arpa: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_ngram(arpa)
    monkeypatch.setattr(store, "read_arpa", never)
    second = load_ngram(arpa)
    assert (first.words, first.order, first.unit) == (second.words, second.order, second.unit)
    for a, b in zip(first.tables, second.tables, strict=True):
        assert np.array_equal(a, b)
        assert b.flags.writeable  # compiled code is made for one kind of array


def test_a_changed_file_is_read_anew(arpa: Path) -> None:
    before = load_ngram(arpa).counts()
    write(arpa, 1)
    assert load_ngram(arpa).counts() != before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(arpa: Path) -> None:
    arpa.parent.chmod(0o500)
    load_ngram(arpa)


def test_without_a_place_next_to_the_file(
    arpa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (arpa.parent / "lm.arpa.gz.cache").mkdir()  # so that no file can be written there
    load_ngram(arpa)
    assert len(list((tmp_path / "user").rglob("*.cache"))) == 1
    monkeypatch.setattr(store, "read_arpa", never)
    load_ngram(arpa)


def test_without_any_place(arpa: Path, tmp_path: Path) -> None:
    (arpa.parent / "lm.arpa.gz.cache").mkdir()
    (tmp_path / "user").write_text("a file")
    assert load_ngram(arpa).order == 3


@pytest.mark.parametrize("kind", ["cut", "empty", "foreign", "indices", "types", "words"])
def test_a_damaged_cache_is_made_anew(arpa: Path, kind: str) -> None:
    expected = load_ngram(arpa)
    cache = arpa.parent / "lm.arpa.gz.cache"
    data = cache.read_bytes()
    if kind == "cut":
        cache.write_bytes(data[: len(data) // 2])
    elif kind == "empty":
        cache.write_bytes(b"")
    elif kind == "foreign":
        cache.write_bytes(b"\x80\x04K\x01." * 100)
    else:
        with store.safe_open(cache, framework="numpy") as file:
            notes = file.metadata()
        arrays = load_file(cache)
        if kind == "indices":
            arrays["suffix"][5] = 1 << 30
        elif kind == "types":
            arrays["word"] = arrays["word"].astype(np.int64)
        else:
            arrays["words"] = arrays["words"][:10]
        save_file(arrays, cache, notes)
    model = load_ngram(arpa)
    assert model.words == expected.words
    assert np.array_equal(model.tables.suffix, expected.tables.suffix)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=r"none\.arpa"):
        load_ngram(tmp_path / "none.arpa")


def test_the_compressed_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.arpa.gz").write_bytes(b"")
    with pytest.raises(LanguageModelError, match=r"a\.arpa: .*; there is .*a\.arpa\.gz"):
        load_ngram(tmp_path / "a.arpa")
