"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cpus import cpu_count

if TYPE_CHECKING:
    from speechgru.decoding.settings import Decoding

Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu, cuda, cuda:1, …")]
Precision = Annotated[
    str, typer.Option(help="precision of recurrent layers on a CPU: float32, or bfloat16 (faster)")
]
BatchSeconds = Annotated[
    float,
    typer.Option(help="seconds of audio per batch, padding included (more is faster on a GPU)"),
]
Model = Annotated[Path, typer.Option("--model", "-m", help="run folder or model file")]
Threads = Annotated[
    int,
    typer.Option(min=0, help="number of CPU threads (0 = all available CPUs or OMP_NUM_THREADS)"),
]

Greedy = Annotated[
    bool, typer.Option("--greedy", help="take the best character of each frame: no beam search")
]
DecodingFile = Annotated[
    Path | None,
    typer.Option(
        "--decoding", help="settings of the beam search  [default: decoding.yaml beside the model]"
    ),
]
LanguageModel = Annotated[
    Path | None, typer.Option("--lm", help="n-gram language model (ARPA, plain or gzip)")
]
WordsFile = Annotated[
    Path | None,
    typer.Option(
        "--vocabulary", help="file of the only words to write, one per line (or WORD SPELLING)"
    ),
]
HotWords = Annotated[
    str | None,
    typer.Option(
        "--hotwords",
        metavar="FILE|PHRASES",
        help="phrases to prefer, such as 'anna:2,new york' (2: boost per character), or a file "
        "with one per line",
    ),
]


def choose_decoder(
    model: Path,
    greedy: bool,
    file: Path | None,
    lm: Path | None,
    vocabulary: Path | None,
    hotwords: str | None,
) -> "str | Decoding":
    """What `Recognizer.load` takes as decoder: "greedy", or settings of a beam search."""
    from speechgru.decoding.settings import choose_decoding
    from speechgru.errors import SpeechgruError

    if not greedy:
        return choose_decoding(model, file, lm, vocabulary, hotwords) or "greedy"
    given = {"--decoding": file, "--lm": lm, "--vocabulary": vocabulary, "--hotwords": hotwords}
    if used := [name for name, value in given.items() if value is not None]:
        raise SpeechgruError(f"--greedy uses no {', '.join(used)}; give one or the other")
    return "greedy"


def use_threads(threads: int) -> None:
    """Let torch use this many CPU threads; 0: the default of `cpu_count`."""
    import torch

    torch.set_num_threads(threads or cpu_count())
