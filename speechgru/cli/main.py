"""The `speechgru` command: its groups of commands, and how errors reach the user."""

import errno
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from speechgru.cli import (
    align,
    audit,
    calibrate,
    compare,
    evaluate,
    export_data,
    info,
    init,
    listen,
    lm,
    prepare,
    train,
    transcribe,
    tune,
)
from speechgru.cli.console import LogHandler
from speechgru.errors import SpeechgruError


class _Commands(TyperGroup):
    """Typer itself ends Ctrl-C without a message."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if ctx.params["debug"]:
                traceback.print_exc()
            typer.echo("speechgru: interrupted", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: `speechgru train recipes/digits --out runs/digits`, then "
    "`speechgru transcribe a.wav --model runs/digits`. "
    "`speechgru --debug COMMAND …` shows the traceback of an error.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"speechgru {version('speechgru')}")
        raise typer.Exit


@app.callback()
def _speechgru(
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of errors")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="show the version and exit"
        ),
    ] = False,
) -> None:
    """Train a small speech recogniser (GRU, LSTM or RNN with CTC) on your own recordings,
    transcribe with it, and compare the cells."""
    # run() reads --debug from sys.argv: an error may come before typer has parsed anything.


_GROUPS = (
    init, audit, prepare, train, tune, evaluate, transcribe, listen, align,
    calibrate, compare, info, export_data,
)  # fmt: skip
for _group in _GROUPS:
    app.add_typer(_group.app)
app.add_typer(lm.app, name="lm")


def main() -> None:
    """Entry point of the `speechgru` command."""
    run(app, "speechgru")


def run(application: typer.Typer, name: str) -> None:
    """Run a typer application. An error that a user can fix is one line, with --debug after its
    traceback; any other keeps its traceback."""
    debug = "--debug" in sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # terminals without UTF-8 must not crash us
            stream.reconfigure(errors="backslashreplace")
    logger = logging.getLogger("speechgru")
    logger.setLevel(logging.INFO)
    logger.addHandler(LogHandler())
    try:
        try:
            _check_empty((name, *sys.argv[1:]))
            application([_in_home(word) for word in sys.argv[1:]], prog_name=name)
        finally:
            print(end="", flush=True)  # at the exit, an error could not be caught
    except (SpeechgruError, OSError) as error:
        message, status = str(error), 2
        if isinstance(error, SpeechgruError):
            status = error.exit_status
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"{error.filename or 'standard output'}: cannot be written: {error.strerror}"
            # what is left in the buffer would fail again at the exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            raise
        if debug:
            traceback.print_exc()
        typer.echo(f"speechgru: {message}", err=True)
        sys.exit(status)


def _check_empty(words: Sequence[str]) -> None:
    """Raises SpeechgruError for an empty word: as a path, it would be the current folder."""
    for before, word in pairwise(words):
        if not word or (word.startswith("--") and word.endswith("=")):
            raise SpeechgruError(
                f"an empty argument, {word or f'after {before}'}: expected a value; is a variable "
                "of the shell unset?"
            )


def _in_home(word: str) -> str:
    """`--out=~/a` with the home folder's path: shells expand ~ at the beginning of a word only."""
    option, equals, value = word.partition("=")
    expanded = option.startswith("--") and value.startswith("~")
    return option + equals + os.path.expanduser(value) if expanded else word
