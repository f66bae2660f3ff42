"""The whole way with words, and with pieces of words, as the units of a model."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tones import RATE, say, tone_recipe

from speechgru.aligning import align_text
from speechgru.audit import audit
from speechgru.checkpoint import load_model
from speechgru.compare.plan import make_plan
from speechgru.compare.spec import parse
from speechgru.decoding import BeamSearch
from speechgru.decoding.settings import Decoding
from speechgru.errors import LanguageModelError
from speechgru.evaluation import evaluate
from speechgru.info import describe
from speechgru.lm.arpa import arpa_bytes
from speechgru.lm.ngram import Unit
from speechgru.lm.smoothing import train as train_lm
from speechgru.lm.text import read_lines
from speechgru.manifest import read_manifest
from speechgru.recipe import Recipe
from speechgru.recognizer import Recognizer
from speechgru.training.loop import train
from speechgru.tuning import tune
from tests.lm.texts import corpus

KINDS = {"word": "words", "bpe": "pieces"}


def stream_recipe(tones: Path, unit: str, **training: object) -> Recipe:
    return tone_recipe(
        tones, features={"normalise": "running"}, text={"unit": unit, "pieces": 8},
        model={"bidirectional": False, "lookahead": 3},
        training={"epochs": 16, "evaluate_every": 16, "batch_seconds": 3, **training},
    )  # fmt: skip


@pytest.fixture(scope="module", params=list(KINDS))
def run(
    request: pytest.FixtureRequest, tones: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder: Path = tmp_path_factory.mktemp(request.param) / "run"
    train(stream_recipe(tones, request.param), folder, "cpu")
    return folder


def language_model(tones: Path, folder: Path, unit: Unit) -> Path:
    lines = list(read_lines([tones / "train.jsonl"]))
    path = folder / "lm.arpa"
    path.write_bytes(arpa_bytes(train_lm(corpus(lines, unit), 2, unit).model, compress=False))
    return path


def test_it_learns_to_write_words(run: Path, tones: Path) -> None:
    vocabulary = load_model(run).vocabulary
    assert vocabulary.kind == KINDS[load_model(run).config.text.unit]
    assert " mo" in vocabulary.tokens
    found = evaluate(Recognizer.load(run, "cpu"), tones / "test.jsonl")
    assert found.score.wer < 0.2
    assert found.unknown == {}
    assert vocabulary.kind in str(describe(str(run)).checkpoint.vocabulary)


def test_words_have_times_alone_and_aligned(run: Path) -> None:
    recognizer = Recognizer.load(run, "cpu")
    samples = say("am mo oa", 5)
    transcript = recognizer.transcribe(samples)
    (emission,) = recognizer.emissions([samples])
    aligned = align_text(recognizer.checkpoint, emission, "Am mo, oa", recognizer.calibration)
    assert [word.text for word in aligned.words] == ["Am", "mo,", "oa"]
    assert transcript.text == "am mo oa"
    for word, other in zip(transcript.words, aligned.words, strict=True):
        assert word.start == pytest.approx(other.start, abs=0.05)
        assert word.confidence > 0.3
    unknown = align_text(recognizer.checkpoint, emission, "am xyz oa", recognizer.calibration)
    assert [word.interpolated for word in unknown.words] == [False, True, False]


def test_a_stream_gives_what_the_whole_gives(run: Path) -> None:
    recognizer = Recognizer.load(run, "cpu")
    samples = np.concatenate([say("am mo", 6), np.zeros(RATE * 2, np.float32), say("oa ma am", 7)])
    stream = recognizer.stream()
    finals = [f for part in np.array_split(samples, 17) for f in stream.accept(part)]
    finals += stream.finish()
    assert " ".join(final.text for final in finals) == recognizer.transcribe(samples).text
    assert sum(len(final.transcript.words) for final in finals) == 5


def test_a_language_model_a_vocabulary_and_hot_words(
    run: Path, tones: Path, tmp_path: Path
) -> None:
    greedy = Recognizer.load(run, "cpu", decoder="greedy")
    utterances = read_manifest(tones / "dev.jsonl")
    found = tune(greedy, utterances, Decoding(lm=str(language_model(tones, tmp_path, "word"))))
    recognizer = Recognizer.load(run, "cpu", decoder=found.best.decoding, hotwords="oa ma:0.5")
    assert isinstance(recognizer.decoder, BeamSearch)
    assert recognizer.decoder.lexicon is not None
    assert set(recognizer.decoder.lexicon.words) == {"am", "mo", "oa", "ma"}
    assert evaluate(recognizer, tones / "test.jsonl").score.wer < 0.2
    (tmp_path / "words").write_text("am\n7 mo\nMA\tma\n")
    closed = Recognizer.load(
        run, "cpu", decoder=Decoding().changed(vocabulary=tmp_path / "words")
    ).transcribe(say("am mo ma", 8))
    assert closed.text.endswith("7 MA")
    hot = Recognizer.load(run, "cpu", decoder="greedy").transcribe(say("oa ma", 9))
    assert hot.text == "oa ma"


def test_a_language_model_of_characters_is_refused(run: Path, tones: Path, tmp_path: Path) -> None:
    lm = language_model(tones, tmp_path, "character")
    with pytest.raises(LanguageModelError, match="expected one of words"):
        Recognizer.load(run, "cpu", decoder=Decoding(lm=str(lm)))


def test_fine_tuning_keeps_the_tokens_and_their_rows(
    run: Path, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentencepiece", None)  # not needed again
    old = load_model(run)
    recipe = stream_recipe(tones, old.config.text.unit, epochs=1, learning_rate=1e-9)
    train(recipe, tmp_path / "same", "cpu", init=run)
    same = load_model(tmp_path / "same")
    assert same.vocabulary == old.vocabulary
    assert same.metadata["dev_wer"] == pytest.approx(old.metadata["dev_wer"])
    other = recipe.replace(text={"unit": "character"})
    train(other, tmp_path / "other", "cpu", init=run)
    assert load_model(tmp_path / "other").vocabulary.kind == "characters"


def test_a_training_resumes_with_its_vocabulary(run: Path, tones: Path) -> None:
    unit = load_model(run).config.text.unit
    again = train(stream_recipe(tones, unit), run, "cpu", resume=True)
    assert again.epochs == 16


def test_an_audit_counts_the_frames_of_the_units(run: Path, tones: Path, tmp_path: Path) -> None:
    """Two words of two letters in 0.12 s: seven model frames, enough for two words, or two pieces,
    but not for five characters with a blank between equal ones."""
    soundfile.write(tmp_path / "a.wav", say("am", 1)[: RATE * 12 // 100], RATE)
    line = {"audio_filepath": "a.wav", "duration": 0.12, "text": "amma am ammm"}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    recipe = stream_recipe(tones, load_model(run).config.text.unit)
    kinds = {
        name: {problem.kind for problem in audit([tmp_path / "a.jsonl"], one, model).problems}
        for name, one, model in (
            ("characters", recipe.replace(text={"unit": "character"}), None),
            ("words", recipe.replace(text={"unit": "word"}), None),
            ("too few", recipe.replace(text={"unit": "bpe", "pieces": 500}), None),
            ("model", None, run),
        )
    }
    assert "text-too-long" in kinds["characters"]
    assert "text-too-long" not in kinds["words"]
    assert "text-too-long" in kinds["too few"]
    assert ("outside-vocabulary" in kinds["model"]) == (recipe.text.unit == "word")


def test_units_can_be_compared(tones: Path, tmp_path: Path) -> None:
    recipe = stream_recipe(tones, "word")
    plan = make_plan(parse(recipe, "text.unit=character,word"), tmp_path, torch.device("cpu"))
    assert {run.variant for run in plan.runs()} == {"character", "word"}
