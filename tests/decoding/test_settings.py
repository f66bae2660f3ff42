"""decoding.yaml, what a command line changes, and files that do not fit."""

from pathlib import Path

import numpy as np
import pytest

from speechgru.decoding import Emission
from speechgru.decoding.settings import (
    FILE,
    Decoding,
    choose_decoding,
    load_decoder,
    read_decoding,
    write_decoding,
)
from speechgru.errors import LanguageModelError
from speechgru.lm.arpa import arpa_bytes
from speechgru.lm.smoothing import train
from speechgru.text import Vocabulary
from tests.lm.texts import corpus

LETTERS = Vocabulary.from_texts(["abno e"])
TEXT = ["no one", "one", "an", "on"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder as of a run, with an n-gram file and a word list in it."""
    folder = tmp_path / "run"
    folder.mkdir()
    lm = train(corpus(TEXT), 2, "word").model
    (folder / "lm.arpa").write_bytes(arpa_bytes(lm, compress=False))
    (folder / "words").write_text("one\nno\n")
    return folder


def spoken(text: str) -> Emission:
    rows = np.full((2 * len(text), len(LETTERS)), -9.0, np.float32)
    rows[1::2, 0] = 0
    for place, token in enumerate(LETTERS.encode(text)):
        rows[2 * place, token] = 0
    return Emission(rows, 0.04)


def test_what_is_written_is_read(run: Path, tmp_path: Path) -> None:
    given = Decoding(lm_weight=0.35, unknown_cost=None, beam=25).changed(run / "lm.arpa")
    write_decoding(run / FILE, given, "chosen\non dev")
    found = read_decoding(run / FILE)
    assert found.lm == str(run / "lm.arpa")
    assert found.lm_sha256 is not None
    assert (found.lm_weight, found.unknown_cost, found.beam) == (0.35, None, 25)
    run.rename(tmp_path / "moved")  # a model in the same folder moves with the settings
    load_decoder(read_decoding(tmp_path / "moved" / FILE), LETTERS, str)


@pytest.mark.parametrize("name", ["1e3", "08", "no", "null", "wörter", "a\x85b"])
def test_names_that_yaml_could_read_as_something_else(name: str, run: Path) -> None:
    (run / name).write_text("one\n")
    write_decoding(run / FILE, Decoding().changed(vocabulary=run / name), "")
    assert read_decoding(run / FILE).vocabulary == str(run / name)


def test_files_elsewhere_are_named_in_full(run: Path, tmp_path: Path) -> None:
    write_decoding(tmp_path / "other" / FILE, Decoding().changed(run / "lm.arpa"), "")
    assert read_decoding(tmp_path / "other" / FILE).lm == str(run / "lm.arpa")


def test_which_settings_are_used(run: Path, tmp_path: Path) -> None:
    assert choose_decoding(run) is None
    assert choose_decoding(run / "model.safetensors") is None
    hot = choose_decoding(run, hotwords="ann")
    assert hot is not None
    assert (hot.lm, hot.vocabulary, hot.word_score) == (None, None, 0)
    write_decoding(run / FILE, Decoding(lm_weight=0.3).changed(run / "lm.arpa"), "")
    write_decoding(tmp_path / "mine.yaml", Decoding(lm_weight=0.9), "")
    for model in (run, run / "model.safetensors"):
        found = choose_decoding(model)
        assert found is not None
        assert found.lm_weight == 0.3
    mine = choose_decoding(run, tmp_path / "mine.yaml")
    assert mine is not None
    assert mine.lm_weight == 0.9
    other = choose_decoding(run, lm=tmp_path / "else.arpa", vocabulary=run / "words")
    assert other is not None
    assert (other.lm_weight, other.lm, other.lm_sha256) == (0.3, str(tmp_path / "else.arpa"), None)
    assert (other.vocabulary, other.unknown_cost) == (str(run / "words"), None)


def test_a_language_model_that_changed_or_is_gone(run: Path) -> None:
    write_decoding(run / FILE, Decoding().changed(run / "lm.arpa", run / "words"), "")
    load_decoder(read_decoding(run / FILE), LETTERS, str)
    words = (run / "words").read_text()
    (run / "words").write_text("an\n")
    with pytest.raises(LanguageModelError, match="words"):
        load_decoder(read_decoding(run / FILE), LETTERS, str)
    (run / "words").write_text(words)
    (run / "lm.arpa").write_bytes((run / "lm.arpa").read_bytes() + b"\n")
    with pytest.raises(LanguageModelError, match=r"lm\.arpa"):
        load_decoder(read_decoding(run / FILE), LETTERS, str)
    (run / "lm.arpa").unlink()
    with pytest.raises(LanguageModelError, match=r"lm\.arpa"):
        load_decoder(read_decoding(run / FILE), LETTERS, str)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "{",
        "beam: 0",
        "beam: many",
        "lm_weight: -1",
        "lmweight: 1",
        "beam: .nan",
        "\x00",
        "beam: 1\nbeam: 2",
        "a: &a [1]\nb: *a",
    ],
)
def test_broken_settings(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(LanguageModelError, match=FILE) as error:
        read_decoding(tmp_path / FILE)
    assert "\n" not in str(error.value)
    with pytest.raises(LanguageModelError, match="none"):
        read_decoding(tmp_path / "none")


def test_words_of_the_language_model_and_others(run: Path) -> None:
    decoding = Decoding(unknown_cost=1.0).changed(run / "lm.arpa")
    open_, closed = (
        load_decoder(each, LETTERS, str)
        for each in (decoding, decoding.model_copy(update={"unknown_cost": None}))
    )
    assert open_(spoken("bee")).text == "bee"
    assert set((closed(spoken("bee")).text or "").split()) <= {"no", "one", "an", "on"}
    only = load_decoder(decoding.changed(vocabulary=run / "words"), LETTERS, str)
    assert only(spoken("on")).text in {"one", "no"}


def test_a_language_model_in_capitals(run: Path) -> None:
    lm = train(corpus([text.upper() for text in TEXT]), 2, "word").model
    (run / "lm.arpa").write_bytes(arpa_bytes(lm, compress=False))
    decoding = Decoding(unknown_cost=None).changed(run / "lm.arpa")
    assert load_decoder(decoding, LETTERS, str.lower)(spoken("no one")).text == "no one"


def test_a_character_model_in_capitals_and_what_it_lacks(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = []
    for text in (TEXT, [text.upper() for text in TEXT]):
        lm = train(corpus(text, "character"), 2, "character").model
        (run / "lm.arpa").write_bytes(arpa_bytes(lm, compress=False))
        decoder = load_decoder(Decoding().changed(run / "lm.arpa"), LETTERS, str.lower)
        found.append(decoder(spoken("no one")))
    small, capitals = found
    assert LETTERS.decode(capitals.tokens) == "no one"
    assert capitals.lm == pytest.approx(small.lm)
    assert [r.getMessage().rpartition(": ")[2] for r in caplog.records] == ["b", "b"]


@pytest.mark.parametrize("unit", ["word", "character"])
def test_another_alphabet(run: Path, unit: str) -> None:
    lm = train(corpus(["один два", "два"], unit), 2, unit).model  # type: ignore[arg-type]
    (run / "lm.arpa").write_bytes(arpa_bytes(lm, compress=False))
    with pytest.raises(LanguageModelError, match=r"lm\.arpa"):
        load_decoder(Decoding().changed(run / "lm.arpa"), LETTERS, str.lower)
    (run / "words").write_text("один\n")
    with pytest.raises(LanguageModelError, match="words"):
        load_decoder(Decoding().changed(vocabulary=run / "words"), LETTERS, str.lower)


def test_excluded_words_are_named(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    (run / "words").write_text("one\nöne\n1\n")
    load_decoder(Decoding().changed(vocabulary=run / "words"), LETTERS, str)
    (record,) = caplog.records
    assert "2 of 3" in record.getMessage()
    assert "öne, 1" in record.getMessage()
    (run / "words").write_text("one\n")
    load_decoder(Decoding().changed(vocabulary=run / "words"), LETTERS, str)
    assert len(caplog.records) == 1


def test_hot_words_become_words(run: Path) -> None:
    decoding = Decoding(unknown_cost=50.0).changed(run / "lm.arpa")
    assert load_decoder(decoding, LETTERS, str)(spoken("bob")).text != "bob"
    assert load_decoder(decoding, LETTERS, str, "bob:2")(spoken("bob")).text == "bob"
    with pytest.raises(LanguageModelError, match="bob"):
        load_decoder(decoding.changed(vocabulary=run / "words"), LETTERS, str, "bob")


def test_hot_words_that_cannot_be_written_are_excluded(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for vocabulary in (None, run / "words"):
        caplog.clear()
        decoding = Decoding().changed(vocabulary=vocabulary)
        decoder = load_decoder(decoding, LETTERS, str, "zürich, no one")
        assert list(decoder.hotwords) == ["no one"]
        (record,) = caplog.records
        assert "zürich" in record.getMessage()
        with pytest.raises(LanguageModelError, match="zürich"):
            load_decoder(decoding, LETTERS, str, "zürich")


def test_hot_words_are_known_by_word_phrase_and_spelling(run: Path) -> None:
    (run / "words").write_text("no one\tno one\n1\tone\nBee\tbee\n")
    decoding = Decoding().changed(vocabulary=run / "words")
    for hotwords in ("no one", "1", "one", "bee"):
        load_decoder(decoding, LETTERS, str.lower, hotwords)
    with pytest.raises(LanguageModelError, match="no"):
        load_decoder(decoding, LETTERS, str.lower, "no")


def test_words_that_are_written_in_capitals_are_those_of_the_language_model(run: Path) -> None:
    (run / "words").write_text("No\tno\nOne\tone\n")
    decoder = load_decoder(Decoding().changed(run / "lm.arpa", run / "words"), LETTERS, str.lower)
    assert decoder.lexicon is not None
    assert all(decoder.lexicon.numbers > 0)


def test_a_language_model_without_influence(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    (run / FILE).write_text("lm_weight: 0\nvocabulary: words\n")
    assert choose_decoding(run) is not None
    assert not caplog.records
    choose_decoding(run, lm=run / "lm.arpa")
    assert "lm_weight" in caplog.records[-1].getMessage()
    (run / "words").write_text("ben\nbea\none\n")
    load_decoder(Decoding().changed(run / "lm.arpa", run / "words"), LETTERS, str)
    assert "1 of the 3 words" in caplog.records[-1].getMessage()
    lm = train(corpus(["o n e", "n o"]), 2, "word").model
    (run / "lm.arpa").write_bytes(arpa_bytes(lm, compress=False))
    load_decoder(Decoding().changed(run / "lm.arpa"), LETTERS, str)
    assert "single characters" in caplog.records[-1].getMessage()
