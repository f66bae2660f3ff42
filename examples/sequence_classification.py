"""The classifier of "Difference between RNN, LSTM and GRU" on our cells, and one with real data.

The article trains LSTM(64) and GRU(64) to classify 1000 random sequences (10 steps of 64 values)
with random labels. There is nothing to learn: memorising the training sequences does not help with
others, which the first part below shows. Then the same two layers classify spoken digits by their
last state:

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

HIDDEN_SIZE = 64
Data = tuple[list[Tensor], Tensor]  # sequences (frames, values) and their classes (sequences,)


class Classifier(nn.Module):
    """(batch, frames, values), lengths → (batch, classes), from the state after the last frame."""

    def __init__(self, cell: str, values: int, classes: int) -> None:
        super().__init__()
        self.layer = RecurrentLayer(CELLS[cell], values, HIDDEN_SIZE, bidirectional=False)
        self.head = nn.Linear(HIDDEN_SIZE, classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        _, state = self.layer(x, lengths, self.layer.initial_state(len(x)))
        assert state is not None
        scores: Tensor = self.head(state[0][0])
        return scores


def random_sequences(count: int, seed: int) -> Data:
    """The article's data: uniform values, random labels."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.random((count, 10, 64), dtype=np.float32))
    return list(x), torch.from_numpy(rng.integers(0, 2, count))


def spoken_digits(folder: Path) -> tuple[Data, Data]:
    """Training and test data: indices 0 to 4 of each digit and speaker are the official test set.
    At most one second of each recording is used."""
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
    """Adam and cross-entropy, as in the article; gradients are clipped to norm 1."""
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
    """Share of correctly classified sequences."""
    rows, classes = data
    correct = 0
    for some in torch.arange(len(rows)).split(256):
        x, lengths = pad([rows[index] for index in some])
        correct += int((model(x, lengths).argmax(-1) == classes[some]).sum())
    return correct / len(rows)


def chance_range(chance: float, count: int) -> tuple[float, float]:
    """The range in which the accuracy of guessing is in 95 % of cases (normal approximation)."""
    half = 1.96 * (chance * (1 - chance) / count) ** 0.5
    return chance - half, chance + half


def compare(train: Data, test: Data, classes: int, epochs: int, rate: float) -> list[str]:
    """A line per cell: parameters, accuracy on the training and the test set."""
    low, high = chance_range(1 / classes, len(test[0]))
    lines = []
    for cell in ("lstm", "gru"):
        torch.manual_seed(1)
        model = Classifier(cell, train[0][0].shape[1], classes)
        fit(model, train, epochs, rate)
        train_accuracy, test_accuracy = accuracy(model, train), accuracy(model, test)
        verdict = "no better" if test_accuracy <= high else "better"
        lines.append(
            f"{cell:5}{sum(p.numel() for p in model.parameters()):7,} parameters   "
            f"training {train_accuracy:6.1%}   test {test_accuracy:6.1%}   "
            f"{verdict} than guessing ({low:.1%} to {high:.1%})"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="The article's classifier, and one with real data."
    )
    parser.add_argument("--fsdd", type=Path, help="folder of the Free Spoken Digit Dataset")
    parser.add_argument("--epochs", type=int, default=30, help="on the random sequences")
    parser.add_argument("--digit-epochs", type=int, default=8, help="on the spoken digits")
    options = parser.parse_args(arguments)
    if options.fsdd is not None and not (options.fsdd / "recordings").is_dir():
        parser.error(f"--fsdd {options.fsdd}: no folder recordings/ in it")

    print("Random sequences with random labels (800 for training, 200 for testing):")
    rows, classes = random_sequences(1000, seed=1)
    train, test = (rows[:800], classes[:800]), (rows[800:], classes[800:])
    print("\n".join(compare(train, test, 2, options.epochs, 3e-3)))
    print("The models memorise training sequences; that does not help with others.")

    if options.fsdd is None:
        print("\nSpoken digits: skipped; pass the folder of the data set with --fsdd.")
        return
    train, test = spoken_digits(options.fsdd)
    counts = f"{len(train[0]):,} for training, {len(test[0]):,} for testing, same speakers"
    print(f"\nSpoken digits ({counts}):")
    print("\n".join(compare(train, test, 10, options.digit_epochs, 3e-3)))


if __name__ == "__main__":
    main()
