"""What an audit finds in a folder with problems of every kind, and nowhere else."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from injected import INJECTIONS, RATE, Corpus, compare

from speechgru.audio import read_utterance
from speechgru.audit import KINDS, AuditReport, audit
from speechgru.audit.facts import spread
from speechgru.audit.measure import measure, measure_file
from speechgru.audit.text_problems import is_mojibake
from speechgru.errors import AudioError, ManifestError
from speechgru.manifest import read_manifest

NEED_A_MODEL = {"outside-vocabulary", "contradicted"}


def places(report: AuditReport) -> set[tuple[str, int, str]]:
    return {(Path(p.manifest).stem, p.line, p.kind) for p in report.problems}


def test_every_kind_is_injected() -> None:
    assert INJECTIONS.keys() == KINDS.keys() - NEED_A_MODEL


def test_injected_problems_are_found_and_no_others(bad: SimpleNamespace) -> None:
    assert compare(bad.corpus, places(bad.report)) == ([], [])


def test_a_clean_corpus_has_no_problems(tones: Path) -> None:
    report = audit([tones / f"{name}.jsonl" for name in ("train", "dev", "test")])
    assert {p.kind for p in report.problems} <= {"shared-speaker"}
    train = report.facts.manifests[0]
    assert (train.utterances, train.speakers, train.rates) == (48, 4, {8000: 48})


def test_real_corpora_have_next_to_no_problems(real_data: Path, tmp_path: Path) -> None:
    from speechgru.corpora import prepare, write_splits

    utterances, found = 0, Counter()
    for name, folder in (("an4", "an4"), ("fsdd", "fsdd")):
        prepared = prepare(name, real_data / folder)
        paths = write_splits(prepared, tmp_path / name)
        report = audit([path for path in paths if path.stem in ("dev", "test")])
        utterances += sum(facts.utterances for facts in report.facts.manifests)
        found += Counter(p.kind for p in report.problems)
    del found["shared-speaker"]  # FSDD's official test set has no other speakers
    assert found.total() <= 0.01 * utterances


def test_facts(bad: SimpleNamespace) -> None:
    train, test = bad.report.facts.manifests
    lines = bad.corpus.lines
    assert train.utterances == len(lines["train"]) - 1  # the line that cannot be read
    assert test.speakers == len({line["speaker"] for line in lines["test"]})
    assert train.undecodable == 4  # missing, empty, undecodable, truncated
    assert train.rates[RATE] == train.files - 5
    assert train.characters[0].char.isdigit()
    assert not train.closed_vocabulary
    values = json.loads(json.dumps(bad.report.to_json()))
    assert sum(values["kinds"].values()) == len(values["problems"]) == len(bad.report.problems)
    assert values["facts"]["manifests"][1]["hours"] == test.hours


def test_channels_and_parts_of_a_file(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    left = corpus.speech(3.0)
    soundfile.write(tmp_path / "a.wav", np.stack([left, -left], 1), RATE, subtype="FLOAT")
    parts = [(1.0, 0.5), (0.0, None), (2.9, 5.0), (1.2, 0.5), (7.0, 1.0)]
    found = measure_file(str(tmp_path / "a.wav"), parts)
    assert (found.seconds, found.inverted, found.silent_channels) == (3.0, True, 0)
    assert [m and round(m.seconds, 3) for m in found.utterances] == [0.5, 3.0, 0.1, 0.5, None]
    assert found.utterances[1] == measure(left, RATE)  # as it is read


def test_a_part_has_the_samples_of_its_place(tmp_path: Path) -> None:
    samples = Corpus(tmp_path).speech(3.0)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    (part,) = measure_file(str(tmp_path / "a.wav"), [(1.25, 0.8)]).utterances
    assert part == measure(samples[round(1.25 * RATE) : round(2.05 * RATE)], RATE)


def test_unscaled_samples_are_measured_without_overflow(tmp_path: Path) -> None:
    samples = Corpus(tmp_path).speech(1.0)
    loud = measure(samples * np.float32(1e6), RATE)  # with warnings as errors
    assert loud.peak == pytest.approx(1e6 * np.abs(samples).max())
    assert loud.bandwidth == measure(samples, RATE).bandwidth


def test_segments_of_a_long_recording_are_no_duration_problem(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    for start in (0, 2.5, 5.0, 9.5):
        place = {"audio_filepath": "long.wav", "offset": start, "duration": 2.0}
        corpus.add(samples=corpus.speech(10.0), text="ab", id=f"u{start}", **place)
    corpus.add(split="test")
    (tmp_path / "train00001.wav").rename(tmp_path / "long.wav")
    report = audit(corpus.write())
    assert [(p.kind, p.id, p.correction) for p in report.problems] == [
        ("duration-too-long", "u9.5", 0.5)
    ]


@pytest.mark.parametrize("start", [1.0, 8192 / RATE])  # within a block, and between two
def test_a_segment_of_less_than_one_sample_is_empty(tmp_path: Path, start: float) -> None:
    corpus = Corpus(tmp_path)
    corpus.add(samples=corpus.speech(3.0), offset=start, duration=2e-5)
    corpus.add(samples=corpus.speech(3.0), offset=start, duration=1.5)
    report = audit(corpus.write()[:1])
    assert [(p.kind, p.line) for p in report.problems] == [("empty-file", 1)]
    (empty, _) = read_manifest(tmp_path / "train.jsonl")
    with pytest.raises(AudioError, match="shorter than one sample"):
        read_utterance(empty, RATE)


def test_a_first_segment_is_no_whole_file(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.add(samples=corpus.speech(4.0), duration=3.2)  # its rest is in another set
    corpus.add(samples=corpus.speech(6.0), offset=3.0, duration=2.0)
    report = audit(corpus.write()[:1])
    assert report.problems == ()
    assert report.facts.manifests[0].hours * 3600 == pytest.approx(5.2)


def test_copies_without_text_are_no_contradiction(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    speech = corpus.speech(2.0)
    for text in ("Straße", "", "straße."):
        corpus.add(samples=speech, text=text)
    corpus.add(samples=speech, split="test", text="")
    report = audit(corpus.write())
    found = [(p.kind, Path(p.manifest).stem, p.line) for p in report.problems]
    assert found == [
        ("empty-text", "train", 2), ("empty-text", "test", 1), ("duplicate-audio", "train", 3),
    ]  # fmt: skip


def test_a_manifest_without_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(ManifestError):
        audit([tmp_path / "a.jsonl"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("schÃ¶n", True), ("é schÃ¶n", True), ("donâ€™t", True), ("a\ufffdb", True),
     ("schön", False), ("NÃO É", False), ("añade ÀÉ", False), ("日本語", False), ("plain", False)],
)  # fmt: skip
def test_mojibake(text: str, expected: bool) -> None:
    assert is_mojibake(text) == expected


def test_values_that_differ_by_rounding_have_a_spread() -> None:
    found = spread([3.3, 3.3000000000000003])
    assert found is not None
    assert (found.low, found.high, sum(found.counts)) == (3.3, 3.3, 2)
