"""From nothing to a recogniser: prepare, train, evaluate, score, transcribe, info."""

import json
import os
import re

import numpy as np
import pytest
from shell import run

from speechgru import Recognizer
from speechgru.manifest import read_manifest
from speechgru.scoring.trn import speaker_of

KEYS = {
    *("wer", "cer", "words", "substitutions", "deletions", "insertions", "wer_ci95", "utterances")
}


def clean(text: str) -> bool:
    """No colours, no cursor movements, no carriage returns: fit for a log file."""
    return all(line.isprintable() for line in text.split("\n"))


def test_the_corpus_is_prepared(desk):
    result = desk.prepared
    assert (result.status, result.err) == (0, "")
    assert clean(result.out)
    counts = dict(re.findall(r"│ (train|dev|test) +│ ([\d,]+) +│", result.out))
    for split, count in counts.items():
        utterances = read_manifest(desk.folder / f"data/digits/{split}.jsonl")
        assert len(utterances) == int(count.replace(",", ""))
        assert all(os.path.isfile(utterance.audio) for utterance in utterances)
    assert set(counts) == {"train", "dev", "test"}


def test_the_training_logs_its_progress(desk):
    result = desk.trained
    assert result.status == 0, result.err
    assert clean(result.out + result.err)
    lines = re.findall(r"^epoch +(\d+)/16  loss ([\d.]+)(  dev WER)?", result.err, re.M)
    assert [int(epoch) for epoch, _, _ in lines] == list(range(1, 17))
    assert [int(epoch) for epoch, _, scored in lines if scored] == [8, 16]
    assert float(lines[-1][1]) < float(lines[0][1]) / 10
    assert re.fullmatch(r"dev WER \d+\.\d\d ?% .*16 epochs.* \d+:\d\d.*runs/few\n", result.out)
    recipe = (desk.folder / "runs/few/recipe.yaml").read_text()
    assert "sample_rate: 8000" in recipe
    assert "weight_decay: 0.01" in recipe  # a default


@pytest.fixture(scope="module")
def evaluated(desk):
    return run(
        *("evaluate", "data/few/test.jsonl", "--model", "runs/few", "--json", "figures.json"),
        *("--device", "cpu", "--threads", "1"),
        cwd=desk.folder,
    )


def test_it_has_learned(desk, evaluated):
    assert evaluated.status == 0, evaluated.err
    assert clean(evaluated.out + evaluated.err)
    figures = json.loads((desk.folder / "figures.json").read_text())
    assert set(figures) >= KEYS
    assert figures["wer"] <= 0.1  # 0.012 to 0.024 by seed
    assert figures["cer"] <= figures["wer"]
    assert figures["utterances"] == 20
    low, high = figures["wer_ci95"]
    assert 0 <= low <= figures["wer"] <= high < 0.3
    assert f"WER {100 * figures['wer']:.2f} %" in evaluated.out
    assert figures["normalisation"] in evaluated.out


def test_other_tools_score_the_same(desk, evaluated, speechgru, monkeypatch):
    monkeypatch.chdir(desk.folder)
    results = desk.folder / "runs/few/results/test"
    result = speechgru("score", results / "ref.trn", results / "hyp.trn", "--json", "scored.json")
    assert result.status == 0
    ours = json.loads((desk.folder / "figures.json").read_text())
    again = json.loads((desk.folder / "scored.json").read_text())
    assert ours == json.loads((results / "score.json").read_text())
    for key in KEYS:
        assert again[key] == ours[key]
    utterances = desk.utterances("test")
    listed = (results / "ref.trn").read_text().splitlines()
    assert len(listed) == len(utterances)
    for line, utterance in zip(listed, utterances, strict=True):
        text, _, id_ = line.rstrip(")").rpartition(" (")
        assert text == utterance.text
        assert speaker_of(id_) == utterance.speaker
        assert id_.endswith(utterance.id)


def test_a_file_is_transcribed(desk):
    utterance = max(desk.utterances("test"), key=lambda u: u.duration)
    result = run("transcribe", utterance.audio, "--model", "runs/few", cwd=desk.folder)
    assert result.status == 0, result.err
    name, _, text = result.out.rstrip("\n").partition(": ")
    assert name == str(utterance.audio)
    same = sum(a == b for a, b in zip(text.split(), utterance.text.split(), strict=False))
    assert same >= 0.7 * len(utterance.text.split())
    recognizer = Recognizer.load(desk.folder / "runs/few", "cpu")
    assert recognizer.transcribe(str(utterance.audio)).text == text


def test_the_model_is_described(at_desk, speechgru):
    result = speechgru("info", "runs/few")
    assert result.status == 0
    for part in (
        "2 × 64 bidirectional gru",
        "8000 Hz",
        "' efghinorstuvwxz'",
        "dev_wer",
        "parameters",
    ):
        assert part in result.out
    model = Recognizer.load("runs/few", "cpu").checkpoint.model
    count = sum(int(np.prod(p.shape)) for p in model.parameters())
    assert f"{count:,} " in result.out
