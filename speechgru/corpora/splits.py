"""Train, dev and test sets of a corpus that comes without, or without one of them.

Official sets are kept. What is missing is taken from the rest: HELD_OUT of the audio for each, in
whole groups, so that no group is in two sets. Groups are, in order of preference,

- speakers that share no sentence with other groups of speakers: both are disjoint;
- speakers;
- sentences, where speakers are unknown or too few to hold some out;
- recordings, where each has several utterances and nothing else is known;
- single utterances, spread over the texts, where there are few different ones.

The order of groups is that of a hash of their names: it depends on nothing else, and utterances
added later do not reshuffle the others.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from speechgru.corpora.common import UNSPLIT, make_ids_unique
from speechgru.errors import CorpusError, plural
from speechgru.manifest import Utterance

HELD_OUT = 0.1  # of the audio, for each of dev and test
MAX_SECONDS = 7200.0  # of each, enough to measure a WER
MIN_SPEAKERS = 5  # with fewer, holding some out costs too much of the training set
MAX_GROUP = 0.4  # of the audio in one group: with a larger one, it is no grouping
KNOWN = 0.95  # share of utterances with a speaker, for speakers to be known
NOT_WORDS = re.compile(r"[\W_]+")
FEW_TEXTS = 5  # times each text occurs on average, where there are few different ones
MIN_WORDS = 4  # shorter texts recur by chance, so they are not counted as sentences


@dataclass(frozen=True, slots=True)
class Splits:
    """Sets of utterances by name, and a line per decision."""

    splits: dict[str, list[Utterance]]
    notes: tuple[str, ...]


def complete_splits(given: Mapping[str, Sequence[Utterance]]) -> Splits:
    """Splits with train and dev, and test where the corpus comes without any split."""
    if UNSPLIT in given:
        return _with_unsplit(given)
    official = {name: list(given[name]) for name in sorted(given, key=split_order) if given[name]}
    counts = ", ".join(f"{name} {len(listed):,}" for name, listed in official.items())
    if "train" not in official:
        rest = [u for listed in official.values() for u in listed]
        repeated = make_ids_unique(rest)
        made = _held_out(rest, ("test", "dev"), {})
        note = f"splits: found {counts}, but no training set; all are split anew"
        if repeated:
            note += f", and {len(repeated):,} ids that several sets have are renamed, to ID#2"
        return replace(made, notes=(note, *made.notes))
    note = f"splits: official, {counts}"
    if any(name.startswith("dev") for name in official):
        return Splits(official, (note,))
    train = official.pop("train")
    made = _held_out(train, ("dev",), official)
    return replace(made, notes=(f"{note}; dev is taken from train", *made.notes))


def _with_unsplit(given: Mapping[str, Sequence[Utterance]]) -> Splits:
    """Utterances in no split are split, or are the training set beside others; beside an official
    training set, they are not used."""
    rest = list(given[UNSPLIT])
    others = {name: listed for name, listed in given.items() if listed and name != UNSPLIT}
    if not others:
        return _held_out(rest, ("test", "dev"), {})
    note = f"splits: {len(rest):,} utterances are in none of {', '.join(others)}"
    if any(name.startswith("train") for name in others):
        made, note = complete_splits(others), f"{note}; they are not used"
    else:
        made, note = complete_splits({"train": rest, **others}), f"{note}; they are for training"
    return replace(made, notes=(note, *made.notes))


def split_order(name: str) -> tuple[int, str]:
    """train, dev and test, however they are named further."""
    kinds = ("train", "dev", "test")
    return next((i for i, kind in enumerate(kinds) if name.startswith(kind)), len(kinds)), name


def sentence_key(text: str) -> str | None:
    """What makes two texts the same sentence: letters and digits, whatever case or punctuation;
    None for a text of fewer than MIN_WORDS words, which recurs by chance."""
    words = NOT_WORDS.sub(" ", text.casefold()).split()
    return " ".join(words) if len(words) >= MIN_WORDS else None


def _held_out(
    utterances: list[Utterance], names: Sequence[str], official: dict[str, list[Utterance]]
) -> Splits:
    """`names` taken from the utterances, and the rest as train, beside `official` sets."""
    key, note = _grouping(utterances, len(names))
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[key(utterance)].append(utterance)
    order = _spread(utterances) if key is _single else sorted(groups, key=stable_hash)
    if len(order) <= len(names):
        raise CorpusError(
            f"{len(utterances)} utterances are too few to split: a training set, "
            f"{' and '.join(names)} need at least one each"
        )
    seconds = {group: sum(u.duration for u in members) for group, members in groups.items()}
    target = min(HELD_OUT * sum(seconds.values()), MAX_SECONDS)
    taken: dict[str, str] = {}  # group → split
    for name in names:
        left = [group for group in order if group not in taken]
        for group in _chosen(left, seconds, target):
            taken[group] = name
    splits: dict[str, list[Utterance]] = {"train": [], **{name: [] for name in names[::-1]}}
    for utterance in utterances:
        splits[taken.get(key(utterance), "train")].append(utterance)
    counts = ", ".join(f"{name} {len(splits[name]):,}" for name in splits)
    return Splits({**splits, **official}, (f"splits: {counts}; {note}",))


def _chosen(order: Sequence[str], seconds: Mapping[str, float], target: float) -> list[str]:
    """Groups in order until `target` seconds are reached; those that would exceed it by much are
    skipped. If all would, the shortest one; at least one group is always left for training."""
    chosen: list[str] = []
    total = 0.0
    for group in order[: len(order) - 1]:
        if total + seconds[group] <= 1.25 * target:
            chosen.append(group)
            total += seconds[group]
        if total >= 0.97 * target:
            break
    return chosen or [min(order, key=lambda group: seconds[group])]


def _grouping(
    utterances: Sequence[Utterance], count: int
) -> tuple[Callable[[Utterance], str], str]:
    """What is kept together, and why. `count`: sets to be held out."""
    speakers = {u.speaker for u in utterances if u.speaker is not None}
    known = sum(u.speaker is not None for u in utterances) >= KNOWN * len(utterances)
    sentences = Counter(sentence_key(u.text) for u in utterances)
    repeated = [s for s, number in sentences.items() if s is not None and number > 1]
    if known and len(speakers) >= MIN_SPEAKERS + count - 1:
        component = _components(utterances)
        if repeated and _is_fine(utterances, component):
            return component, "no speaker and no sentence is in two of them"
        if _is_fine(utterances, _speaker):
            shared = "" if not repeated else (
                f"; the same sentences are spoken by many speakers, so {len(repeated):,} may be in "
                "more than one set"
            )  # fmt: skip
            return _speaker, f"no speaker is in two of them ({len(speakers)} speakers){shared}"
        reason = "one speaker has most of the audio"
    else:
        few = f"{len(speakers)} speaker{'s are' if len(speakers) > 1 else ' is'} too few"
        reason = f"{few} to hold some out" if known else "speakers are unknown"
    consequence = f"{reason}, so the WER for new speakers will be higher"
    texts = {_sentence(u) for u in utterances}
    long = sum(number for s, number in sentences.items() if s is not None) > len(utterances) / 2
    # Commands recur, and each must be in the training set.
    diverse = len(texts) * (FEW_TEXTS if long else 2) > len(utterances)
    if diverse and _is_fine(utterances, _sentence):
        return _sentence, f"no sentence is in two of them; {consequence}"
    recordings = Counter(u.audio for u in utterances)
    if 10 <= len(recordings) <= len(utterances) / 2 and _is_fine(utterances, _recording):
        return _recording, f"no recording is in two of them; {consequence}"
    return _single, f"each text in all of them where it is frequent enough; {consequence}"


def _speaker(utterance: Utterance) -> str:
    return f"speaker {utterance.speaker}"


def _sentence(utterance: Utterance) -> str:
    return sentence_key(utterance.text) or " ".join(utterance.text.casefold().split())


def _recording(utterance: Utterance) -> str:
    return utterance.audio


def _single(utterance: Utterance) -> str:
    return utterance.id


def _components(utterances: Sequence[Utterance]) -> Callable[[Utterance], str]:
    """Groups of speakers connected by sentences that more than one of them speaks."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for utterance in utterances:
        if sentence := sentence_key(utterance.text):
            first, second = sorted((root(sentence), root(_speaker(utterance))))
            parent[second] = first  # the name of a group does not depend on the order
    return lambda utterance: root(_speaker(utterance))


def _is_fine(utterances: Sequence[Utterance], key: Callable[[Utterance], str]) -> bool:
    """Whether no group is too large to hold a part out."""
    seconds: dict[str, float] = defaultdict(float)
    for utterance in utterances:
        seconds[key(utterance)] += utterance.duration
    return len(seconds) >= 3 and max(seconds.values()) <= MAX_GROUP * sum(seconds.values())


def _spread(utterances: Sequence[Utterance]) -> list[str]:
    """Ids in an order whose beginning has every text in proportion: the k-th of n recordings of a
    text comes at (k + ½) / n."""
    by_text: dict[str, list[str]] = defaultdict(list)
    for utterance in utterances:
        by_text[_sentence(utterance)].append(utterance.id)
    places = [
        ((number + 0.5) / len(ids), stable_hash(id_), id_)
        for ids in by_text.values()
        for number, id_ in enumerate(sorted(ids, key=stable_hash))
    ]
    return [id_ for _, _, id_ in sorted(places)]


def stable_hash(name: str) -> bytes:
    """For an order that depends on names alone."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def describe_split(name: str, utterances: Sequence[Utterance]) -> str:
    """One line: number of utterances, minutes, speakers."""
    speakers = {u.speaker for u in utterances if u.speaker is not None}
    minutes = sum(u.duration for u in utterances) / 60
    who = f", {plural(len(speakers), 'speaker')}" if speakers else ""
    return f"{name}: {plural(len(utterances), 'utterance')}, {minutes:.1f} minutes{who}"
