"""Speed of beam search on one core, beside other decoders where they are installed.

    OMP_NUM_THREADS=1 python -m benchmarks.decoding train.txt test.txt [--run RUN]

Trains a word 3-gram of train.txt (text or manifest, in the form the model writes) and decodes
either the emissions of a model (RUN) for the manifest test.txt, or synthetic emissions of its
lines: a spike per character, of a height that makes about one character in twenty wrong, with
blanks between them, and 30 ms per frame. Times are of the processor, not of the clock.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from speechgru.decoding import BeamSearch, Emission, Greedy
from speechgru.decoding.graph import Options
from speechgru.decoding.lexicon import build_lexicon, word_numbers
from speechgru.lm.arpa import arpa_bytes
from speechgru.lm.counting import read_corpus
from speechgru.lm.ngram import NGram
from speechgru.lm.smoothing import train
from speechgru.lm.text import read_lines
from speechgru.scoring import score
from speechgru.text import Vocabulary

FRAME = 0.03  # seconds
REPEATS = 7  # the fastest counts


def synthetic_emission(text: str, vocabulary: Vocabulary, rng: np.random.Generator) -> Emission:
    """What an uncertain model might say about a text."""
    rows: list[np.ndarray] = []
    size = len(vocabulary)
    for token in vocabulary.encode(text):
        for _ in range(int(rng.integers(1, 6))):
            row = rng.normal(0, 1, size)
            row[0] += rng.normal(12, 2)
            rows.append(row)
        row = rng.normal(0, 1, size)
        row[0] += rng.normal(1, 2)
        row[token] += rng.normal(8, 3)
        row[rng.integers(1, size, 2)] += rng.normal(2, 2, 2)
        rows.append(row)
    rows.append(np.eye(size)[0] * 10)
    logits = np.array(rows)
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return Emission(log_probs.astype(np.float32), FRAME)


def model_emissions(run: str, manifest: str) -> tuple[list[Emission], list[str], Vocabulary]:
    from speechgru.manifest import read_manifest
    from speechgru.recognizer import Recognizer

    recognizer = Recognizer.load(run, "cpu")
    utterances = read_manifest(manifest)
    emissions = [one for one in recognizer.emissions(utterances) if isinstance(one, Emission)]
    checkpoint = recognizer.checkpoint
    texts = [checkpoint.normalise(one.text) for one in utterances]
    return emissions, texts, checkpoint.vocabulary


def hot_words(count: int, vocabulary: Vocabulary, rng: np.random.Generator) -> dict[str, float]:
    letters = [token for token in vocabulary.tokens[1:] if token != " "]
    return {"".join(rng.choice(letters, rng.integers(4, 10))): 1.0 for _ in range(count)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", help="text or manifest")
    parser.add_argument("test", help="text or manifest")
    parser.add_argument("--run")
    parser.add_argument("--beam", type=int, default=100)
    arguments = parser.parse_args()
    lm = train(read_corpus(read_lines([arguments.train]), "word", str), 3, "word").model
    rng = np.random.default_rng(0)
    if arguments.run:
        emissions, texts, vocabulary = model_emissions(arguments.run, arguments.test)
    else:
        texts = [line for line in read_lines([arguments.test]) if line]
        vocabulary = Vocabulary.from_texts([*texts, *lm.words[3:], " "])
        emissions = [synthetic_emission(text, vocabulary, rng) for text in texts]
    seconds = sum(len(one.log_probs) for one in emissions) * emissions[0].seconds_per_frame
    print(
        f"{len(emissions)} utterances, {seconds:.0f} s, {len(vocabulary)} tokens, {lm.size} words"
    )
    numbers = word_numbers(lm, vocabulary, str)
    words = [(word, word) for word in numbers]
    lexicon = build_lexicon(words, vocabulary, lm, numbers)
    some = hot_words(1000, vocabulary, rng)
    closed = Options(beam=arguments.beam, lm_weight=0.8)
    opened = Options(beam=arguments.beam, lm_weight=0.8, unknown_cost=8.0)
    free = Options(beam=arguments.beam)
    decoders: dict[str, Callable[[Emission], str]] = {
        "greedy": _ours(Greedy(vocabulary), vocabulary),
        "no lexicon": _ours(BeamSearch(vocabulary, free), vocabulary),
        "lexicon": _ours(BeamSearch(vocabulary, free, None, lexicon), vocabulary),
        "lexicon + 3-gram": _ours(BeamSearch(vocabulary, closed, lm, lexicon), vocabulary),
        "lexicon + 3-gram + 1000 hot words": _ours(
            BeamSearch(vocabulary, closed, lm, lexicon, some), vocabulary
        ),
        "open lexicon + 3-gram": _ours(BeamSearch(vocabulary, opened, lm, lexicon), vocabulary),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lm.arpa"
        path.write_bytes(arpa_bytes(lm, compress=False))
        decoders |= _others(vocabulary, lm, path, arguments.beam)
        _report(decoders, emissions, texts, seconds)


def _ours(decode: BeamSearch | Greedy, vocabulary: Vocabulary) -> Callable[[Emission], str]:
    def text(emission: Emission) -> str:
        found = decode(emission)
        return found.text if found.text is not None else vocabulary.decode(found.tokens)

    return text


def _others(
    vocabulary: Vocabulary, lm: NGram, path: Path, beam: int
) -> dict[str, Callable[[Emission], str]]:
    """Decoders of other projects, as far as they are installed."""
    found: dict[str, Callable[[Emission], str]] = {}
    labels = ["", *vocabulary.tokens[1:]]
    try:
        import ctc_beam_decoder

        cbd = ctc_beam_decoder.BeamSearchDecoder(
            labels, kenlm_model_path=str(path), unigrams=list(lm.words[3:]), alpha=0.8, beta=0.0
        )
        found["ctc-beam-decoder, 3-gram"] = lambda one: cbd.decode(one.log_probs, beam)
    except ImportError:
        pass
    try:
        from flashlight.lib.text import decoder as fl
        from flashlight.lib.text.decoder.kenlm import KenLM
        from flashlight.lib.text.dictionary import Dictionary

        words = Dictionary()
        for word in [*lm.words[3:], "<unk>"]:
            words.add_entry(word)
        kenlm = KenLM(str(path), words)
        space = vocabulary.encode(" ")[0]
        trie = fl.Trie(len(vocabulary), space)
        for word in lm.words[3:]:
            if not vocabulary.unknown(word):
                index = words.get_index(word)
                _, unigram = kenlm.score(kenlm.start(False), index)
                trie.insert([*vocabulary.encode(word), space], index, unigram)
        trie.smear(fl.SmearingMode.MAX)
        options = fl.LexiconDecoderOptions(
            beam, 10, 20.0, 0.8, 0.0, -np.inf, 0.0, True, fl.CriterionType.CTC
        )
        search = fl.LexiconDecoder(
            options, trie, kenlm, space, 0, words.get_index("<unk>"), [], False
        )

        def decode(one: Emission) -> str:
            frames, size = one.log_probs.shape
            best = search.decode(one.log_probs.ctypes.data, frames, size)[0]
            return " ".join(words.get_entry(word) for word in best.words if word >= 0)

        found["flashlight-text, lexicon + 3-gram"] = decode
    except ImportError:
        pass
    return found


def _report(
    decoders: dict[str, Callable[[Emission], str]],
    emissions: Sequence[Emission],
    texts: Sequence[str],
    seconds: float,
) -> None:
    """Decoders take turns, so that a busy machine slows down all of them."""
    found = {
        name: [" ".join(decode(one).split()) for one in emissions]  # and compiles
        for name, decode in decoders.items()
    }
    fastest = dict.fromkeys(decoders, np.inf)
    for _ in range(REPEATS):
        for name, decode in decoders.items():
            began = time.process_time()
            for one in emissions:
                decode(one)
            fastest[name] = min(fastest[name], time.process_time() - began)
    for name, hypotheses in found.items():
        wer = 100 * score(list(texts), hypotheses).wer
        print(f"{name:36} {seconds / fastest[name]:8.0f} × real time  {wer:6.2f} % WER")


if __name__ == "__main__":
    main()
