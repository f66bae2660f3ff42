"""Confidences: measured as their definitions say, and calibrated."""

import json
import shutil

import numpy as np
import pytest
from msgspec import structs

from speechgru.audio.segmentation import SHORTEST
from speechgru.calibration import Words, calibrate, quality, recognise_words, write_calibration
from speechgru.decoding.confidence import Calibration, read_calibrations
from speechgru.decoding.settings import Decoding
from speechgru.decoding.words import LEAD
from speechgru.errors import SpeechgruError
from speechgru.manifest import read_manifest
from speechgru.recognizer import Recognizer


def test_quality_by_hand():
    found = quality(np.array([0.95, 0.85, 0.85, 0.35]), np.array([True, True, False, False]))
    assert (found.words, found.wrong) == (4, 2)
    assert found.ece == pytest.approx((0.05 + 0.7 + 0.35) / 4)
    assert found.auc == pytest.approx((2 + 1.5) / 4)
    logs = np.log2([0.95, 0.85, 0.15, 0.65]).sum()
    assert found.nce == pytest.approx((4 + logs) / 4)


def test_a_constant_confidence_has_no_cross_entropy_to_spare():
    right = np.array([True] * 3 + [False])
    found = quality(np.full(4, 0.75), right)
    assert (found.ece, found.nce, found.auc) == pytest.approx((0, 0, 0.5))
    assert np.isnan(quality(np.full(2, 0.5), np.array([True, True])).nce)


def test_without_words_nothing_is_measured():
    found = quality(np.array([]), np.array([], bool))
    assert (found.words, found.wrong) == (0, 0)
    assert np.isnan([found.ece, found.nce, found.auc]).all()


def test_each_decoder_keeps_its_calibration_and_measurements(tmp_path):
    file = tmp_path / "calibration.json"
    for slope, decoder in enumerate(("greedy", "beam", "beam"), 1):
        write_calibration(file, decoder, Calibration(float(slope)), {"dev": slope})
    assert {name: each.slope for name, each in read_calibrations(file).items()} == {
        "greedy": 1, "beam": 3
    }  # fmt: skip
    values = json.loads(file.read_text())
    assert values["measured"] == {"greedy": {"dev": 1}, "beam": {"dev": 3}}
    file.write_text(json.dumps(values | {"measured": None}))
    write_calibration(file, "beam", Calibration(), {"dev": 4})
    assert json.loads(file.read_text())["measured"] == {"beam": {"dev": 4}}


def test_overconfidence_is_calibrated():
    rng = np.random.default_rng(0)
    logits = rng.normal(1.0, 1.0, 4000)
    right = rng.random(4000) < 1 / (1 + np.exp(-logits))
    claimed = -np.log1p(np.exp(-3 * logits))  # log of the sigmoid of three times the logit
    calibration = calibrate(Words(claimed, right, np.full(30, 0.25)))
    assert calibration.slope == pytest.approx(1 / 3, abs=0.05)
    assert calibration.lead == 0.25
    assert quality(calibration(claimed), right).ece < 0.02 < quality(np.exp(claimed), right).ece


@pytest.mark.parametrize(
    ("durations", "shortest"), [([2.5, 2.0, 9.0], 1.0), ([12, 15, 13], 4.3), ([60], 10.0)]
)
def test_segments_of_long_recordings_are_a_third_of_an_utterance(durations, shortest):
    words = Words(np.log([0.9, 0.99]), np.array([True, False]), np.array([]))
    assert calibrate(words, durations).shortest == shortest


def test_few_words_without_errors_give_a_finite_calibration():
    found = calibrate(Words(np.log([0.9, 0.99]), np.array([True, True]), np.array([0.3])))
    assert np.isfinite([found.slope, found.offset]).all()
    assert (found.lead, found.shortest) == (LEAD, SHORTEST)
    with pytest.raises(SpeechgruError):
        calibrate(Words(np.array([]), np.array([], bool), np.array([])))


def test_the_command_writes_what_transcribe_uses(tone_run, tones, tmp_path, speechgru):
    shutil.copy(tone_run / "model.safetensors", tmp_path)
    done = speechgru(
        "calibrate", tones / "dev.jsonl", "-m", tmp_path, "--test", tones / "test.jsonl",
        "--threads", 1, "--device", "cpu",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "normalised cross entropy" in done.out
    known = read_calibrations(tmp_path / "calibration.json")
    assert set(known) == {"greedy"}
    assert Recognizer.load(tmp_path, "cpu").calibration == known["greedy"]
    (tmp_path / "calibration.json").write_text('{"format": "other"}')
    with pytest.raises(SpeechgruError, match=r"calibration\.json: .*'other'"):
        Recognizer.load(tmp_path, "cpu")


def test_words_are_right_in_the_form_of_the_references(tone_run, tones, digits_for_tones):
    decoding = Decoding().changed(vocabulary=digits_for_tones)
    recognizer = Recognizer.load(tone_run, "cpu", decoder=decoding)
    assert recognise_words(recognizer, read_manifest(tones / "dev.jsonl")).right.mean() > 0.8


def test_a_word_that_normalisation_divides_is_measured(tone_run, tones, tmp_path):
    (tmp_path / "words").write_text("a-m\tam\nmo\noa\nma\n")
    decoding = Decoding().changed(vocabulary=tmp_path / "words")
    recognizer = Recognizer.load(tone_run, "cpu", decoder=decoding)
    utterances = read_manifest(tones / "dev.jsonl")
    written = [structs.replace(u, text=u.text.replace("am", "a-m")) for u in utterances]
    words = sum(len(u.text.replace("-", " ").split()) for u in written)
    assert len(recognise_words(recognizer, written).right) == pytest.approx(words, abs=2)


def test_no_word_is_certain_after_a_steep_fit():
    confidences = Calibration(slope=50.0)(np.log([0.9, 0.9999, 1e-9]))
    assert (confidences > 0).all()
    assert (confidences < 1).all()
    assert np.isfinite(quality(confidences, np.array([True, False, True])).nce)


def test_confidence_is_never_turned_upside_down():
    logits = np.linspace(-2, 2, 40)
    found = calibrate(Words(-np.log1p(np.exp(-logits)), logits < 0, np.array([])))
    assert found.slope == pytest.approx(0, abs=1e-3)


def test_too_few_words_are_warned_of_and_the_file_is_json(tone_run, tones, tmp_path, speechgru):
    shutil.copy(tone_run / "model.safetensors", tmp_path)
    line = (tones / "dev.jsonl").read_text().splitlines()[0]
    line = json.dumps(
        json.loads(line) | {"audio_filepath": str(tones / json.loads(line)["audio_filepath"])}
    )
    gone = json.dumps(json.loads(line) | {"audio_filepath": "gone.wav", "id": "gone"})
    (tmp_path / "dev.jsonl").write_text(f"{line}\n{gone}\n")
    done = speechgru("calibrate", tmp_path / "dev.jsonl", "-m", tmp_path, "--threads", 1)
    assert done.status == 1
    assert "gone: " in done.err
    assert "0 wrong words" in done.err
    json.loads((tmp_path / "calibration.json").read_text(), parse_constant=pytest.fail)
