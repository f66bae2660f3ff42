"""`speechgru info`."""

from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import print_rows

if TYPE_CHECKING:
    from speechgru.info import ModelInfo

app = typer.Typer()


@app.command(
    epilog="Example: `speechgru info recipes/an4 model.hidden_size=256`, `speechgru info runs/an4`"
)
def info(
    source: Annotated[str, typer.Argument(help="run folder, model file or recipe")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="SECTION.KEY=VALUE", help="override settings of a recipe"),
    ] = None,
) -> None:
    """Show size, compute, frame rate and latency of a model, trained or described by a recipe."""
    from speechgru.info import describe

    show_info(describe(source, overrides or []))


def show_info(info: "ModelInfo") -> None:
    checkpoint = info.checkpoint
    features, model = checkpoint.config.features, checkpoint.config.model
    directions = "bidirectional" if model.bidirectional else "unidirectional"
    assumed = "" if info.trained else " (assumed; training takes them from the data)"
    if model.bidirectional:
        latency = "the whole utterance (the model is bidirectional)"
    elif info.look_ahead is None:
        latency = "the whole utterance (features are normalised over it)"
    else:
        latency = f"{1000 * info.look_ahead:g} ms from the beginning of a model frame"
    rows = {
        "model": f"{model.layers} × {model.hidden_size} {directions} {model.cell}, subsampling "
        f"×{model.factor} ({model.subsampling})",
        "features": f"{features.kind}, {checkpoint.extract.size} values per frame, "
        f"{features.window_ms:g} ms windows every {features.hop_ms:g} ms at "
        f"{features.sample_rate} Hz, normalisation: {features.normalise}",
        "vocabulary": f"{checkpoint.vocabulary}{assumed}",
        "parameters": f"{info.parameters:,} ({info.parameters * 4 / 1e6:.1f} MB as float32)",
        "compute": f"{info.macs / 1e6:,.1f} million multiply-accumulates per second of audio",
        "frame rate": f"{1 / info.seconds_per_frame:.1f} model frames per second "
        f"({1000 * info.seconds_per_frame:g} ms each)",
        "latency": latency,
    }
    if info.trained:
        rows["trained"] = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in checkpoint.metadata.items()
        )
    print_rows(rows)
