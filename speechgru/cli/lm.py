"""`speechgru lm train`, `perplexity` and `info`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import out, print_rows, show_written, warn
from speechgru.cli.options import check_outputs
from speechgru.errors import plural

if TYPE_CHECKING:
    from speechgru.lm import NGram
    from speechgru.lm.text import Perplexity
    from speechgru.model_file import ModelFile

app = typer.Typer(name="lm", help="Train and inspect n-gram language models.", no_args_is_help=True)

Texts = Annotated[
    list[Path],
    typer.Argument(help="text files (one sentence per line, plain or gzip) or manifests"),
]
LanguageModelFile = Annotated[Path, typer.Argument(metavar="LM", help="ARPA file, plain or gzip")]
RunModel = Annotated[
    Path | None,
    typer.Option(
        "--model", "-m",
        help="normalise the texts as this run folder or model file does  [default: lower case, "
        "punctuation removed]",
    ),
]  # fmt: skip


@app.command(epilog="Example: `speechgru lm train data/an4/train.jsonl --out an4.arpa.gz`")
def train(
    texts: Texts,
    file: Annotated[
        Path, typer.Option("--out", help="ARPA file to write; compressed if it ends in .gz")
    ],
    order: Annotated[int, typer.Option(min=1, max=20, help="length of the longest n-grams")] = 3,
    unit: Annotated[str, typer.Option(help="word or character")] = "word",
    model: RunModel = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(help="file of the words to use, one per line; others become `<unk>`"),
    ] = None,
    min_count: Annotated[
        int, typer.Option(min=1, help="remove n-grams of 2 or more words that occur less often")
    ] = 1,
    prune: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="remove n-grams that raise the perplexity by less than this fraction (1e-8 is a "
            "little, 1e-6 a lot)",
        ),
    ] = 0.0,
) -> None:
    """Train an n-gram language model: interpolated modified Kneser–Ney, or Witten–Bell for orders
    with too few counts."""
    from speechgru.decoding.lexicon import read_vocabulary
    from speechgru.errors import LanguageModelError
    from speechgru.files import atomic_write
    from speechgru.lm.arpa import arpa_bytes
    from speechgru.lm.counting import read_corpus
    from speechgru.lm.sentences import read_sentences
    from speechgru.lm.smoothing import train as run_training

    check_outputs(file, inputs=(*texts, vocabulary))
    if unit not in ("word", "character"):
        raise LanguageModelError(f"--unit {unit!r}: expected word or character")
    rule = _text_rule(_read_model(model))
    words = None
    if vocabulary is not None:
        words = [word for word, _ in read_vocabulary(vocabulary, rule)]
    corpus = read_corpus(read_sentences(texts), unit, rule, words, _names(texts))  # type: ignore[arg-type]
    trained = run_training(corpus, order, unit, min_count, prune)  # type: ignore[arg-type]
    atomic_write(file, arpa_bytes(trained.model, file.suffix == ".gz"), LanguageModelError)
    out.print(f"{plural(corpus.tokens, unit)} in {plural(corpus.sentences, 'sentence')}")
    if corpus.unknown:
        share = 100 * corpus.unknown / corpus.tokens
        out.print(f"{corpus.unknown:,} of them ({share:.1f} %) are not in the vocabulary")
    counts = trained.model.counts()
    for number, smoothing in enumerate(trained.smoothing, 1):
        count = counts[number - 1] if number <= len(counts) else 0
        few = "" if smoothing == "kneser-ney" else " (too few counts for Kneser–Ney)"
        name = {"kneser-ney": "modified Kneser–Ney", "witten-bell": "Witten–Bell"}[smoothing]
        out.print(f"{number}-grams: {count:,}, {name}{few}")
    if len(trained.smoothing) < order:
        warn(f"order {len(trained.smoothing)}, not {order}: no sentence is longer")
    show_written([file])


@app.command(epilog="Example: `speechgru lm perplexity an4.arpa.gz data/an4/dev.jsonl`")
def perplexity(lm: LanguageModelFile, texts: Texts, model: RunModel = None) -> None:
    """Measure how well a language model predicts text: perplexity and unknown words."""
    from speechgru.lm.sentences import read_sentences
    from speechgru.lm.store import load_ngram
    from speechgru.lm.text import measure

    ngram = load_ngram(lm)
    rule = _text_rule(_read_model(model))
    found = measure(ngram, read_sentences(texts), rule, _names(texts))
    print_rows(_perplexity_rows(found, ngram.unit))


@app.command(
    epilog="Example: `speechgru lm info en.arpa.gz --model runs/an4 --text data/an4/dev.jsonl`"
)
def info(
    lm: LanguageModelFile,
    model: RunModel = None,
    texts: Annotated[
        list[Path] | None,
        typer.Option(
            "--text", help="text file or manifest on which to measure unknown words and perplexity"
        ),
    ] = None,
) -> None:
    """Describe a language model: its order, words and n-grams; with --model, which of its words
    that recogniser cannot write."""
    from speechgru.lm.sentences import read_sentences
    from speechgru.lm.store import load_ngram
    from speechgru.lm.text import measure

    ngram, recogniser = load_ngram(lm), _read_model(model)
    rows = {
        "unit": ngram.unit,
        "order": f"{ngram.order}",
        "n-grams": ", ".join(f"{count:,}" for count in ngram.counts()),
        f"{ngram.unit}s": f"{ngram.size:,}",
    }
    if recogniser is not None:
        rows |= _unwritable_rows(ngram, recogniser)
    if texts:
        found = measure(ngram, read_sentences(texts), _text_rule(recogniser), _names(texts))
        rows |= _perplexity_rows(found, ngram.unit)
    print_rows(rows)


def _names(files: list[Path]) -> str:
    return ", ".join(map(str, files))


def _read_model(path: Path | None) -> "ModelFile | None":
    from speechgru.model_file import read_model_file

    return None if path is None else read_model_file(path)


def _text_rule(model: "ModelFile | None") -> Callable[[str], str]:
    from speechgru.recipe import TextRecipe
    from speechgru.text import normalise

    recipe = TextRecipe() if model is None else model.config.text
    return lambda text: normalise(text, recipe)


def _unwritable_rows(lm: "NGram", model: "ModelFile") -> dict[str, str]:
    """What the recogniser can write of the language model's words."""
    from collections import Counter

    from speechgru.decoding.lexicon import word_numbers

    words = word_numbers(lm, model.vocabulary, _text_rule(model))
    missing: Counter[str] = Counter()
    for word in words:
        missing.update(set(model.vocabulary.unknown(word)))
    count = sum(bool(model.vocabulary.unknown(word)) for word in words)
    rows = {"cannot be written": f"{count:,} of {len(words):,}"}
    if missing:
        listed = ", ".join(f"{char!r} in {n:,}" for char, n in missing.most_common(10))
        rows[f"{model.vocabulary.unit}s"] = f"{listed} are not in the recogniser's vocabulary"
    return rows


def _perplexity_rows(found: "Perplexity", unit: str) -> dict[str, str]:
    worst = ", ".join(f"{word!r} ×{count}" for word, count in found.worst)
    return {
        "text": f"{plural(found.units, unit)} in {plural(found.sentences, 'sentence')}",
        "unknown": f"{found.unknown:,} ({100 * found.unknown_rate:.2f} %)"
        + (f": {worst}" if worst else ""),
        "perplexity": f"{found.perplexity:.2f} without unknown {unit}s, {found.with_unknown:.2f} "
        "with them",
    }
