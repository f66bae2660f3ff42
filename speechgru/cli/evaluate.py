"""`speechgru evaluate`, `score` and `significance`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.table import Table

from speechgru.cli.console import (
    counting_progress,
    numbers,
    out,
    print_rows,
    print_wide,
    show_written,
    warn,
)
from speechgru.cli.options import (
    BatchSeconds,
    DecodingFile,
    Device,
    Greedy,
    HotWords,
    LanguageModel,
    Model,
    Precision,
    Threads,
    WordsFile,
    check_outputs,
    choose_decoder,
    use_threads,
)
from speechgru.errors import plural

if TYPE_CHECKING:
    from speechgru.conditions import ConditionReport
    from speechgru.evaluation import Evaluation, GreedyComparison
    from speechgru.scoring import Format, Score
    from speechgru.scoring.mapsswe import PairReport

app = typer.Typer()

MOST_SHOWN = 10  # speakers or confusions on screen

Json = Annotated[
    Path | None, typer.Option("--json", help="also write all figures to this JSON file")
]
Worst = Annotated[
    int,
    typer.Option(min=0, help="number of utterances to show with aligned words, most errors first"),
]
Reference = Annotated[
    Path,
    typer.Argument(
        metavar="REF",
        help="reference texts: trn (lines of TEXT (ID)), Kaldi text (ID TEXT), plain text (matched "
        "by line), stm or ctm",
    ),
]
FileFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="format of the files: trn, kaldi, plain, stm (with hypotheses in ctm) or ctm  "
        "[default: recognised]",
    ),
]
IgnoreCase = Annotated[
    bool, typer.Option("--ignore-case", help="ignore letter case, as sclite does by default")
]


@app.command(epilog="Example: `speechgru evaluate data/an4/test.jsonl --model runs/an4`")
def evaluate(
    manifest: Annotated[
        Path, typer.Argument(help="JSON lines with audio_filepath, duration and text")
    ],
    model: Model,
    json: Json = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="folder for ref.trn, hyp.trn and score.json  [default: results/MANIFEST in the "
            "run folder]",
        ),
    ] = None,
    worst: Worst = 5,
    conditions: Annotated[
        bool,
        typer.Option(
            "--conditions",
            help="also score the manifest under standard conditions: silence, noise, levels, "
            "telephone, reverberation, codecs (about 25 times the work)",
        ),
    ] = False,
    device: Device = "auto",
    precision: Precision = "float32",
    batch_seconds: BatchSeconds = 30.0,
    threads: Threads = 0,
    greedy: Greedy = False,
    decoding: DecodingFile = None,
    lm: LanguageModel = None,
    vocabulary: WordsFile = None,
    hotwords: HotWords = None,
) -> None:
    """Score a model on a manifest: WER and CER with error counts, a confidence interval and the
    utterances with the most errors."""
    use_threads(threads)
    from speechgru.evaluation import evaluate as run_evaluation
    from speechgru.evaluation import results_folder, write_results
    from speechgru.model_file import model_path
    from speechgru.recognizer import Recognizer

    folder = folder or results_folder(model_path(model).parent, manifest)
    inputs = (manifest, decoding, lm, vocabulary, hotwords)  # hotwords may be a file, too
    check_outputs(folder / "score.json", inputs=inputs)
    check_outputs(json, inputs=inputs)  # may be the same file, of the same content
    decoder = choose_decoder(model, greedy, decoding, lm, vocabulary, hotwords)
    recognizer = Recognizer.load(model, device, precision, batch_seconds, decoder, hotwords)
    with counting_progress() as show:
        evaluation = run_evaluation(recognizer, manifest, show)
    show_evaluation(evaluation, worst)
    show_written(write_results(evaluation, folder, json))
    if conditions:
        from speechgru.conditions import evaluate_conditions, write_conditions

        with counting_progress() as show:
            report = evaluate_conditions(recognizer, manifest, show)
        show_conditions(report)
        show_written(write_conditions(report, folder))
    elif os.path.exists(earlier := folder / "conditions.json"):
        warn(f"{earlier} is from an earlier evaluation; --conditions measures it again")
    if evaluation.failed:
        raise typer.Exit(1)


@app.command(epilog="Example: `speechgru score ref.trn hyp.trn`")
def score(
    reference: Reference,
    hypothesis: Annotated[
        Path,
        typer.Argument(
            metavar="HYP",
            help="texts of any recogniser, in one of the same formats; in ctm for stm and ctm",
        ),
    ],
    file_format: FileFormat = None,
    ignore_case: IgnoreCase = False,
    json: Json = None,
    worst: Worst = 5,
) -> None:
    """Score hypotheses against references: WER and CER with the error counts of NIST's sclite."""
    from speechgru import scoring
    from speechgru.files import write_json

    check_outputs(json, inputs=(reference, hypothesis))
    texts = scoring.read_matched(
        reference, hypothesis, format=check_format(file_format), ignore_case=ignore_case
    )
    result = scoring.score_matched(texts)
    show_score(result, worst, texts.read_as)
    if json:
        write_json(json, result.to_json() | scoring.breakdown(result))


@app.command(
    epilog="Example: `speechgru significance ref.trn gru1.trn,gru2.trn lstm1.trn,lstm2.trn`"
)
def significance(
    reference: Reference,
    a: Annotated[
        str,
        typer.Argument(
            metavar="HYP_A",
            help="texts of system A; files of several seeds separated by commas",
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="HYP_B", help="texts of system B, given likewise")],
    margin: Annotated[
        float | None,
        typer.Option(
            help="difference in WER, in percentage points, that is too small to matter: within it "
            "systems are called equivalent  [default: a tenth of the mean WER]"
        ),
    ] = None,
    file_format: FileFormat = None,
    ignore_case: IgnoreCase = False,
    json: Json = None,
) -> None:
    """Test whether one system has a lower WER than another: paired bootstrap and NIST's MAPSSWE."""
    from speechgru.files import write_json
    from speechgru.scoring.mapsswe import compare_files, split_names

    check_outputs(json, inputs=[reference, *split_names(a), *split_names(b)])
    margin = None if margin is None else margin / 100
    report = compare_files(reference, a, b, margin, check_format(file_format), ignore_case)
    show_significance(report)
    if json:
        write_json(json, report.to_json())


def check_format(name: str | None) -> "Format | None":
    from speechgru.scoring.transcripts import FORMATS

    if name is not None and name not in FORMATS:
        raise typer.BadParameter(f"{name!r}; expected {', '.join(FORMATS)}", param_hint="--format")
    return cast("Format | None", name)


def show_evaluation(evaluation: "Evaluation", worst: int) -> None:
    show_score(evaluation.score, worst, evaluation.normalisation)
    out.print(f"decoder: {evaluation.decoder}")
    if evaluation.greedy is not None:
        show_greedy(evaluation.greedy)
    if evaluation.unknown:
        listed = ", ".join(f"{char!r} ×{count}" for char, count in evaluation.unknown.items())
        warn(f"not in the model's vocabulary, counted as errors: {listed}")
    for id_, reason in evaluation.failed.items():
        warn(f"not scored: {id_}: {reason}")


def show_conditions(report: "ConditionReport") -> None:
    table = Table("condition", *numbers("WER", "95 % interval"))
    for name, scored in report.scores.items():
        low, high = scored.wer_ci95
        table.add_row(name, f"{scored.wer:.2%}", f"{low:.2%} to {high:.2%}")
    out.print(table)
    counts = ", ".join(f"{name} {count:.1f}" for name, count in report.words_per_minute.items())
    out.print(f"words per minute without speech: {counts}")


def show_greedy(comparison: "GreedyComparison") -> None:
    from speechgru.scoring.significance import p_text, signed_points

    greedy, outside = comparison.score, comparison.outside
    line = f"greedy: WER {100 * greedy.wer:.2f} %, CER {100 * greedy.cer:.2f} %"
    if (difference := comparison.difference) is not None:
        low, high = (signed_points(end) for end in difference.ci95)
        line += (
            f"; difference {signed_points(difference.difference)} points of WER (paired, 95 % "
            f"interval {low} to {high}, {p_text(difference.p)})"
        )
    out.print(line)
    if outside is not None:
        out.print(
            f"words outside the lexicon: {outside.words}; wrong: {outside.errors}, "
            f"{100 * outside.share:.1f} % of all errors"
        )


def show_score(score: "Score", worst: int, normalisation: str) -> None:
    from speechgru.scoring import alignment_lines, superficial
    from speechgru.scoring import worst as find_worst

    for utterance in find_worst(score, worst):
        out.print(alignment_lines(utterance))
        out.print()
    show_breakdown(score)
    if alike := superficial(score):
        reference, hypothesis = alike[0]
        warn(
            f"errors in letter case, punctuation or invisible characters only: {len(alike)} of "
            f"{score.words.errors}, such as {reference!r} and {hypothesis!r}; were both sides "
            "normalised alike?"
        )
    if score.words.reference == 0:
        warn("the references contain no words: these are counts of insertions, not rates")
    low, high = (100 * end for end in score.wer_ci95)
    words, characters = score.words, score.characters
    out.print(
        f"WER {100 * score.wer:.2f} %  (95 % interval {low:.2f} % to {high:.2f} %, over "
        f"{score.ci_unit}s)  {plural(words.errors, 'error')} in {plural(words.reference, 'word')}: "
        f"{plural(words.substitutions, 'substitution')}, {plural(words.deletions, 'deletion')}, "
        f"{plural(words.insertions, 'insertion')}",
    )
    out.print(
        f"CER {100 * score.cer:.2f} %  {plural(characters.errors, 'error')} in "
        f"{plural(characters.reference, 'character')}; "
        f"{plural(len(score.utterances), 'utterance')}",
    )
    out.print(f"normalisation of both sides: {normalisation}")


def show_breakdown(score: "Score") -> None:
    """WER per speaker and, of a small vocabulary, the most frequent confusions."""
    from speechgru.scoring import by_speaker, confusions

    speakers, words = by_speaker(score), confusions(score)
    if len(speakers) > 1:
        table = Table("speaker", *numbers("WER", "errors", "words"))
        for each in speakers[:MOST_SHOWN]:
            counts = each.words
            table.add_row(
                each.speaker, f"{counts.rate:.2%}", str(counts.errors), str(counts.reference)
            )
        print_first(table, "speaker", len(speakers))
    if words is not None and words.errors:
        table = Table("reference", "hypothesis", *numbers("count"))
        for reference, hypothesis, count in words.errors[:MOST_SHOWN]:
            table.add_row(reference or "(inserted)", hypothesis or "(deleted)", str(count))
        print_first(table, "confusion", len(words.errors))


def print_first(table: Table, noun: str, total: int) -> None:
    print_wide(table)
    if total > MOST_SHOWN:
        out.print(f"… and {plural(total - MOST_SHOWN, f'more {noun}')}; JSON files have all")
    out.print()


def show_significance(report: "PairReport") -> None:
    from speechgru.scoring.mapsswe import FEW
    from speechgru.scoring.significance import p_text, signed, signed_points

    test = report.bootstrap
    low, high = (signed_points(end) for end in test.ci95)
    rows = {
        name: f"WER {100 * wer:.2f} %  {', '.join(files)}"
        for name, files, wer in zip("AB", report.names, (test.rate_a, test.rate_b), strict=True)
    }
    rows["A − B"] = f"{signed_points(test.difference)} points of WER"
    rows["bootstrap"] = f"95 % interval {low} to {high}, {p_text(test.p)}"
    for number, pairs in enumerate(report.matched_pairs, 1):
        name = f"MAPSSWE {number}" if len(report.matched_pairs) > 1 else "MAPSSWE"
        few = f" (fewer than {FEW}: unreliable)" if pairs.segments < FEW else ""
        verdict = pairs.verdict
        rows[name] = (
            f"z = {signed(pairs.z)}, {p_text(pairs.p)}, {plural(pairs.segments, 'segment')}{few}: "
            + (f"A is {verdict} than B" if verdict in ("better", "worse") else verdict)
        )
    if report.unmatched:
        rows["no MAPSSWE"] = f"{', '.join(report.unmatched)}: the other system has fewer files"
    out.print(f"{plural(report.utterances, 'utterance')}, {plural(report.words, 'word')}")
    print_rows(rows)
    out.print(
        f"Minimum detectable difference: {100 * test.minimum_detectable:.2f} points (found 8 times "
        "in 10)"
    )
    out.print(f"Verdict: {test.sentence()}")
