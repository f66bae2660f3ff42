"""Training, in reading order: data.py (who takes part), loop.py (what happens to them), run.py
(what stands on disk afterwards)."""

from speechgru.training.data import TrainingData, read_training_data
from speechgru.training.loop import Progress, Result, train

__all__ = ["Progress", "Result", "TrainingData", "read_training_data", "train"]
