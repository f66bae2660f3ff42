"""Errors that users can fix: one family of exceptions, one readable line each.

The command line prints the message alone and exits with `exit_status`; everything else is a bug
and keeps its traceback.
"""

from pathlib import Path


def printable(path: str | Path) -> str:
    """The path as one printable line: newlines, control and undecodable bytes come escaped.

    >>> printable("a b.wav"), printable("two\\nlines.wav")
    ('a b.wav', 'two\\\\nlines.wav')
    """
    text = str(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class SpeechgruError(Exception):
    """An error in the input. The message names the input, what was found, what was expected and
    what to do, in one line: names in it are escaped here, so that callers need not."""

    exit_status = 2

    def __str__(self) -> str:
        return printable(super().__str__())


class RecipeError(SpeechgruError):
    """An unknown key, a value out of range, an unreadable recipe."""


class ManifestError(SpeechgruError):
    """A manifest line that is not an utterance."""


class CorpusError(SpeechgruError):
    """A folder that is not the corpus it was said to be."""


class AudioError(SpeechgruError):
    """A file without audio that can be decoded."""


class ScoringError(SpeechgruError):
    """References and hypotheses that cannot be compared."""


class CheckpointError(SpeechgruError):
    """A model or run folder that cannot be loaded."""


class LanguageModelError(SpeechgruError):
    """A language model, a text for one, or a word list that cannot be used."""


class TrainingError(SpeechgruError):
    """Training cannot start or continue with this data or recipe."""


class Diverged(TrainingError):
    """Steps in a row without a finite loss or gradient: a finding about recipe and data."""
