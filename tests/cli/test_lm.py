"""`speechgru lm`: what its commands print and write."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speechgru.lm.arpa import read_arpa


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("One two, three.\none two\nthree!\n\n")
    return path


def test_train_perplexity_and_info(
    speechgru: Callable[..., Any], text: Path, tmp_path: Path
) -> None:
    lm = tmp_path / "lm.arpa.gz"
    done = speechgru("lm", "train", text, "--out", lm)
    assert (done.status, done.err) == (0, "")
    assert gzip.decompress(lm.read_bytes()).startswith(b"\\data\\")
    assert set(read_arpa(lm).words) == {"<unk>", "<s>", "</s>", "one", "two", "three"}
    assert "Witten–Bell" in done.out
    (tmp_path / "dev.txt").write_text("one four\n")
    done = speechgru("lm", "perplexity", lm, tmp_path / "dev.txt")
    assert done.status == 0
    assert "'four' ×1" in done.out
    done = speechgru("lm", "info", lm, "--text", tmp_path / "dev.txt")
    assert done.status == 0
    assert "50.00 %" in done.out


def test_the_models_rule_and_letters(
    speechgru: Callable[..., Any], tone_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("AM mo XO\n")
    lm = tmp_path / "lm.arpa"
    assert speechgru("lm", "train", tmp_path / "text", "--out", lm, "-m", tone_run).status == 0
    assert "am" in read_arpa(lm).words
    done = speechgru("lm", "info", lm, "--model", tone_run)
    assert "1 of 3" in done.out
    assert "'x'" in done.out


def test_manifests_characters_vocabulary_and_pruning(
    speechgru: Callable[..., Any], tones: Path, tmp_path: Path
) -> None:
    train, lm = tones / "train.jsonl", tmp_path / "lm.arpa"
    assert speechgru("lm", "train", train, "--out", lm, "--unit", "character").status == 0
    assert read_arpa(lm).unit == "character"
    (tmp_path / "words").write_text("am\nmo\n")
    done = speechgru("lm", "train", train, "--out", lm, "--vocabulary", tmp_path / "words")
    assert read_arpa(lm).size == 2
    assert "not in the vocabulary" in done.out
    full = read_arpa(lm).counts()
    assert speechgru("lm", "train", train, "--out", lm, "--prune", "0.01").status == 0
    assert sum(read_arpa(lm).counts()[1:]) < sum(full[1:])


@pytest.mark.parametrize(
    ("unit", "words"),
    [("word", {"new", "york", "one", "7"}), ("character", {"<space>", *"newyorko7"})],
)
def test_phrases_and_written_forms_of_a_vocabulary(
    unit: str, words: set[str], speechgru: Callable[..., Any], tmp_path: Path
) -> None:
    text, vocabulary, lm = (tmp_path / name for name in ("text", "words", "lm.arpa"))
    text.write_text("one in New York\n7 in ONE\n")
    vocabulary.write_text("New York\tnew york\nOne\tone\n7\tseven\n")
    arguments = ("--vocabulary", vocabulary, "--unit", unit, "--out", lm)
    done = speechgru("lm", "train", text, *arguments)
    assert (done.status, "2 of them" in done.out) == (0, True)  # "in" or "i", twice
    assert set(read_arpa(lm).words) == {"<unk>", "<s>", "</s>", *words}


def test_a_long_order_is_no_error(
    speechgru: Callable[..., Any], text: Path, tmp_path: Path
) -> None:
    done = speechgru("lm", "train", text, "--out", tmp_path / "lm.arpa", "--order", 12)
    assert done.status == 0
    assert "order 5" in done.err


def test_a_text_without_words_is_named(speechgru: Callable[..., Any], tmp_path: Path) -> None:
    empty, lm = tmp_path / "nothing.txt", tmp_path / "lm.arpa"
    empty.write_text("!!!\n\n")
    assert "nothing.txt" in speechgru("lm", "train", empty, "--out", lm).err
    assert not lm.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["train", "{text}", "--out", "{folder}"],
        ["train", "{folder}/none.txt", "--out", "{folder}/lm.arpa"],
        ["train", "{empty}", "--out", "{folder}/lm.arpa"],
        ["train", "{text}", "--out", "{folder}/lm.arpa", "--unit", "phone"],
        ["perplexity", "{text}", "{text}"],
        ["info", "{empty}"],
    ],
)
def test_mistakes_are_one_line(
    words: list[str], speechgru: Callable[..., Any], text: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text(" \n")
    places = {"text": str(text), "folder": str(tmp_path), "empty": str(tmp_path / "empty")}
    done = speechgru("lm", *(word.format(**places) for word in words))
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_an_output_never_replaces_an_input(
    speechgru: Callable[..., Any], text: Path, tones: Path, tone_run: Path, tmp_path: Path
) -> None:
    before = text.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(text)
    for out in (text, link, "-", "/dev/stdout"):
        assert speechgru("lm", "train", text, "--out", out).status == 2
    dev = tmp_path / "dev.jsonl"
    dev.write_bytes((tones / "dev.jsonl").read_bytes())
    for command in (
        ("tune", dev, "-m", tone_run, "--vocabulary", text, "--out", text),
        ("tune", dev, "-m", tone_run, "--vocabulary", text, "--out", dev),
        ("evaluate", dev, "-m", tone_run, "--json", dev),
        ("score", text, link, "--json", text),
        ("significance", text, link, f"{dev},{link}", "--json", dev),
    ):
        done = speechgru(*command)
        assert (done.status, "input" in done.err) == (2, True), command
    assert (text.read_bytes(), dev.read_bytes()) == (before, (tones / "dev.jsonl").read_bytes())


def test_a_model_of_text_in_capitals_knows_the_normal_words(
    speechgru: Callable[..., Any], text: Path, tmp_path: Path
) -> None:
    lm = tmp_path / "lm.arpa"
    assert speechgru("lm", "train", text, "--out", lm).status == 0
    plain = speechgru("lm", "perplexity", lm, text).out
    lm.write_text(lm.read_text().upper().replace("NGRAM", "ngram").replace("GRAMS", "grams")
                  .replace("DATA", "data").replace("END", "end"))  # fmt: skip
    assert "<S>" in lm.read_text()
    assert speechgru("lm", "perplexity", lm, text).out == plain


def test_the_space_of_a_character_model_can_be_written(
    speechgru: Callable[..., Any], tone_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("am mo\n")
    lm = tmp_path / "lm.arpa"
    arguments = ("--unit", "character", "--out", lm)
    assert speechgru("lm", "train", tmp_path / "text", *arguments).status == 0
    assert "0 of 3" in speechgru("lm", "info", lm, "--model", tone_run).out
