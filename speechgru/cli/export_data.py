"""`speechgru export-data`."""

from pathlib import Path
from typing import Annotated

import typer

from speechgru.cli.console import out, show_written
from speechgru.errors import SpeechgruError, plural

app = typer.Typer()


@app.command(
    "export-data",
    epilog="Example: `speechgru export-data my/train.jsonl my/dev.jsonl --to audiofolder --out hf`",
)
def export_data(
    manifests: Annotated[
        list[Path],
        typer.Argument(metavar="MANIFEST…", help="one per set; train.jsonl becomes the set train"),
    ],
    format_name: Annotated[
        str, typer.Option("--to", help="kaldi, audiofolder, nemo or commonvoice")
    ],
    folder: Annotated[Path, typer.Option("--out", help="new folder to write to")],
) -> None:
    """Write manifests in the format of another tool.

    audiofolder and commonvoice copy the audio, and write parts of recordings as files of their own;
    kaldi and nemo refer to it where it is."""
    from speechgru.corpora.export import export
    from speechgru.manifest import read_manifest

    names = [path.stem for path in manifests]
    if len(set(names)) < len(names):
        raise SpeechgruError(f"manifests with the same name: {', '.join(names)}; rename one")
    sets = {path.stem: read_manifest(path) for path in manifests}
    show_written(export(format_name, folder, sets))
    count = sum(map(len, sets.values()))
    out.print(f"{plural(count, 'utterance')} in {plural(len(sets), 'set')}")
