"""Times of recognised words against those of torchaudio's forced alignment of the true text.

    python -m benchmarks.alignment data/an4/test.jsonl --model runs/an4/gru-1

Both are from the same emissions and by the same rule from tokens to the times of words.
Our own alignment of the true text is compared with torchaudio's, too, token by token.

Where the manifest has the true boundaries (`words`: word, start and end in seconds, as those of the
embedded digits), the times of the utterances that were recognised without error are compared with
these as well.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np
import numpy.typing as npt
import torch
from torchaudio.functional import forced_align

from speechgru.aligning import spell_text
from speechgru.decoding import Emission
from speechgru.decoding.alignment import align
from speechgru.decoding.words import word_spans
from speechgru.manifest import read_manifest
from speechgru.recognizer import Recognizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest")
    parser.add_argument("--model", required=True)
    options = parser.parse_args()
    recognizer = Recognizer.load(options.model, "cpu", decoder="greedy")
    utterances = read_manifest(options.manifest)
    lines = Path(options.manifest).read_text(encoding="utf-8").splitlines()
    known = {line.get("id"): line.get("words") for line in map(json.loads, filter(None, lines))}
    differences, errors, frames, words, right = [], [], [], 0, 0
    for utterance, emission in zip(utterances, recognizer.emissions(utterances), strict=True):
        if not isinstance(emission, Emission):
            raise emission
        tokens, spelled, _ = spell_text(recognizer.checkpoint, utterance.text)
        reference = aligned_frames(emission, tokens)
        frames += [abs(a - b) for a, b in zip(align(emission.log_probs, tuple(tokens)), reference,
                                              strict=True)]  # fmt: skip
        spans = word_spans(emission, reference, spelled, recognizer.calibration.lead)
        found = recognizer.decode(emission)
        words += len(spelled)
        if not found.words:
            continue
        true = known.get(utterance.id) or ()
        if [word.text for word in found.words] == [word["word"] for word in true]:
            right += 1
            errors += [
                (abs(word.start - each["start"]), abs(word.end - each["end"]))
                for word, each in zip(found.words, true, strict=True)
            ]
        texts = " ".join(utterance.text.lower().split()), found.text
        for chunk in jiwer.process_words(*texts).alignments[0]:
            if chunk.type == "equal":
                mine = found.words[chunk.hyp_start_idx : chunk.hyp_end_idx]
                theirs = spans[chunk.ref_start_idx : chunk.ref_end_idx]
                differences += [
                    (abs(word.start - start), abs(word.end - end))
                    for word, (start, end) in zip(mine, theirs, strict=True)
                ]
    print(f"{np.mean(np.array(frames) > 0):.1%} of {len(frames)} tokens in another frame")
    print(f"{len(differences)} of {words} words recognised; ms from the reference:")
    _show(differences)
    if errors:
        print(f"{len(errors)} words of {right} utterances; ms from the true boundaries:")
        _show(errors)


def _show(differences: Sequence[tuple[float, float]]) -> None:
    """Of starts and ends, in seconds."""
    for name, values in zip(("starts", "ends"), 1000 * np.array(differences).T, strict=True):
        median, most = np.quantile(values, [0.5, 0.95])
        late = np.mean(values > 30)
        print(f"  {name}: median {median:.0f}, 95 % {most:.0f}, above 30 ms {late:.1%}")


def aligned_frames(emission: Emission, tokens: list[int]) -> tuple[int, ...]:
    """The frame in which torchaudio's alignment begins each token."""
    path, _ = forced_align(torch.from_numpy(emission.log_probs)[None], torch.tensor([tokens]))
    labels: npt.NDArray[np.int64] = path[0].numpy()
    begins = np.flatnonzero((np.diff(labels, prepend=0) != 0) & (labels != 0))
    return tuple(begins.tolist())


if __name__ == "__main__":
    main()
