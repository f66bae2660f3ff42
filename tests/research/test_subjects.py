"""The models that probes look into: trained ones, and what they were before."""

from pathlib import Path

import torch
from tones import tone_recipe

from research.probes.subjects import load_subjects, untrained
from speechgru.checkpoint import load_model
from speechgru.training import train


def test_untrained_is_the_model_that_training_began_with(tones: Path, tmp_path: Path) -> None:
    """Training that hardly moves the weights ends where `untrained` begins."""
    still = {"epochs": 1, "learning_rate": 1e-9, "seed": 7}
    train(tone_recipe(tones, training=still), tmp_path / "run", "cpu")
    (subject,) = load_subjects([tmp_path / "run"])
    assert subject.seed == 7
    first = untrained(subject).model.state_dict()
    for name, tensor in load_model(tmp_path / "run").model.state_dict().items():
        torch.testing.assert_close(tensor, first[name], atol=1e-6, rtol=0)
