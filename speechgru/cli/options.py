"""Options that several commands share."""

import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from speechgru.cpus import cpu_count

if TYPE_CHECKING:
    from speechgru.decoding.settings import Decoding


def stored_form(path: Path | None) -> Path | None:
    """A model's path as its name is stored, if only its other Unicode form (é as one character or
    two) exists: settings and calibration are looked for beside it."""
    if path is None or os.path.exists(path):
        return path
    from speechgru.misspelt import similar_path  # rarely needed

    return Path(similar_path(path)[0] or path)


Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu, cuda, cuda:1, …")]
Precision = Annotated[
    str,
    typer.Option(
        help="precision of recurrent layers on a CPU: float32, or bfloat16 where it is faster"
    ),
]
BatchSeconds = Annotated[
    float,
    typer.Option(help="seconds of audio per batch, padding included (more is faster on a GPU)"),
]
Model = Annotated[
    Path, typer.Option("--model", "-m", help="run folder or model file", callback=stored_form)
]
Threads = Annotated[
    int,
    typer.Option(min=0, help="number of CPU threads (0 = all available CPUs or OMP_NUM_THREADS)"),
]

Greedy = Annotated[
    bool,
    typer.Option(
        "--greedy",
        help="take the best character of each frame, without beam search  [default: only if there "
        "is no decoding.yaml, --lm, --vocabulary or --hotwords]",
    ),
]
DecodingFile = Annotated[
    Path | None,
    typer.Option(
        "--decoding",
        help="settings of the beam search, as written by `speechgru tune`  [default: "
        "decoding.yaml beside the model, if there is one]",
    ),
]
LanguageModel = Annotated[
    Path | None, typer.Option("--lm", help="n-gram language model (ARPA, plain or gzip)")
]
WordsFile = Annotated[
    Path | None,
    typer.Option(
        "--vocabulary",
        help="closed vocabulary: a file of the only words that can occur in the output, one per "
        "line, followed by its spelling where that differs ('7 seven')",
    ),
]
HotWords = Annotated[
    str | None,
    typer.Option(
        "--hotwords",
        metavar="FILE|PHRASES",
        help="phrases to prefer, such as 'anna:2,new york' (2: boost per character, by default 1), "
        "or a file with one per line",
    ),
]


def choose_decoder(
    model: Path,
    greedy: bool,
    file: Path | None = None,
    lm: Path | None = None,
    vocabulary: Path | None = None,
    hotwords: str | None = None,
) -> "str | Decoding":
    """What `Recognizer.load` takes as decoder: "greedy", or settings of a beam search."""
    from speechgru.decoding.settings import choose_decoding
    from speechgru.errors import SpeechgruError

    if not greedy:
        return choose_decoding(model, file, lm, vocabulary, hotwords) or "greedy"
    given = {"--decoding": file, "--lm": lm, "--vocabulary": vocabulary, "--hotwords": hotwords}
    if used := [name for name, value in given.items() if value is not None]:
        raise SpeechgruError(f"--greedy cannot be combined with {', '.join(used)}")
    return "greedy"


class RecipeCommand(TyperCommand):
    """A command with overrides of a recipe. An option that it does not have, but which is the name
    of a setting (`--epochs 3`), is answered with the override."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {name for each in self.params for name in (*each.opts, *each.secondary_opts)}
        for word, following in pairwise([*args, ""]):
            option, equals, value = word.partition("=")
            if option.startswith("--") and not {option, f"{option}s"} & known:
                from speechgru.errors import SpeechgruError
                from speechgru.recipe_file import setting_named

                key = setting_named(option[2:].rpartition(".")[2].replace("-", "_"))
                if key is not None:
                    value = value if equals or following.startswith("-") else following
                    raise SpeechgruError(
                        f"no option {option}: it is a setting of the recipe; write "
                        f"{key}={value or 'VALUE'}"
                    )
        return super().parse_args(ctx, args)


STREAMS = ("/dev/std", "/dev/fd/", "/dev/pts/", "/dev/tty", "/proc/")  # and what they redirect to


def check_outputs(*files: Path | None, inputs: Iterable[str | Path | None] = ()) -> None:
    """Raise SpeechgruError if one of these files could not be written, or would replace one of the
    inputs or another of them; before long work."""
    from speechgru.errors import SpeechgruError
    from speechgru.files import check_writable

    given = {os.path.realpath(file) for file in inputs if file is not None}
    written: set[str] = set()
    for file in files:
        if file is None:
            continue
        if str(file) == "-" or os.path.abspath(file).startswith(STREAMS):
            raise SpeechgruError(f"{file}: cannot be standard output; give the path of a file")
        check_writable(file)
        if os.path.realpath(file) in given:
            raise SpeechgruError(f"{file}: an input of this command; write to another file")
        if os.path.realpath(file) in written:
            raise SpeechgruError(f"{file}: two outputs of this command; write one to another file")
        written.add(os.path.realpath(file))


def use_threads(threads: int) -> None:
    """Let torch use this many CPU threads; 0: the default of `cpu_count`. Raises SpeechgruError for
    so many that starting them would take minutes."""
    from speechgru.errors import SpeechgruError

    if threads > max(64, 4 * (os.cpu_count() or 1)):
        raise SpeechgruError(f"--threads {threads}: this machine has {os.cpu_count()} CPUs")
    import torch

    torch.set_num_threads(threads or cpu_count())
