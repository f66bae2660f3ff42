"""What utterances have in common that they should not: ids, audio, and between sets speakers,
sentences and audio.

Manifests are expected in the order train, dev, test: what a later set shares with an earlier one is
reported, at the earlier one's lines where they can be removed (audio), else at the later one's.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from speechgru.audit.entries import Entry
from speechgru.audit.kinds import Problem
from speechgru.corpora.common import unique_ids
from speechgru.corpora.leaks import Leak, find_leaks
from speechgru.errors import plural

CLOSED_WORDS = 1000  # a vocabulary of fewer words is closed if
CLOSED_SHARE = 0.02  # no more than this share of further running words would be new


def duplicate_ids(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Ids that an earlier line of the same manifest has."""
    for group in _by_manifest(entries).values():
        first: dict[str, int] = {}
        for entry, name in zip(group, unique_ids([e.utterance.id for e in group]), strict=True):
            line = first.setdefault(entry.utterance.id, entry.line)
            if name != entry.utterance.id:
                yield entry.problem("duplicate-id", f"also that of line {line}", name)


def duplicate_audio(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Utterances of one manifest with identical samples; silence is no duplicate."""
    for copies in _copies(entries):
        for group in _by_manifest(copies).values():
            if len({entry.text for entry in group}) > 1:
                for entry in group:
                    others = [other for other in group if other.text != entry.text]
                    detail = f"line {others[0].line} has {others[0].utterance.text!r:.60}"
                    yield entry.problem("contradictory-copies", detail)
            else:
                for entry in group[1:]:
                    yield entry.problem("duplicate-audio", f"line {group[0].line} has the same")


def _by_manifest(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.manifest, []).append(entry)
    return found


def _copies(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Groups of two or more entries with identical samples, not all zero. Entries without text are
    no reason to remove those that have one."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.text and entry.audio is not None and entry.audio.silence < 1:
            groups[entry.audio.digest].append(entry)
    return [group for group in groups.values() if len(group) > 1]


def shared_audio(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Utterances whose samples are in a later manifest, too."""
    order = list(_by_manifest(entries))
    for copies in _copies(entries):
        last = max(copies, key=lambda entry: order.index(entry.manifest))
        for entry in copies:
            if entry.manifest != last.manifest:
                yield entry.problem("shared-audio", f"{last.manifest}, line {last.line}")


def leaks(entries: Sequence[Entry]) -> tuple[list[Leak], list[Problem]]:
    """What each pair of manifests shares; a problem for each shared speaker, at that speaker's
    first line in the later manifest, and for each shared sentence.

    A speaker is shared by necessity where there is one only, sentences where both manifests draw on
    the same few words: these are no problems.
    """
    sets = _by_manifest(entries)
    by_name = {name: [entry.utterance for entry in listed] for name, listed in sets.items()}
    found = [leak for leak in find_leaks(by_name, content=False) if leak.kind != "audio"]
    several = len({entry.utterance.speaker for entry in entries} - {None}) > 1
    problems: list[Problem] = []
    for leak in found:
        if leak.kind == "speaker" and several:
            problems += _shared_speakers(leak, sets)
        texts = [entry.text for entry in sets[leak.first] + sets[leak.second]]
        if leak.kind == "sentence" and not is_closed(texts):
            problems += _shared_sentences(leak, sets[leak.second])
    return found + _shared_samples(sets), problems


def _shared_speakers(leak: Leak, sets: Mapping[str, Sequence[Entry]]) -> Iterator[Problem]:
    counts = {
        name: Counter(entry.utterance.speaker for entry in sets[name])
        for name in (leak.first, leak.second)
    }
    for speaker in leak.shared:
        here, there = counts[leak.second][speaker], counts[leak.first][speaker]
        first = next(e for e in sets[leak.second] if e.utterance.speaker == speaker)
        detail = f"{speaker}: {plural(here, 'utterance')} here, {there:,} in {leak.first}"
        yield first.problem("shared-speaker", detail)


def _shared_sentences(leak: Leak, later: Sequence[Entry]) -> Iterator[Problem]:
    texts = set(leak.shared)
    for entry in later:
        if entry.utterance.text in texts:
            yield entry.problem("shared-sentence", f"{entry.text[:60]!r} is in {leak.first}")


def _shared_samples(sets: Mapping[str, Sequence[Entry]]) -> list[Leak]:
    """As leaks: identical samples, in whatever file, format or part of a file."""
    found = []
    for first, second in combinations(sets, 2):
        known = {entry.audio.digest for entry in sets[first] if entry.audio is not None}
        both = [e for e in sets[second] if e.audio is not None and e.audio.digest in known]
        if both:
            names = tuple(entry.utterance.id for entry in both)
            share = len(both) / len(sets[second])
            found.append(Leak("audio", first, second, names, len(both), share))
    return found


def is_closed(texts: Iterable[str]) -> bool:
    """Whether texts are of a closed vocabulary, such as commands or digits: few words, of which
    hardly any occurs once. The share of words that occur once estimates how many further running
    words would be new (Good 1953)."""
    counts = Counter(word for text in texts for word in text.split())
    once = sum(count == 1 for count in counts.values())
    return len(counts) < CLOSED_WORDS and once <= CLOSED_SHARE * counts.total()
