"""What hot words find, and what they make up, at several boosts.

    python -m benchmarks.hot_words RUN dev.jsonl --snr 10

The list has the spelled names of the manifest (texts of three or more single letters, as in AN4)
and, for each, a name that is not in it and differs in one letter that is spoken alike: so the list
alone does not decide. Recall is the share of the names' recordings that are written without a
mistake; a false accept is a phrase of the list in the text of another recording, or of a name's
recording, that was not said there. The decoder is the model's (decoding.yaml), else a beam search
without a language model.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from speechgru import acoustics
from speechgru.audio import read_utterance
from speechgru.decoding import BeamSearch, Emission
from speechgru.decoding.settings import Decoding, choose_decoding, load_decoder
from speechgru.errors import SpeechgruError
from speechgru.manifest import Utterance, read_manifest
from speechgru.recognizer import Recognizer
from speechgru.scoring import score

BOOSTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
ALIKE = ("bcdegptvz", "fsx", "mn", "ajk", "iy", "quw", "lmo", "hr")
SHORTEST = 3  # letters of a name


@dataclass(frozen=True)
class Counts:
    names: int  # recordings of names
    found: int
    others: int  # recordings of other texts
    false: int  # recordings of other texts with a phrase of the list
    wrong_name: int  # recordings of names with another phrase of the list
    errors: int  # words of other texts
    words: int


def is_name(text: str) -> bool:
    return len(text) >= 2 * SHORTEST - 1 and set(text[1::2]) == {" "} and " " not in text[::2]


def confusable(name: str, names: Sequence[str], rng: np.random.Generator) -> str:
    """A name that is not in `names`, with another letter in one place."""
    changed = [
        name[:place] + other + name[place + 1 :]
        for place, letter in enumerate(name)
        for group in ALIKE
        if letter in group
        for other in group
        if other != letter
    ]
    return str(rng.choice([each for each in changed if each not in names]))


def count(
    decoder: BeamSearch, emissions: Sequence[Emission], texts: Sequence[str], phrases: Sequence[str]
) -> Counts:
    found = [decoder(one) for one in emissions]
    written = [
        " ".join((one.text or decoder.vocabulary.decode(one.tokens)).split()) for one in found
    ]
    made_up = [
        any(f" {phrase} " in f" {ours} " and f" {phrase} " not in f" {text} " for phrase in phrases)
        for ours, text in zip(written, texts, strict=True)
    ]
    names = np.array([is_name(text) for text in texts])
    right = np.array([ours == text for ours, text in zip(written, texts, strict=True)])
    others = [place for place, name in enumerate(names) if not name]
    words = score([texts[i] for i in others], [written[i] for i in others]).words
    return Counts(
        int(names.sum()), int(right[names].sum()), len(others),
        int(np.sum(made_up, where=~names)), int(np.sum(made_up, where=names)),
        words.errors, words.reference,
    )  # fmt: skip


def noisy(
    recognizer: Recognizer, utterances: Sequence[Utterance], snr: float | None
) -> Iterator[np.ndarray]:
    """The samples with white noise at a ratio to the mean power of each recording, in dB."""
    rng = np.random.default_rng(0)
    for utterance in utterances:
        samples = read_utterance(utterance, recognizer.sample_rate)
        if snr is not None:
            level = 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))
            noise = acoustics.noise("white", len(samples), rng, recognizer.sample_rate)
            samples = acoustics.add_noise(samples, noise, level - snr)
        yield samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="+", help="runs, whose counts are added")
    parser.add_argument("manifest")
    parser.add_argument("--snr", type=float, help="add white noise at this ratio, dB")
    parser.add_argument("--boosts", type=float, nargs="+", default=BOOSTS)
    arguments = parser.parse_args()
    utterances = read_manifest(arguments.manifest)
    totals = {boost: np.zeros(7, int) for boost in arguments.boosts}
    for run in arguments.run:
        recognizer = Recognizer.load(run, "cpu", decoder="greedy")
        checkpoint = recognizer.checkpoint
        vocabulary, normalise = checkpoint.vocabulary, checkpoint.normalise
        texts = [normalise(one.text) for one in utterances]
        names = sorted({text for text in texts if is_name(text)})
        rng = np.random.default_rng(0)
        phrases = [*names, *(confusable(name, names, rng) for name in names)]
        results = recognizer.emissions(noisy(recognizer, utterances, arguments.snr))
        emissions = [one for one in results if not isinstance(one, SpeechgruError)]
        base = load_decoder(choose_decoding(run) or Decoding(), vocabulary, normalise)
        for boost in arguments.boosts:
            hot = dict.fromkeys(phrases, boost) if boost else {}
            decoder = BeamSearch(vocabulary, base.options, base.lm, base.lexicon, hot)
            counts = count(decoder, emissions, texts, phrases)
            totals[boost] += np.array(list(vars(counts).values()))
    print(f"{len(phrases)} phrases, of which {len(names)} occur; {len(arguments.run)} models")
    print("boost  recall          false accepts   another name    WER of others")
    for boost, total in totals.items():
        n, found, others, false, wrong, errors, words = total.tolist()
        print(
            f"{boost:5g}  {found:3} / {n:3} {100 * found / n:4.0f} %"
            f"  {false:3} / {others:3} {100 * false / others:4.1f} %"
            f"  {wrong:3} / {n:3} {100 * wrong / n:3.0f} %  {100 * errors / words:5.2f} %"
        )


if __name__ == "__main__":
    main()
