"""What a user did, or has, that we must explain: one family of exceptions, one readable line each.

The command line prints the message alone and exits with `exit_status`; everything else is a bug
and keeps its traceback.
"""


class SpeechgruError(Exception):
    """A fault in what we were given. The message names the thing, what was found, what was
    expected and what to do, in one line."""

    exit_status = 2


class RecipeError(SpeechgruError):
    """An unknown key, a value out of range, an unreadable recipe."""


class ManifestError(SpeechgruError):
    """A manifest line that is not an utterance."""


class CorpusError(SpeechgruError):
    """A folder that is not the corpus it was said to be."""


class AudioError(SpeechgruError):
    """A file that holds no sound we can read."""


class ScoringError(SpeechgruError):
    """References and hypotheses that cannot be compared."""


class CheckpointError(SpeechgruError):
    """A model or run folder that cannot be loaded."""


class TrainingError(SpeechgruError):
    """Training cannot start or go on with this data or recipe."""


class Diverged(TrainingError):
    """Steps in a row without a finite loss or gradient: a finding about recipe and data."""
