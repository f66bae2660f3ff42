"""ARPA files: written, read back, read by others, and broken in every way."""

import bz2
import contextlib
import gzip
import lzma
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.errors import LanguageModelError
from speechgru.lm.arpa import arpa_bytes, parse_arpa, read_arpa
from speechgru.lm.smoothing import train
from tests.lm.reference import Backoff
from tests.lm.texts import corpus, zipf_sentences

SMALL = """written by hand

\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-99\t<s>\t-0.3
-0.7\t</s>
-0.6\ta\t-0.2
-0.8\tb\t-0.1
-1.1\t<unk>

\\2-grams:
-0.4\t<s> a\t-0.25
-0.5\ta b\t-0.5
-0.2\tb </s>

\\3-grams:
-0.1\t<s> a b

\\end\\
"""
TEN = math.log(10)


def test_back_off_by_hand() -> None:
    model = parse_arpa(SMALL.encode())
    assert model.counts() == [5, 3, 1]
    assert model.scores(["a", "b"]) / TEN == pytest.approx([-0.4, -0.1, -0.5 - 0.2], abs=1e-6)
    assert model.scores(["b", "a"]) / TEN == pytest.approx(
        [-0.3 - 0.8, -0.1 - 0.6, -0.2 - 0.7], abs=1e-6
    )
    assert model.scores(["c"]) / TEN == pytest.approx([-0.3 - 1.1, -0.7], abs=1e-6)


@pytest.mark.parametrize("unit", ["word", "character"])
def test_the_unit_is_known_from_the_file(unit: str) -> None:
    written = arpa_bytes(train(corpus(["a b", "c"], unit), 2, unit).model, False)  # type: ignore[arg-type]
    assert parse_arpa(written).unit == unit


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_what_is_written_is_read(order: int, compress: bool, tmp_path: Path) -> None:
    sentences = zipf_sentences(100)
    model = train(corpus(sentences), order, "word").model
    path = tmp_path / "lm"
    path.write_bytes(arpa_bytes(model, compress))
    again, plain = read_arpa(path), Backoff(path)
    assert (again.words, again.order, again.counts()) == (model.words, order, model.counts())
    for sentence in [*zipf_sentences(50, seed=9, words=300), "never seen"]:
        words = sentence.split()
        assert again.scores(words) == pytest.approx(model.scores(words), abs=1e-5)
        assert again.scores(words) == pytest.approx(plain.sentence(words), abs=1e-5)


def test_shuffled_n_grams_and_windows_line_ends() -> None:
    lines = SMALL.splitlines()
    lines[8:13], lines[15:18] = lines[12:7:-1], lines[17:14:-1]
    shuffled = parse_arpa("\r\n".join(lines).encode())
    assert shuffled.scores(["a", "b"]) == pytest.approx(
        parse_arpa(SMALL.encode()).scores(["a", "b"])
    )


def test_a_byte_order_mark_is_skipped_and_a_binary_is_named() -> None:
    assert parse_arpa(SMALL.encode("utf-8-sig")).scores(["a"]) == pytest.approx(
        parse_arpa(SMALL.encode()).scores(["a"])
    )
    with pytest.raises(LanguageModelError, match="KenLM"):
        parse_arpa(b"mmap lm http://kheafield.com/code format version 5\n\0")


def test_missing_prefixes_and_suffixes_change_nothing(tmp_path: Path) -> None:
    """Some tools prune n-grams whose extensions they keep."""
    text = SMALL.replace("ngram 2=3", "ngram 2=1").replace("-0.4\t<s> a\t-0.25\n", "")
    text = text.replace("-0.5\ta b\t-0.5\n", "")
    (tmp_path / "lm").write_text(text)
    model, plain = parse_arpa(text.encode()), Backoff(tmp_path / "lm")
    for words in (["a", "b"], ["a", "a"], ["b", "a", "b"], []):
        assert model.scores(words) == pytest.approx(plain.sentence(words), abs=1e-5)


@pytest.mark.parametrize("impossible", ["", "-99\t<unk>\n", "-inf\t<UNK>\n"])
def test_the_rarest_word_stands_in_for_unknown_ones(impossible: str) -> None:
    text = SMALL.replace("-1.1\t<unk>\n", impossible)
    text = text if impossible else text.replace("ngram 1=5", "ngram 1=4")
    model = parse_arpa(text.encode())
    assert model.words[0] == "<unk>"
    assert model.scores(["c"]) / TEN == pytest.approx([-0.3 - 0.8, -0.7], abs=1e-6)


def test_scores_equal_kenlm(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    path = tmp_path / "lm.arpa"
    path.write_bytes(arpa_bytes(train(corpus(zipf_sentences(300)), 4, "word").model, False))
    model, other = read_arpa(path), kenlm.Model(str(path))
    for sentence in zipf_sentences(1000, seed=5, words=300):
        ours = model.scores(sentence.split()) / TEN
        theirs = [score for score, *_ in other.full_scores(sentence)]
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_the_english_model_equals_kenlm(real_data: Path, tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    path = tmp_path / "lm.arpa"
    path.write_bytes(gzip.decompress((real_data / "lm" / "en-us.arpa.gz").read_bytes()))
    model, other = read_arpa(path), kenlm.Model(str(path))
    rng = np.random.default_rng(0)
    names = [word for word in model.words if word not in ("<s>", "</s>", "<unk>")]
    for _ in range(1000):
        words = [names[i] for i in rng.zipf(1.2, 8) % len(names)]
        theirs = [score for score, *_ in other.full_scores(" ".join(words))]
        assert model.scores(words) / TEN == pytest.approx(theirs, abs=1e-5)


BROKEN = {
    "no data": "one two three\n",
    "no counts": SMALL.replace("ngram 1=5\nngram 2=3\nngram 3=1\n", ""),
    "counts in disorder": SMALL.replace("ngram 1=5\nngram 2=3", "ngram 2=3\nngram 1=5"),
    "too many announced": SMALL.replace("ngram 2=3", "ngram 2=4"),
    "too few announced": SMALL.replace("ngram 2=3", "ngram 2=2"),
    "absurd count": SMALL.replace("ngram 2=3", "ngram 2=300000000000"),
    "more digits than int() takes": SMALL.replace("ngram 2=3", f"ngram 2={'3' * 5000}"),
    "an order of more digits": SMALL.replace("ngram 2=3", f"ngram {'2' * 5000}=3"),
    "no number": SMALL.replace("-0.5\ta b", "x\ta b"),
    "nothing but a sign": SMALL.replace("-0.5\ta b", "-\ta b"),
    "too probable": SMALL.replace("-0.5\ta b", "0.5\ta b"),
    "not a number": SMALL.replace("-0.5\ta b", "nan\ta b"),
    "a word short": SMALL.replace("-0.5\ta b\t-0.5", "-0.5\ta"),
    "a word more": SMALL.replace("-0.5\ta b", "-0.5\ta b c"),
    "trailing words": SMALL.replace("-0.1\t<s> a b", "-0.1\t<s> a b\t-0.1 c"),
    "strange word": SMALL.replace("-0.5\ta b", "-0.5\ta c"),
    "unigram twice": SMALL.replace("-1.1\t<unk>", "-1.1\ta"),
    "bigram twice": SMALL.replace("-0.2\tb </s>", "-0.5\ta b"),
    "section missing": SMALL[: SMALL.index("\\2-grams:")] + "\\end\\\n",
    "cut short": SMALL[: SMALL.index("\\3-grams:")],
    "no end": SMALL.replace("\\end\\\n", ""),
    "empty": "",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text(BROKEN[kind])
    with pytest.raises(LanguageModelError, match=r"lm\.arpa") as error:
        read_arpa(path)
    assert "\n" not in str(error.value)


def test_the_line_of_a_mistake_is_named() -> None:
    with pytest.raises(LanguageModelError, match=r"line 17: .*x.*a b"):
        parse_arpa(BROKEN["no number"].encode())


def test_damaged_gzip_and_foreign_bytes(tmp_path: Path) -> None:
    whole = gzip.compress(SMALL.encode())
    for data in (whole[:-20], whole[:40] + b"xx" + whole[42:], SMALL.encode("utf-16")):
        (tmp_path / "lm").write_bytes(data)
        with pytest.raises(LanguageModelError):
            read_arpa(tmp_path / "lm")
    with pytest.raises(LanguageModelError):
        read_arpa(tmp_path / "missing")
    with pytest.raises(LanguageModelError):
        parse_arpa(SMALL.encode().replace(b"b", b"\xff"))


@given(st.integers(0, len(SMALL)), st.binary(max_size=3))
def test_no_damage_crashes_the_reader(position: int, change: bytes) -> None:
    data = SMALL.encode()
    data = data[:position] + change + data[position + len(change) :]
    with contextlib.suppress(LanguageModelError):
        assert parse_arpa(data).order == 3


def test_special_words_in_capitals() -> None:
    capitals = SMALL.replace("<s>", "<S>").replace("</s>", "</S>").replace("<unk>", "<UNK>")
    model = parse_arpa(capitals.encode())
    assert model.scores(["a", "c"]) == pytest.approx(parse_arpa(SMALL.encode()).scores(["a", "c"]))
    assert model.size == 2


def test_what_a_file_is_that_is_no_text(tmp_path: Path) -> None:
    for data, reason in (
        (bz2.compress(SMALL.encode()), "decompress"),
        (lzma.compress(SMALL.encode()), "decompress"),
        (SMALL.encode("utf-16"), "UTF-16"),
    ):
        with pytest.raises(LanguageModelError, match=reason):
            parse_arpa(data)
