"""`speechgru audit`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from speechgru.cli.console import counting_progress, out, print_wide, show_written, warn
from speechgru.cli.options import Threads, check_outputs
from speechgru.errors import SpeechgruError, plural, printable

if TYPE_CHECKING:
    from speechgru.audit import AuditReport, ManifestFacts, Problem
    from speechgru.audit.cleaning import Cleaned
    from speechgru.audit.facts import Spread

app = typer.Typer()
SHOWN = 40  # characters of an alphabet
EXAMPLES = 3  # problems of each kind on screen; audit.json has all


@app.command(epilog="Example: `speechgru audit my/train.jsonl my/dev.jsonl my/test.jsonl`")
def audit(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST…", help="in the order train, dev, test")
    ],
    recipe: Annotated[
        str | None, typer.Option(help="recipe whose text rule, model.factor, … apply")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="also list texts that this model contradicts"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="folder for audit.json and audit.html  [default: the manifest's]"
        ),
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(help="folder for cleaned manifests and a list of the changes"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="exit status 1 if there are problems")
    ] = False,
    threads: Threads = 0,
) -> None:
    """Check manifests and decode every file: what is in them, and what is wrong.

    Nothing is changed. `--fix` writes copies of the manifests without the lines that cannot be
    trained on, with corrected durations, ids and Unicode forms."""
    from speechgru.audit import audit as run_audit
    from speechgru.audit.cleaning import cleaned_files, write_cleaned
    from speechgru.audit.report import FILES, write_report
    from speechgru.recipe_file import load_recipe

    folder = folder or manifests[0].parent
    if len({os.path.realpath(manifest) for manifest in manifests}) < len(manifests):
        raise SpeechgruError("a manifest is given twice; give each once")
    cleaned = [] if fix is None else cleaned_files(fix, manifests)
    check_outputs(*(folder / name for name in FILES), *cleaned, inputs=manifests)
    loaded = None if recipe is None else load_recipe(recipe)
    with counting_progress() as show:
        report = run_audit(manifests, loaded, model, threads, show)
    show_audit(report)
    files = write_report(report, folder)
    show_written(files)
    if fix is not None:
        show_cleaned(write_cleaned(fix, manifests, report.problems))
    if strict and report.problems:
        raise typer.Exit(1)


def show_audit(report: "AuditReport") -> None:
    """A column of facts for each manifest, then the problems by kind with some examples."""
    facts = report.facts.manifests
    table = Table("", *(printable(Path(each.manifest).name) for each in facts))
    for name, cells in _rows(facts).items():
        table.add_row(name, *map(printable, cells))
    print_wide(table)
    for leak in report.facts.leaks:
        shared = plural(leak.utterances, "utterance")
        warn(f"{leak.second} shares {leak.kind} with {leak.first}: {shared}")
    kinds = report.by_kind()
    for kind, problems in kinds.items():
        _show_kind(kind, problems)
    if not kinds:
        out.print("no problems found")


def _rows(manifests: "Sequence[ManifestFacts]") -> dict[str, list[str]]:
    return {
        "utterances": [f"{each.utterances:,}" for each in manifests],
        "hours": [f"{each.hours:.2f}" for each in manifests],
        "speakers": [f"{each.speakers:,}" for each in manifests],
        "sample rates": [", ".join(f"{rate} Hz" for rate in each.rates) for each in manifests],
        "formats": [", ".join(each.codecs) for each in manifests],
        "seconds": [_range(each.seconds, ".1f") for each in manifests],
        "level (dB)": [_range(each.level, ".0f") for each in manifests],
        "silence": [_range(each.silence, ".0%") for each in manifests],
        "characters per second": [_range(each.characters_per_second, ".1f") for each in manifests],
        "words": [f"{each.words:,}, {each.distinct_words:,} distinct" for each in manifests],
        "characters": [_characters(each) for each in manifests],
    }


def _range(spread: "Spread | None", form: str) -> str:
    return "–" if spread is None else f"{spread.p5:{form}} to {spread.p95:{form}}"


def _characters(facts: "ManifestFacts") -> str:
    chars = "".join(each.char for each in facts.characters)
    return chars if len(chars) <= SHOWN else f"{chars[:SHOWN]} … ({len(chars)})"


def _show_kind(kind: str, problems: "list[Problem]") -> None:
    from speechgru.audit import KINDS

    warn(f"{kind} ×{len(problems)}: {KINDS[kind].found}; {KINDS[kind].advice}")
    for problem in problems[:EXAMPLES]:
        line = f"  {problem.manifest}:{problem.line} {problem.id}: {problem.detail}"
        out.print(printable(line))
    if len(problems) > EXAMPLES:
        out.print(f"  and {len(problems) - EXAMPLES:,} more in audit.json")


def show_cleaned(cleaned: "Cleaned") -> None:
    out.print(
        f"{cleaned.kept:,} lines kept, {cleaned.corrected:,} of them corrected; "
        f"{cleaned.removed:,} removed",
    )
    show_written(cleaned.files)
