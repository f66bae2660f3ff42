"""What utterances have in common that they should not: ids, audio, and between sets speakers,
sentences and audio.

Manifests are expected in the order train, dev, test: what a later set shares with an earlier one is
reported, at the earlier one's lines where they can be removed (audio), else at the later one's.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from speechgru.audit.entries import Entry
from speechgru.audit.kinds import Problem

MIN_WORDS, MIN_CHARACTERS = 3, 15  # of a sentence that is not repeated by chance
CLOSED_WORDS = 1000  # a vocabulary of fewer words is closed if
CLOSED_SHARE = 0.02  # no more than this share of further running words would be new


@dataclass(frozen=True, slots=True)
class Shared:
    """What two manifests have in common. `sentences` and `audio` count utterances of `later`;
    `closed`: both draw on the same few words, so that shared sentences are no leak."""

    earlier: str
    later: str
    speakers: int
    sentences: int
    audio: int
    closed: bool

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def duplicate_ids(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Ids that an earlier line of the same manifest has."""
    first: dict[tuple[str, str], int] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        key = (entry.manifest, entry.utterance.id)
        counts[key] += 1
        if counts[key] > 1:
            another = f"{entry.utterance.id}#{counts[key]}"  # as training names it
            yield entry.problem("duplicate-id", f"also that of line {first[key]}", another)
        else:
            first[key] = entry.line


def duplicate_audio(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Utterances of one manifest with identical samples; silence is no duplicate."""
    for copies in _copies(entries):
        by_manifest: dict[str, list[Entry]] = defaultdict(list)
        for entry in copies:
            by_manifest[entry.manifest].append(entry)
        for group in by_manifest.values():
            if len({entry.text for entry in group}) > 1:
                for entry in group:
                    others = [other for other in group if other.text != entry.text]
                    detail = f"line {others[0].line} has {others[0].utterance.text!r:.60}"
                    yield entry.problem("contradictory-copies", detail)
            else:
                for entry in group[1:]:
                    yield entry.problem("duplicate-audio", f"line {group[0].line} has the same")


def _copies(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Groups of two or more entries with identical samples, not all zero."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.audio is not None and entry.audio.silence < 1:
            groups[entry.audio.digest].append(entry)
    return [group for group in groups.values() if len(group) > 1]


def shared_audio(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Utterances whose samples are in a later manifest, too."""
    order = _order(entries)
    for copies in _copies(entries):
        last = max(copies, key=lambda entry: order[entry.manifest])
        for entry in copies:
            if entry.manifest != last.manifest:
                yield entry.problem("shared-audio", f"{last.manifest}, line {last.line}")


def shared(entries: Sequence[Entry]) -> tuple[list[Shared], list[Problem]]:
    """What each pair of manifests has in common; a problem for each shared speaker, at that
    speaker's first line in the later manifest, and for each shared sentence.

    A speaker is shared by necessity where all manifests have the same one.
    """
    sets: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        sets[entry.manifest].append(entry)
    names = list(sets)
    several = len({entry.utterance.speaker for entry in entries}) > 1
    audio = {name: {e.audio.digest for e in sets[name] if e.audio is not None} for name in names}
    texts = {name: {entry.text for entry in sets[name]} for name in names}
    spoken = {name: Counter(e.utterance.speaker for e in sets[name]) for name in names}
    found: list[Shared] = []
    problems: list[Problem] = []
    for number, later in enumerate(names):
        for earlier in names[:number]:
            speakers = [s for s in spoken[later] if s is not None and s in spoken[earlier]]
            repeated = [e for e in sets[later] if e.text and e.text in texts[earlier]]
            same = sum(
                e.audio is not None and e.audio.digest in audio[earlier] for e in sets[later]
            )
            closed = is_closed(entry.text for entry in sets[earlier] + sets[later])
            found.append(Shared(earlier, later, len(speakers), len(repeated), same, closed))
            for speaker in speakers if several else ():
                first = next(e for e in sets[later] if e.utterance.speaker == speaker)
                counts = f"{spoken[later][speaker]} utterances here, {spoken[earlier][speaker]} in"
                problems.append(first.problem("shared-speaker", f"{speaker}: {counts} {earlier}"))
            problems += [
                entry.problem("shared-sentence", f"{entry.text[:60]!r} is in {earlier}")
                for entry in ([] if closed else repeated)
                if len(entry.text.split()) >= MIN_WORDS and len(entry.text) >= MIN_CHARACTERS
            ]
    return found, problems


def is_closed(texts: Iterator[str]) -> bool:
    """Whether texts are of a closed vocabulary, such as commands or digits: few words, of which
    hardly any occurs once. The share of words that occur once estimates how many further running
    words would be new (Good 1953)."""
    counts = Counter(word for text in texts for word in text.split())
    once = sum(count == 1 for count in counts.values())
    return len(counts) < CLOSED_WORDS and once <= CLOSED_SHARE * counts.total()


def _order(entries: Sequence[Entry]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(e.manifest for e in entries))}
