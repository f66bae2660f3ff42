"""Reading text, and perplexity."""

import gzip
import json
import math
from pathlib import Path

import pytest

from speechgru.errors import LanguageModelError, ManifestError
from speechgru.lm.arpa import parse_arpa
from speechgru.lm.counting import read_corpus
from speechgru.lm.ngram import Unit
from speechgru.lm.sentences import read_sentences
from speechgru.lm.smoothing import train
from speechgru.lm.text import measure, read_lines
from tests.lm.texts import corpus, zipf_sentences


def test_text_gzip_and_manifests(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffone\ntwo\n", encoding="utf-8")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"drei\nvier"))
    line = {"audio_filepath": "x.wav", "duration": 1.0, "text": "five six"}
    (tmp_path / "c.jsonl").write_text(json.dumps(line) + "\n")
    lines = read_lines([tmp_path / name for name in ("a.txt", "b.gz", "c.jsonl")])
    assert [line for line in lines if line] == ["one", "two", "drei", "vier", "five six"]


def test_unreadable_texts_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("one\ngrün\n".encode("latin-1"))
    (tmp_path / "broken.jsonl").write_text('{"text": \n')
    for name, error in (
        ("latin", LanguageModelError),
        ("missing", LanguageModelError),
        (".", LanguageModelError),
        ("broken.jsonl", ManifestError),
    ):
        with pytest.raises(error, match=name):
            list(read_lines([tmp_path / name]))
    with pytest.raises(LanguageModelError, match="latin:2"):
        list(read_lines([tmp_path / "latin"]))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("anna-1 yes\nanna-2 no\nbert-1\tyes no\n", "Kaldi text"),
        ("anna-1 yes\nanna-2 no\n", "Kaldi text"),
        ("BAC009S0002W0122 yes\nBAC009S0002W0123 no\nBAC009S0002W0124 no\n", "Kaldi text"),
        ("yes (anna-1)\nno (anna-2)\n(bert-1)\n", "trn"),
        ("r A anna 0.0 1.5 yes\nr A anna 1.5 2.0\nr A bert 2.0 3.5 no\n", "stm"),
        ("r A 0.1 0.2 yes\nr A 0.3 0.2 no\nr A 0.6 0.2 no\n", "ctm"),
        ("1\n00:00:01,000 --> 00:00:02,000\nyes\n", "subtitles"),
        ("\\data\\\nngram 1=1\n\n\\1-grams:\n-1 yes\n\n\\end\\\n", "an ARPA"),
        ("client_id\tpath\tsentence\n1\tx.mp3\tyes\n", "a table"),
        ("Aufnahme;Text\n1.m4a;Ja.\n2.m4a;Nein.\n", "a table"),
        ("anna/1 b.wav,yes\n", "a table"),
        ("LJ001-0001|Yes.|yes\nLJ001-0002|No.|no\n", "a table"),
    ],
)
def test_a_text_with_ids_or_times_is_refused(tmp_path: Path, text: str, kind: str) -> None:
    (tmp_path / "text").write_text(text)
    with pytest.raises(LanguageModelError, match=kind):
        list(read_sentences([tmp_path / "text"]))


@pytest.mark.parametrize(
    "text",
    [
        "covid-19 is back\nyes\nno\n",
        "SW1A 1AA\nB33 8TH\nM1 1AE\n",
        "a.wav is a file; yes\nyes | no\n",
        "555-1234\n555-2345\n555-3456\n",
        "yes (laughs)\nno (coughs)\nwell (sighs)\n",
        "SPEAKER PELOSI TAKES THE FLOOR\nTHE HOUSE WILL BE IN ORDER\n",
        "\n我的电话是13812345678\n今天是2024年1月1日星期一\n在2023年12月31日 见面\n",
    ],
)
def test_sentences_with_numbers_and_parentheses_are_sentences(tmp_path: Path, text: str) -> None:
    (tmp_path / "text").write_text(text, encoding="utf-8")
    assert list(read_sentences([tmp_path / "text"])) == text.split("\n")


def test_a_letter_is_no_sentence_end() -> None:
    model = train(corpus(["a b"]), 2, "word").model
    found = measure(model, ["a b s"], lambda line: line.replace("</s>", "s"))
    assert found.unknown == 1


def test_words_in_normal_form() -> None:
    model = train(corpus(["NASA Nasa Paris paris 's S"]), 2, "word").model
    normal = model.in_normal_form(lambda word: word.strip("'</>").lower())
    expected = {"NASA": "nasa", "Nasa": "Nasa", "Paris": "Paris", "'s": "s", "S": "S"}
    assert normal.words == tuple(expected.get(word, word) for word in model.words)
    assert normal.number("nasa") == model.number("NASA")
    assert normal.number("</s>") == model.number("</s>")


def test_perplexity_by_hand() -> None:
    model = train(corpus(["a", "a", "b"]), 1, "word").model
    found = measure(model, ["a", "x a", "", "x"], str)
    probability = {word: math.exp(model.scores([word], end=False)[0]) for word in ("a", "x")}
    end = math.exp(model.scores([])[0])
    known = 2 * math.log(probability["a"]) + 3 * math.log(end)
    assert (found.sentences, found.units, found.unknown) == (3, 4, 2)
    assert found.worst == (("x", 2),)
    assert found.unknown_rate == 0.5
    assert found.perplexity == pytest.approx(math.exp(-known / 5))
    assert found.with_unknown == pytest.approx(
        math.exp(-(known + 2 * math.log(probability["x"])) / 7)
    )


def test_a_model_without_sentence_ends_is_measured_on_words_alone() -> None:
    model = parse_arpa(b"\\data\\\nngram 1=2\n\n\\1-grams:\n-0.5\ta\n-0.3\tb\n\n\\end\\\n")
    assert measure(model, ["a b", "b"], str).perplexity == pytest.approx(10 ** (1.1 / 3))


@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_text_is_measured_in_the_units_that_it_is_trained_on(unit: Unit) -> None:
    def rule(text: str) -> str:
        return text.replace("1\u00a0000", "one thousand").lower()

    text = ["<s> Ab cd </s>", "<unk> cd", "<unk>", "in 1\u00a0000 Days", "1 2"]
    read = read_corpus(text, unit, rule)
    found = measure(train(read, 2, unit).model, text, rule)
    assert (found.sentences, found.units, found.unknown) == (5, read.tokens, 2)
    assert found.worst == (("<unk>", 2),)
    normal = read_corpus(["ab cd", "in one thousand days", "1 2"], unit, str)
    assert read.words == normal.words


def test_a_longer_context_predicts_better() -> None:
    sentences = zipf_sentences(2000)
    found = [
        measure(train(corpus(sentences[:1800]), order, "word").model, sentences[1800:], str)
        for order in (1, 2)
    ]
    assert found[1].perplexity < 0.8 * found[0].perplexity


def test_an_empty_text_has_no_perplexity() -> None:
    with pytest.raises(LanguageModelError):
        measure(train(corpus(["a"]), 1, "word").model, ["", " "], str)
