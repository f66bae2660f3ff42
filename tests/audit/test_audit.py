"""What an audit finds in a folder with problems of every kind, and nowhere else."""

from pathlib import Path

from speechgru.audit import audit


def test_a_clean_corpus_has_no_problems(tones: Path) -> None:
    report = audit([tones / f"{name}.jsonl" for name in ("train", "dev", "test")])
    assert {p.kind for p in report.problems} <= {"shared-speaker"}
    train = report.facts.manifests[0]
    assert (train.utterances, train.speakers, train.rates) == (48, 4, {8000: 48})
