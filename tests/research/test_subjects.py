"""The models to be probed: trained ones, and the same before training."""

from pathlib import Path

import torch
from tones import tone_recipe

from research.probes.subjects import load_subjects
from speechgru.checkpoint import load_model
from speechgru.training.loop import train


def test_untrained_is_the_initial_model_of_training(tones: Path, tmp_path: Path) -> None:
    """Training that hardly changes the weights ends where the untrained model begins."""
    still = {"epochs": 1, "learning_rate": 1e-9, "seed": 7}
    train(tone_recipe(tones, training=still), tmp_path / "run", "cpu")
    (subject,) = load_subjects([tmp_path / "run"])
    assert subject.seed == 7
    first = subject.in_state("untrained").model.state_dict()
    for name, tensor in load_model(tmp_path / "run").model.state_dict().items():
        torch.testing.assert_close(tensor, first[name], atol=1e-6, rtol=0)
