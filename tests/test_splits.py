"""Sets made of a corpus that comes without, and what sets share."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from speechgru.corpora.common import UNSPLIT
from speechgru.corpora.leaks import find_leaks
from speechgru.corpora.splits import complete_splits, sentence_key
from speechgru.errors import CorpusError
from speechgru.manifest import Utterance

WORDS = ("the", "a", "red", "blue", "cat", "dog", "sees", "takes", "house", "tree", "runs", "past",
         "near", "old", "new", "bird")  # fmt: skip


def utterance(number: int, text: str, speaker: str | None, seconds: float = 2.0) -> Utterance:
    return Utterance(f"/data/{number}.wav", seconds, text, f"u{number}", speaker=speaker)


def sentence(number: int) -> str:
    """A different sentence of five words for each number."""
    digits = [number // 16**place % 16 for place in range(3)]
    return " ".join(["see", *(WORDS[digit] for digit in digits), "now"])


def disjoint(splits: dict[str, list[Utterance]], key: str) -> bool:
    values = [{getattr(u, key) for u in listed} for listed in splits.values()]
    return not any(a & b for a, b in itertools.combinations(values, 2))


def shares(splits: dict[str, list[Utterance]]) -> dict[str, float]:
    total = sum(u.duration for listed in splits.values() for u in listed)
    return {name: sum(u.duration for u in listed) / total for name, listed in splits.items()}


def made(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    splits = complete_splits({UNSPLIT: utterances}).splits
    assert list(splits) == ["train", "dev", "test"]
    assert sorted(u.id for listed in splits.values() for u in listed) == sorted(
        u.id for u in utterances
    )
    assert all(splits.values())
    assert complete_splits({UNSPLIT: utterances[::-1]}).splits == {
        name: listed[::-1] for name, listed in splits.items()
    }  # the order of the utterances does not matter
    return splits


def test_speakers_and_sentences_are_disjoint_where_they_can_be() -> None:
    splits = made([utterance(n, sentence(n), f"s{n % 20}") for n in range(400)])
    assert disjoint(splits, "speaker")
    assert disjoint(splits, "text")
    assert shares(splits) == pytest.approx({"train": 0.8, "dev": 0.1, "test": 0.1}, abs=0.03)


def test_speakers_of_the_same_sentences() -> None:
    splits = made([utterance(n, sentence(n // 20), f"s{n % 20}") for n in range(400)])
    assert disjoint(splits, "speaker")


def test_speakers_who_share_some_sentences_stay_together() -> None:
    """Speakers 2k and 2k + 1 read the same book."""
    splits = made([utterance(n, sentence(n % 20 // 2 + n // 20 * 10), f"s{n % 20}")
                   for n in range(400)])  # fmt: skip
    assert disjoint(splits, "speaker")
    assert disjoint(splits, "text")


@pytest.mark.parametrize("speakers", [1, 2, 3, None])
def test_few_speakers_are_split_by_sentence(speakers: int | None) -> None:
    listed = [
        utterance(n, sentence(n // 2), f"s{n % speakers}" if speakers else None)
        for n in range(400)
    ]  # fmt: skip
    splits = made(listed)
    assert disjoint(splits, "text")
    assert shares(splits) == pytest.approx({"train": 0.8, "dev": 0.1, "test": 0.1}, abs=0.03)


def test_commands_of_one_speaker_are_in_every_set() -> None:
    words = ["go", "stop", "turn left now please", "right"]
    splits = made([utterance(n, words[n % 4], "anna", 1.0) for n in range(200)])
    for listed in splits.values():
        assert {u.text for u in listed} == set(words)
    assert {name: len(listed) for name, listed in splits.items()} == pytest.approx(
        {"train": 160, "dev": 20, "test": 20}, abs=4
    )


def test_parts_of_recordings_stay_together() -> None:
    listed = [
        Utterance(f"/{n // 20}.wav", 2.0, f"word {n % 5}", f"u{n}", offset=2.0 * (n % 20))
        for n in range(400)
    ]  # fmt: skip
    assert disjoint(made(listed), "audio")


def test_one_speaker_with_most_of_the_audio_is_no_reason_to_hold_out_the_rest() -> None:
    listed = [utterance(n, sentence(n), f"s{n}" if n < 10 else "anna") for n in range(100)]
    splits = made(listed)
    assert {u.speaker for u in splits["test"]} & {u.speaker for u in splits["train"]} == {"anna"}
    assert disjoint(splits, "text")


def test_new_utterances_do_not_move_the_others() -> None:
    listed = [utterance(n, sentence(n), None) for n in range(300)]
    before, after = made(listed[:280]), made(listed)
    moved = {u.id for u in before["train"]} & {u.id for u in after["test"] + after["dev"]}
    assert len(moved) <= 8


@pytest.mark.parametrize("count", [3, 4, 7])
def test_a_few_utterances(count: int) -> None:
    made([utterance(n, sentence(n), None, 1.0 + 20 * (n % 3)) for n in range(count)])


def test_too_few_utterances() -> None:
    with pytest.raises(CorpusError, match="2 utterances"):
        complete_splits({UNSPLIT: [utterance(n, sentence(n), None) for n in range(2)]})


def test_utterances_in_no_split_beside_a_test_set_are_for_training() -> None:
    rest = [utterance(n, sentence(n), f"s{n % 10}") for n in range(100)]
    test = [utterance(n, sentence(n), "t") for n in range(100, 110)]
    result = complete_splits({UNSPLIT: rest, "test": test})
    assert result.splits["test"] == test
    assert len(result.splits["train"] + result.splits["dev"]) == 100
    result = complete_splits({UNSPLIT: rest[:50], "train": rest[50:], "test": test})
    assert len(result.splits["train"] + result.splits["dev"]) == 50
    assert "50 utterances" in result.notes[0]


def test_official_splits_are_kept_and_dev_is_taken_from_train() -> None:
    train = [utterance(n, sentence(n), f"s{n % 10}") for n in range(100)]
    test = [utterance(n, sentence(n), "t") for n in range(100, 110)]
    result = complete_splits({"train": train, "dev": [], "test-clean": test})
    assert result.splits["test-clean"] == test
    assert disjoint(result.splits, "speaker")
    assert 0.05 < len(result.splits["dev"]) / 100 < 0.25
    assert list(result.splits) == ["train", "dev", "test-clean"]
    given = {"train": train[:90], "dev": train[90:]}
    assert complete_splits(given).splits == given
    assert list(complete_splits({"test": train}).splits) == ["train", "dev", "test"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Turn the light on!", "turn the light on"),
        ("Turn — the LIGHT, on", "turn the light on"),
        ("Straße Nr. 5 ist", "strasse nr 5 ist"),
        ("turn it off", None),
        ("", None),
    ],
)
def test_sentence_keys(text: str, key: str | None) -> None:
    assert sentence_key(text) == key


# Leaks -------------------------------------------------------------------------------------------


def test_leaks_between_sets(tmp_path: Path) -> None:
    sizes = {"a": 100, "b": 100, "copy": 100, "longer": 101}
    for number, (name, size) in enumerate(sizes.items()):
        content = bytes([0 if name == "copy" else number]) * size
        (tmp_path / f"{name}.wav").write_bytes(content)

    def part(name: str, text: str, speaker: str | None, offset: float = 0.0) -> Utterance:
        file = str(tmp_path / f"{name}.wav")
        return Utterance(file, 1.0, text, f"{name}@{offset}", offset=offset, speaker=speaker)

    sets = {
        "train": [part("a", "Turn the light on", "anna"), part("b", "yes", None)],
        "dev": [part("copy", "turn the light, on", "ben"), part("longer", "yes", "anna")],
        "test": [part("copy", "no", None, 1.0), part("gone", "other", None)],
    }
    found = {(leak.kind, leak.first, leak.second): leak for leak in find_leaks(sets)}
    assert {key: (leak.shared, leak.utterances, leak.share) for key, leak in found.items()} == {
        ("speaker", "train", "dev"): (("anna",), 1, 0.5),
        ("sentence", "train", "dev"): (("turn the light, on",), 1, 0.5),
        ("audio", "train", "dev"): (("copy@0.0",), 1, 0.5),
    }
    assert {leak.kind for leak in find_leaks(sets, content=False)} == {"speaker", "sentence"}
    assert find_leaks({"train": sets["train"]}) == []


def test_the_commands_of_a_closed_vocabulary_are_no_leak() -> None:
    texts = ["turn the light on", "turn the light off"]
    sets = {
        name: [utterance(start + n, texts[n % 2], f"{name} {n}") for n in range(20)]
        for start, name in ((0, "train"), (100, "test"))
    }
    assert find_leaks(sets) == []


def test_sets_that_are_split_anew_may_have_the_same_ids() -> None:
    sets = {
        name: [utterance(n, sentence(n + offset), None) for n in range(20)]
        for name, offset in (("dev", 0), ("test", 20))
    }
    made = complete_splits(sets)
    ids = [u.id for listed in made.splits.values() for u in listed]
    assert len(set(ids)) == len(ids) == 40
    assert "20 ids" in made.notes[0]
