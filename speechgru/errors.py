"""Errors that users can fix: one family of exceptions, each with a message of one line; and what
messages are made of.

The command line prints the message and exits with `exit_status`. Any other exception is a bug and
keeps its traceback.
"""

from pathlib import Path
from typing import Literal


def printable(path: str | Path) -> str:
    """The path as one printable line: newlines, control characters and undecodable bytes escaped.

    >>> printable("a b.wav"), printable("two\\nlines.wav")
    ('a b.wav', 'two\\\\nlines.wav')
    """
    text = str(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def reason_of(error: Exception) -> str:
    """Why something failed, in one line: the operating system's reason, or else the message."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"


class SpeechgruError(Exception):
    """An error in the input. The message says in one line which input it is, what was found, what
    was expected and what to do. Names in it are escaped here, so callers need not do so."""

    exit_status = 2

    def __str__(self) -> str:
        return printable(super().__str__())


class RecipeError(SpeechgruError):
    """An unknown key, a value out of range, an unreadable recipe."""


class ManifestError(SpeechgruError):
    """A manifest that cannot be read or written."""


class CorpusError(SpeechgruError):
    """A folder that is not the expected corpus."""


class AudioError(SpeechgruError):
    """A file without audio that can be decoded; `kind` is why."""

    def __init__(
        self,
        message: str,
        kind: Literal["unreadable", "missing", "empty", "truncated"] = "unreadable",
    ) -> None:
        super().__init__(message)
        self.kind = kind


def none_readable(failed: dict[str, str]) -> AudioError:
    """For a manifest none of whose utterances (id → reason) can be read; the command was right."""
    first = next(iter(failed.values()))
    error = AudioError(f"none of the {len(failed)} utterances can be read; the first: {first}")
    error.exit_status = 1
    return error


class ScoringError(SpeechgruError):
    """References and hypotheses that cannot be compared."""


class CheckpointError(SpeechgruError):
    """A model or run folder that cannot be loaded."""


class LanguageModelError(SpeechgruError):
    """A language model, a text for one, or a word list that cannot be used."""


class TrainingError(SpeechgruError):
    """Training cannot start or continue with this data or recipe."""


class Diverged(TrainingError):
    """Too many steps in a row with a NaN or Inf loss or gradient."""
