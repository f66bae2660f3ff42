"""The classifier of "Difference between RNN, LSTM and GRU", on our cells, and one that can tell.

The article trains LSTM(64) and GRU(64) to call each of 1000 random sequences (10 steps of 64
values) 0 or 1, with labels that are random too. There is nothing to learn: whatever is learnt of
the training sequences by heart says nothing about others. Half of the work below is to show it.
Then the same two layers tell spoken digits apart from their last state:

    python examples/sequence_classification.py --fsdd FOLDER

FOLDER is the Free Spoken Digit Dataset (https://github.com/Jakobovski/free-spoken-digit-dataset).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speechgru.audio import read_audio
from speechgru.batches import pad
from speechgru.cells import CELLS, RecurrentLayer
from speechgru.features import FeatureExtractor
from speechgru.recipe import FeatureRecipe

WIDTH = 64
Data = tuple[list[Tensor], Tensor]  # sequences (frames, values) and their classes (sequences,)


class Classifier(nn.Module):
    """(batch, frames, values), lengths → (batch, classes), from the state after the last frame."""

    def __init__(self, cell: str, values: int, classes: int) -> None:
        super().__init__()
        self.layer = RecurrentLayer(CELLS[cell], values, WIDTH, bidirectional=False)
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        _, state = self.layer(x, lengths, self.layer.initial_state(len(x)))
        assert state is not None
        scores: Tensor = self.head(state[0][0])
        return scores


def random_sequences(count: int, seed: int) -> Data:
    """The article's data: uniform values, labels by the toss of a coin."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.random((count, 10, 64), dtype=np.float32))
    return list(x), torch.from_numpy(rng.integers(0, 2, count))


def spoken_digits(folder: Path) -> tuple[Data, Data]:
    """Training and test: index 0 to 4 of each digit and speaker is the test, as its makers say.
    At most one second of each recording is read."""
    extract = FeatureExtractor(FeatureRecipe(sample_rate=8000, mels=40))
    splits: tuple[list[tuple[Tensor, int]], ...] = ([], [])
    for file in sorted(folder.glob("recordings/*_*_*.wav")):
        digit, _, index = file.stem.split("_")
        samples = read_audio(file, 8000)[:8000]
        splits[int(index) < 5].append((extract(samples), int(digit)))
    train, test = (
        ([features for features, _ in split], torch.tensor([digit for _, digit in split]))
        for split in splits
    )
    return train, test


def fit(model: Classifier, data: Data, epochs: int, rate: float = 1e-3, batch: int = 32) -> None:
    """Adam and cross-entropy, as the article; gradients are clipped to norm 1."""
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    rows, classes = data
    for epoch in range(epochs):
        order = torch.from_numpy(np.random.default_rng(epoch).permutation(len(rows)))
        for some in order.split(batch):
            x, lengths = pad([rows[index] for index in some])
            loss = nn.functional.cross_entropy(model(x, lengths), classes[some])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()


@torch.inference_mode()
def accuracy(model: Classifier, data: Data) -> float:
    """Share of sequences called right."""
    rows, classes = data
    right = 0
    for some in torch.arange(len(rows)).split(256):
        x, lengths = pad([rows[index] for index in some])
        right += int((model(x, lengths).argmax(-1) == classes[some]).sum())
    return right / len(rows)


def chance_range(chance: float, count: int) -> tuple[float, float]:
    """Between which guessing scores 95 times in 100 (normal approximation)."""
    half = 1.96 * (chance * (1 - chance) / count) ** 0.5
    return chance - half, chance + half


def compare(train: Data, test: Data, classes: int, epochs: int, rate: float) -> list[str]:
    """A line a cell: parameters and accuracy, on what it was trained on and on the rest."""
    low, high = chance_range(1 / classes, len(test[0]))
    lines = []
    for cell in ("lstm", "gru"):
        torch.manual_seed(1)
        model = Classifier(cell, train[0][0].shape[1], classes)
        fit(model, train, epochs, rate)
        seen, unseen = accuracy(model, train), accuracy(model, test)
        verdict = "no better than guessing" if unseen <= high else "better than guessing"
        lines.append(
            f"{cell:5}{sum(p.numel() for p in model.parameters()):7,} parameters   "
            f"trained on {seen:6.1%}   held out {unseen:6.1%}   "
            f"{verdict} ({low:.1%} to {high:.1%})"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The article's classifier, and one that can tell.")
    parser.add_argument("--fsdd", type=Path, help="folder that holds recordings/")
    parser.add_argument("--epochs", type=int, default=30, help="over the random sequences")
    parser.add_argument("--digit-epochs", type=int, default=8, help="over the spoken digits")
    options = parser.parse_args(arguments)
    if options.fsdd is not None and not (options.fsdd / "recordings").is_dir():
        parser.error(f"--fsdd {options.fsdd}: no recordings/ in it")

    print("Random sequences with random labels (800 to train, 200 held out):")
    rows, classes = random_sequences(1000, seed=1)
    train, test = (rows[:800], classes[:800]), (rows[800:], classes[800:])
    print("\n".join(compare(train, test, 2, options.epochs, 3e-3)))
    print(
        "Accuracy on the training sequences rises by learning them by heart; nothing carries over."
    )

    if options.fsdd is None:
        print("\nSpoken digits: skipped; --fsdd names the folder that holds recordings/.")
        return
    train, test = spoken_digits(options.fsdd)
    counts = f"{len(train[0]):,} to train, {len(test[0]):,} held out, the same speakers"
    print(f"\nSpoken digits from the last state ({counts}):")
    print("\n".join(compare(train, test, 10, options.digit_epochs, 3e-3)))


if __name__ == "__main__":
    main()
