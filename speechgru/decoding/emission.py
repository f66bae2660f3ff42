"""The output of an acoustic model for one recording."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Emission:
    """Log-probabilities of every token in every model frame, and the times of the frames.

    The time of a model frame is the centre of the analysis window of its first feature frame, in
    seconds from the beginning of the audio.

    >>> emission = Emission(np.zeros((5, 17), np.float32), seconds_per_frame=0.03, start=0.016)
    >>> round(emission.seconds(2), 3)
    0.076
    """

    log_probs: npt.NDArray[np.float32]  # (frames, tokens)
    seconds_per_frame: float
    start: float = 0.0  # time of frame 0, in seconds
    duration: float = 0.0  # seconds of audio; 0 where it is not known

    def seconds(self, frame: float) -> float:
        """The time of a model frame, which may be a fraction."""
        return self.start + frame * self.seconds_per_frame
