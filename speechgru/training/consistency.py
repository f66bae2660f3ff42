"""Consistency regularisation (CR-CTC, Yao et al. 2024, arXiv 2410.05101).

The model sees two views of each utterance, masked differently. Each view's output distributions are
the targets of the other's, frame by frame, so that what is masked must be inferred from context.
"""

import torch
from torch import Tensor

from speechgru.cells.unroll import valid_frames


def divergence(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """log_probs (2 · batch, frames, vocabulary), the first views' rows and then the second views';
    lengths (2 · batch,) → (2 · batch,): the Kullback-Leibler divergence of each row's output from
    the other view's, summed over its frames. No gradient flows into the other view's.

    The mean over both views is the paper's loss, equation 3.
    """
    targets = torch.cat(log_probs.detach().chunk(2)[::-1])
    frames = (targets.exp() * (targets - log_probs)).sum(-1)
    return frames.masked_fill(~valid_frames(lengths, log_probs.shape[1]), 0).sum(1)
