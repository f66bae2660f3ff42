"""A language model and a vocabulary for a trained model, from text to transcripts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speechgru import Recognizer
from speechgru.decoding import BeamSearch, Greedy
from speechgru.errors import SpeechgruError


@pytest.fixture
def run(tone_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tone_run, tmp_path / "run"))


def test_from_text_to_transcripts(
    speechgru: Callable[..., Any], run: Path, tones: Path, tmp_path: Path
) -> None:
    lm = tmp_path / "lm.arpa.gz"
    assert speechgru("lm", "train", tones / "train.jsonl", "--out", lm).status == 0
    done = speechgru("tune", tones / "dev.jsonl", "--model", run, "--lm", lm)
    assert done.status == 0
    assert {"decoding.yaml", "decoding.svg"} <= {path.name for path in run.iterdir()}

    done = speechgru("evaluate", tones / "test.jsonl", "--model", run)
    assert done.status == 0
    folder = run / "results" / "test"
    score = json.loads((folder / "score.json").read_text())
    assert score["decoder"].startswith("beam")
    assert score["greedy"]["words"] == score["words"]
    assert score["difference"]["difference"] == pytest.approx(score["wer"] - score["greedy"]["wer"])
    assert score["outside_lexicon"]["words"] == 0
    assert (folder / "hyp-greedy.trn").exists()

    (folder / "conditions.json").write_text("{}")
    done = speechgru("evaluate", tones / "test.jsonl", "--model", run, "--greedy")
    assert not (folder / "hyp-greedy.trn").exists()
    assert f"{folder / 'conditions.json'} is from an earlier evaluation" in done.err
    assert json.loads((folder / "score.json").read_text())["decoder"] == "greedy"
    assert "greedy" not in json.loads((folder / "score.json").read_text())

    assert isinstance(Recognizer.load(run, "cpu").decoder, BeamSearch)
    assert isinstance(Recognizer.load(run, "cpu", decoder="greedy").decoder, Greedy)
    lm.unlink()
    for command in (["transcribe", tones / "test" / "000.wav"], ["evaluate", tones / "test.jsonl"]):
        done = speechgru(*command, "--model", run)
        assert done.status == 2
        assert "lm.arpa.gz" in done.err
        assert done.err.count("\n") == 1
    assert speechgru("transcribe", tones / "test" / "000.wav", "-m", run, "--greedy").status == 0


def test_only_these_words(
    speechgru: Callable[..., Any], run: Path, tones: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words"
    words.write_text("am\nmo\n1 oa\n")  # never "ma"
    done = speechgru("transcribe", tones / "test", "-m", run, "--vocabulary", words)
    assert done.status == 0
    written = [line.split(": ")[-1] for line in done.out.splitlines()]
    assert {word for line in written for word in line.split()} == {"am", "mo", "1"}
    done = speechgru("evaluate", tones / "test.jsonl", "-m", run, "--vocabulary", words)
    outside = json.loads((run / "results" / "test" / "score.json").read_text())["outside_lexicon"]
    assert outside["words"] > 0
    assert outside["errors"] == outside["words"]


def test_hot_words_without_a_language_model(
    speechgru: Callable[..., Any], run: Path, tones: Path
) -> None:
    recording = tones / "test" / "000.wav"
    plain = speechgru("transcribe", recording, "-m", run).out
    assert speechgru("transcribe", recording, "-m", run, "--hotwords", "oa:0.1").out == plain
    recognizer = Recognizer.load(run, "cpu", hotwords="oa, mo am:2")
    assert recognizer.decoder.hotwords == {"oa": 1.0, "mo am": 2.0}
    assert recognizer.transcribe(recording).text == plain.split(": ")[-1].strip()
    named = Recognizer.load(run, "cpu", decoder="beam", hotwords="oa, mo am:2")
    assert named.decoder.hotwords == recognizer.decoder.hotwords
    for decoder in ("greedy", "beams"):
        with pytest.raises(SpeechgruError, match=decoder):
            Recognizer.load(run, "cpu", decoder=decoder, hotwords="oa")


@pytest.mark.parametrize(
    "options",
    [
        ["--lm", "none.arpa"],
        ["--lm", "broken.arpa"],
        ["--vocabulary", "cyrillic"],
        ["--vocabulary", "empty"],
        ["--hotwords", "xyz"],
        ["--hotwords", "am:x"],
        ["--decoding", "empty"],
        ["--greedy", "--hotwords", "am"],
    ],
)
def test_what_cannot_be_used_is_one_line(
    options: list[str],
    speechgru: Callable[..., Any],
    run: Path,
    tones: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.arpa").write_text("\\data\\\nngram 1=1\n")
    Path("cyrillic").write_text("один\nдва\n")
    Path("empty").write_text("")
    done = speechgru("transcribe", tones / "test" / "000.wav", "-m", run, *options)
    assert done.status == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
