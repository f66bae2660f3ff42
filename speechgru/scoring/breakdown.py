"""Where the word errors are: per speaker, and which words are confused."""

from collections import Counter
from dataclasses import asdict, dataclass

from speechgru.files import Json
from speechgru.scoring.wer import Counts, Score

MAX_WORDS = 30  # of a reference vocabulary, for a table of confusions
MIN_REPEATS = 5  # per word, on average; with fewer, the text is small rather than the vocabulary


@dataclass(frozen=True, slots=True)
class SpeakerScore:
    """The utterances of a speaker, summed."""

    speaker: str
    utterances: int
    words: Counts

    def to_json(self) -> Json:
        counts = asdict(self.words)
        return {
            "speaker": self.speaker,
            "utterances": self.utterances,
            "wer": self.words.rate,
            "words": counts.pop("reference"),
        } | counts


@dataclass(frozen=True, slots=True)
class Confusions:
    """What became of each word of a small vocabulary."""

    words: dict[str, int]  # of the references, with their counts
    counts: dict[tuple[str, str], int]  # (reference, hypothesis), right ones included; "": no word

    @property
    def errors(self) -> list[tuple[str, str, int]]:
        """(reference, hypothesis, count) of the wrong ones, most frequent first."""
        wrong = ((*pair, count) for pair, count in self.counts.items() if pair[0] != pair[1])
        return sorted(wrong, key=lambda each: (-each[2], each))

    def to_json(self) -> dict[str, dict[str, int]]:
        """Counts by reference word, then by hypothesis word."""
        table: dict[str, dict[str, int]] = {}
        for (reference, hypothesis), count in sorted(self.counts.items()):
            table.setdefault(reference, {})[hypothesis] = count
        return table


def by_speaker(score: Score) -> list[SpeakerScore]:
    """The known speakers, highest WER first."""
    utterances: Counter[str] = Counter()
    words: dict[str, Counts] = {}
    for each in score.utterances:
        if each.speaker is not None:
            utterances[each.speaker] += 1
            words[each.speaker] = words.get(each.speaker, Counts()) + each.words
    speakers = [SpeakerScore(name, utterances[name], words[name]) for name in words]
    return sorted(speakers, key=lambda each: (-each.words.rate, -each.words.errors, each.speaker))


def confusions(score: Score) -> Confusions | None:
    """The confusions of a vocabulary of at most `MAX_WORDS` reference words, `MIN_REPEATS` times
    each on average; None of other vocabularies."""
    aligned = [
        word
        for each in score.utterances
        for word in each.alignment
        if word.mark or (word.reference and word.hypothesis)  # no optional words that are missing
    ]
    words = Counter(word.reference for word in aligned if word.reference)
    if not 0 < len(words) <= MAX_WORDS or words.total() < MIN_REPEATS * len(words):
        return None
    return Confusions(dict(words), dict(Counter((w.reference, w.hypothesis) for w in aligned)))


def breakdown(score: Score) -> Json:
    """Speakers, and confusions of a small vocabulary, as plain JSON values."""
    table = confusions(score)
    return {
        "by_speaker": [speaker.to_json() for speaker in by_speaker(score)],
        "confusions": None if table is None else table.to_json(),
    }
