"""`speechgru init`."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import clock, counting_progress, out, show_written, warn
from speechgru.cli.options import stored_form
from speechgru.errors import SpeechgruError, plural, printable

if TYPE_CHECKING:
    from speechgru.audit import AuditReport
    from speechgru.project import Project, Sources
    from speechgru.proposal import Choice

app = typer.Typer()
LISTED = 5  # problems shown


@app.command(
    epilog="Example: `speechgru init my-recordings/`, then "
    "`speechgru train my-recordings.yaml --out runs/mine`"
)
def init(
    folder: Annotated[Path, typer.Argument(help="folder with recordings and their texts")],
    target: Annotated[
        Path, typer.Option("--out", help="folder for the recipe and the manifests")
    ] = Path(),
    layout: Annotated[
        str | None,
        typer.Option(
            help="how the folder is organised, if it is not recognised: kaldi, commonvoice, "
            "librispeech, an4, fsdd, digits, ljspeech, audiofolder, fairseq, lhotse, nemo, table, "
            "sidecar or words"
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=NAME",
            help="for a list of files and texts (CSV, TSV, …): which column, by name or number, is "
            "audio, text, speaker, id, lang, split, channel, offset, end or duration; "
            "text=FILE:COLUMN takes other spellings of the texts from another table",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="run folder of a model to fine-tune, if it fits the recordings",
            callback=stored_form,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite an earlier recipe")] = False,
    estimate: Annotated[
        bool, typer.Option(help="measure a few training steps, to estimate time and memory")
    ] = True,
) -> None:
    """Write manifests and a recipe for a folder of recordings, and explain each decision.

    The organisation of the folder is recognised. Sets for training, development and test are kept
    where it has them, else made so that no speaker, or at least no sentence, is in two of them.
    Nothing in the folder is changed. Exit status 1: utterances had to be excluded; all files are
    written without them."""
    from speechgru import project as steps
    from speechgru.model_file import read_model_file

    project = steps.new_project(folder, target, force)
    initial = None if model is None else read_model_file(model).config
    sources = steps.read_sources(folder, layout, _columns(column or []))
    show_sources(sources)
    if initial is not None and (reason := steps.unfit_model(sources, initial)) is not None:
        warn(f"  {printable(str(model))}: does not fit: {reason}; the recipe is one from scratch")
        model = initial = None
    files = steps.write_manifests(sources, project)
    with counting_progress() as show:
        report, sources = steps.audit_project(sources, project, initial, show)
    show_problems(report)
    show_choices(steps.write_recipe(sources, project, initial, report))
    show_written([*files, project.manifests / "audit.html", project.recipe])
    if left := sorted(set(project.manifests.glob("*.jsonl")) - set(files)):
        names = ", ".join(map(printable, left))
        warn(f"{names}: from an earlier run; the new sets may have the same recordings: delete it")
    if estimate:
        show_estimate(project, model)
    words = ["speechgru", "train", str(project.recipe)]
    words += [] if model is None else ["--init", str(model)]
    words += ["--out", f"runs/{project.name}"]
    out.print(f"next: {printable(shlex.join(words))}")
    unusable = {(p.manifest, p.id) for p in report.problems if p.kind in steps.UNUSABLE}
    if excluded := len(sources.prepared.problems) + len(unusable):
        warn(f"{plural(excluded, 'utterance')} excluded (see above), hence exit status 1")
        raise typer.Exit(1)


def _columns(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if wrong := [text for text, (_, equals, name) in zip(texts, pairs, strict=True) if not name]:
        raise SpeechgruError(f"--column {wrong[0]}: expected ROLE=NAME, such as text=Satz")
    return {role.strip(): name.strip() for role, _, name in pairs}


def show_sources(sources: "Sources") -> None:
    """How the folder was understood, and what is wrong with it."""
    from speechgru.corpora import LAYOUTS
    from speechgru.corpora.splits import describe_split

    def line(text: str) -> None:
        out.print(f"  {printable(text)}")

    description = LAYOUTS[sources.layout].description
    out.print(f"{printable(sources.folder)}: {sources.layout} ({description})")
    for note in (*sources.prepared.notes, *sources.notes):
        line(note)
    for split, utterances in sources.splits.items():
        line(f"  {describe_split(split, utterances)}")
    problems = sources.prepared.problems
    for problem in problems[:LISTED]:
        warn(f"  excluded: {problem}")
    if len(problems) > LISTED:
        warn(f"  excluded: {len(problems) - LISTED:,} more utterances")


def show_problems(report: "AuditReport") -> None:
    """What the audit found, and what of it is excluded."""
    from speechgru.cli.audit import show_audit
    from speechgru.project import UNUSABLE

    show_audit(report)
    if digits := [c for c in report.facts.manifests[0].characters if c.char.isdigit()]:
        warn(
            f"  texts: {max(each.texts for each in digits):,} or more have digits, such as "
            f"{digits[0].example!r}: write the words that are spoken, or set text.spell_numbers"
        )
    unusable = {(p.manifest, p.id): p for p in report.problems if p.kind in UNUSABLE}
    for kind in sorted({problem.kind for problem in unusable.values()}):
        ids = [problem.id for problem in unusable.values() if problem.kind == kind]
        warn(f"  excluded: {plural(len(ids), 'utterance')} ({kind}): {', '.join(ids[:LISTED])}")


def show_choices(choices: Sequence["Choice"]) -> None:
    for choice in choices:
        if choice.reason:
            settings = ", ".join(f"{key} {value}" for key, value in choice.settings.items())
            out.print(f"  {choice.section}: {settings} ({choice.reason})")


def show_estimate(project: "Project", model: Path | None) -> None:
    """Time and memory of the training; it needs torch, which takes a moment to load."""
    from speechgru.cli.options import use_threads
    from speechgru.recipe_file import load_recipe

    use_threads(0)
    from speechgru.training.estimate import estimate_training
    from speechgru.training.fine_tuning import adapted, read_initial

    recipe = load_recipe(project.recipe)
    found = estimate_training(recipe if model is None else adapted(recipe, read_initial(model)))
    memory = "" if found.bytes is None else f", {found.bytes / 1e6:,.0f} MB of memory"
    less = "fewer training.epochs" + ("" if model else " or a smaller model.hidden_size")
    out.print(
        f"training takes about {clock(found.seconds)} on this machine ({found.device}, "
        f"{plural(found.steps, 'step')}, {found.parameters / 1e6:.1f} million parameters{memory}); "
        f"{less} take less",
    )
