"""Aligning known texts: times, words that cannot be spelled, manifests, errors."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import RATE, say

from speechgru.aligning import align_text, as_files
from speechgru.decoding.confidence import Calibration
from speechgru.errors import AudioError, SpeechgruError
from speechgru.manifest import Utterance
from speechgru.recognizer import Recognizer


@pytest.fixture(scope="module")
def recognizer(tone_run: Path) -> Recognizer:
    return Recognizer.load(tone_run, "cpu")


def test_the_text_of_a_recognised_recording_gets_the_same_times(recognizer):
    (emission,) = recognizer.emissions([say("am mo oa", 5)])
    recognised = recognizer.decode(emission)
    assert recognised.text == "am mo oa"
    found = align_text(recognizer.checkpoint, emission, "Am, mo — oa!", Calibration())
    assert [word.text for word in found.words] == ["Am,", "mo", "oa!"]
    assert [w.start for w in found.words] == pytest.approx([w.start for w in recognised.words])
    assert [w.end for w in found.words] == pytest.approx([w.end for w in recognised.words])


def test_a_word_that_cannot_be_spelled_is_interpolated(recognizer):
    (emission,) = recognizer.emissions([say("am mo oa", 5)])
    known = align_text(recognizer.checkpoint, emission, "am mo oa", Calibration())
    found = align_text(recognizer.checkpoint, emission, "am 42 oa", Calibration())
    assert [word.interpolated for word in found.words] == [False, True, False]
    assert found.words[1].confidence is None
    assert found.words[1].to_json()["interpolated"] is True
    assert found.words[1].start == pytest.approx(known.words[1].start, abs=0.15)
    assert found.words[1].end == pytest.approx(known.words[1].end, abs=0.15)


@pytest.mark.parametrize(("text", "warned"), [("am mo oa", False), ("ao oa am", True)])
def test_a_text_that_is_not_spoken_is_a_warning(speechgru, tone_run, tmp_path, text, warned):
    soundfile.write(tmp_path / "a.wav", say("am mo oa", 5), RATE)
    (tmp_path / "a.txt").write_text(text)
    result = speechgru("align", tmp_path / "a.wav", tmp_path / "a.txt", "--model", tone_run)
    assert result.status == 0
    assert len(result.out.splitlines()) == 3
    assert ("does the text belong to this recording" in result.err) == warned


@pytest.mark.parametrize("text", ["", " — ", "am " * 200])
def test_texts_that_do_not_fit(recognizer, text):
    (emission,) = recognizer.emissions([say("am", 5)])
    with pytest.raises(AudioError):
        align_text(recognizer.checkpoint, emission, text, Calibration())


def test_ids_that_are_paths_stay_in_the_folder_of_outputs():
    ids = ["../../a/b", "/x/y", "c.d"]
    files = as_files([Utterance("x.wav", 1.0, "", id_) for id_ in ids])
    assert [str(file.relative.with_suffix("")) for file in files] == ["a/b", "x/y", "c.d"]


@pytest.mark.parametrize("other", ["a//b", "./a/b", "a/./b"])
def test_ids_that_are_the_same_path_are_an_error(other):
    with pytest.raises(SpeechgruError, match=f"ids a/b and {other} are the same path"):
        as_files([Utterance("x.wav", 1.0, "", id_) for id_ in ("a/b", other)])


def test_a_manifest_is_aligned(tone_run, tones, tmp_path, speechgru):
    done = speechgru(
        "align", tones / "test.jsonl", "-m", tone_run, "-f", "json,ctm", "-o", tmp_path
    )
    assert done.status == 0, done.err
    lines = (tones / "test.jsonl").read_text().splitlines()
    assert len(list(tmp_path.rglob("*.json"))) == len(lines)
    words = sum(len(json.loads(line)["text"].split()) for line in lines)
    assert len((tmp_path / "transcripts.ctm").read_text().splitlines()) == words


def test_an_audio_file_and_its_text(tone_run, tmp_path, speechgru):
    soundfile.write(tmp_path / "a.wav", np.tile(say("am mo", 5), 60), RATE)  # a long one
    (tmp_path / "a.txt").write_text("am mo\n" * 60)
    done = speechgru("align", tmp_path / "a.wav", tmp_path / "a.txt", "-m", tone_run)
    assert done.status == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[4] for row in rows] == ["am", "mo"] * 60
    starts = np.array([float(row[2]) for row in rows])
    period = len(say("am mo", 5)) / RATE
    np.testing.assert_allclose(starts[::2], starts[0] + period * np.arange(60), atol=0.1)
    for arguments in ([tmp_path / "a.wav"], [tmp_path / "a.wav", tmp_path / "none.txt"]):
        assert speechgru("align", *arguments, "-m", tone_run).status == 2
    assert (
        "a file with the text"
        in speechgru("align", tmp_path / "a.wav", "am mo", "-m", tone_run).err
    )


def test_an_audio_file_is_named_as_given(tone_run, tmp_path, speechgru):
    file, text, out = tmp_path / "in" / "a.wav", tmp_path / "a.txt", tmp_path / "out"
    file.parent.mkdir()
    soundfile.write(file, say("am mo", 5), RATE)
    text.write_text("am mo")
    done = speechgru("align", file, text, "-m", tone_run, "-f", "json", "-o", out)
    assert done.status == 0, done.err
    assert json.loads((out / "a.json").read_text())["file"] == str(file)
    text.write_text("am " * 200)
    done = speechgru("align", file, text, "-m", tone_run)
    assert done.status == 1
    assert f"{file}: " in done.err


def test_alignment_needs_no_language_model(tone_run, tones, tmp_path, speechgru):
    shutil.copy(tone_run / "model.safetensors", tmp_path)
    (tmp_path / "decoding.yaml").write_text("lm: gone.arpa\nlm_sha256: abc\n")
    (tmp_path / "calibration.json").write_text(
        '{"format": "speechgru-calibration-1", "decoders": {"beam": {"slope": 0, "offset": 0}}}'
    )
    done = speechgru("align", tones / "test.jsonl", "-m", tmp_path, "-f", "ctm")
    assert done.status == 0, done.err
    assert {line.split()[5] for line in done.out.splitlines()} == {"0.500"}
