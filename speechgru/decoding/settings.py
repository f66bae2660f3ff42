"""Which decoder a recogniser uses: the file `decoding.yaml`, and what a command line changes.

Paths in the file are relative to its folder, or absolute. The digests make sure that weights are
used with the language model and the words they were chosen with.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, ValidationError

from speechgru.decoding.beam import BeamSearch
from speechgru.decoding.graph import Options
from speechgru.decoding.hotwords import read_hotwords
from speechgru.decoding.lexicon import Lexicon, Pairs, build_lexicon, read_vocabulary, word_numbers
from speechgru.errors import LanguageModelError, printable
from speechgru.files import atomic_write
from speechgru.lm.ngram import END, SPACE, START, UNKNOWN, NGram
from speechgru.lm.store import file_digest, load_ngram
from speechgru.misspelt import why_unreadable
from speechgru.model_file import model_path
from speechgru.recipe import Section, to_yaml
from speechgru.recipe_errors import expected_values
from speechgru.recipe_file import parse_yaml
from speechgru.text import Vocabulary

log = logging.getLogger(__name__)
Normalise = Callable[[str], str]
FILE = "decoding.yaml"
UNTUNED_WORD_SCORE = 0.5  # with a language model, which makes every word cost something


class Decoding(Section):
    """The files and weights of a beam search. Scores are natural logarithms."""

    lm: str | None = Field(None, description="ARPA file")
    lm_sha256: str | None = None
    vocabulary: str | None = Field(None, description="file of the words to write")
    vocabulary_sha256: str | None = None
    beam: int = Field(100, ge=1, le=10_000, description="hypotheses kept after each frame")
    lm_weight: float = Field(0.6, ge=0, description="factor of the language model's score")
    word_score: float = Field(0.0, description="added per word (without words, per character)")
    unknown_cost: float | None = Field(
        8.0, ge=0, description="of a word that is not among the words; null: there are none"
    )
    token_threshold: float = Field(
        -8.0, lt=0, description="characters less probable than this in a frame are not tried"
    )
    beam_threshold: float = Field(
        12.0, gt=0, description="hypotheses this much worse than the best are dropped"
    )

    def options(self) -> Options:
        return Options(
            self.beam, self.lm_weight, self.word_score, self.unknown_cost,
            self.token_threshold, self.beam_threshold,
        )  # fmt: skip

    def changed(
        self, lm: str | Path | None = None, vocabulary: str | Path | None = None
    ) -> "Decoding":
        """With another language model or other words, whatever their content. A vocabulary of its
        own is closed."""
        values = self.model_dump()
        if lm is not None:
            values |= {"lm": str(lm), "lm_sha256": None}
        if vocabulary is not None:
            values |= {"vocabulary": str(vocabulary), "vocabulary_sha256": None}
            values["unknown_cost"] = None
        return Decoding(**values)


def choose_decoding(
    model: str | Path,
    file: str | Path | None = None,
    lm: str | Path | None = None,
    vocabulary: str | Path | None = None,
    hotwords: str | Path | None = None,
) -> Decoding | None:
    """The settings for a model: of `file`, else of the decoding.yaml beside the model, changed by
    what else is given. None (greedy decoding) without any of these.

    Raises LanguageModelError as `read_decoding` does.
    """
    beside = model_path(model).with_name(FILE)
    if file is None and os.path.exists(beside):
        file = beside
    if file is not None:
        found = read_decoding(file)
        if lm is not None and found.lm_weight == 0:
            log.warning(
                "%s: lm_weight is 0: %s has no influence but by its words; run `speechgru tune` "
                "with it", file, lm,
            )  # fmt: skip
        return found.changed(lm, vocabulary)
    if lm is None and vocabulary is None and hotwords is None:
        return None
    untuned = Decoding() if lm is None else Decoding(word_score=UNTUNED_WORD_SCORE)
    return untuned.changed(lm, vocabulary)


def read_decoding(path: str | Path) -> Decoding:
    """Raises LanguageModelError: unreadable, an unknown key, a value out of range."""
    try:
        decoding = Decoding(**parse_yaml(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be read: {why_unreadable(path, error)}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        fields = Decoding.model_fields
        expected = expected_values(fields[key]) if key in fields else f"only {', '.join(fields)}"
        found = f", found {first['input']!r:.60}" if key in fields else ""
        raise LanguageModelError(f"{path}: {key}: expected {expected}{found}") from None
    except (ValueError, TypeError):
        names = ", ".join(Decoding.model_fields)
        raise LanguageModelError(
            f"{path}: expected lines KEY: VALUE with the keys {names}"
        ) from None
    folder = Path(os.path.realpath(path)).parent
    files = {name: getattr(decoding, name) for name in ("lm", "vocabulary")}
    return decoding.model_copy(
        update={name: str(folder / file) for name, file in files.items() if file is not None}
    )


def write_decoding(path: Path, decoding: Decoding, note: str) -> None:
    """Write the settings with the digests of their files. `note` becomes a comment."""
    values = decoding.model_dump()
    folder = Path(os.path.realpath(path)).parent
    for name in ("lm", "vocabulary"):
        if (file := values[name]) is not None:
            values[f"{name}_sha256"] = file_digest(file)
            real = Path(os.path.realpath(file))
            inside = real.is_relative_to(folder)
            values[name] = str(real.relative_to(folder) if inside else real)
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    atomic_write(path, comment + to_yaml(values))


def load_decoder(
    decoding: Decoding,
    vocabulary: Vocabulary,
    normalise: Normalise,
    hotwords: str | Path | None = None,
) -> BeamSearch:
    """The decoder for a model with this vocabulary and text rule.

    Args:
        hotwords: as `read_hotwords` takes them.

    Raises:
        LanguageModelError: a file that is missing, broken or not the one the weights were chosen
            with; words, hot words or a language model that the model cannot write.
    """
    lm = None
    if decoding.lm is not None:
        _check_digest(decoding.lm, decoding.lm_sha256)
        lm = _load_lm(decoding.lm, vocabulary, normalise)
    phrases = {} if hotwords is None else read_hotwords(hotwords, normalise)
    lexicon = _lexicon(decoding, vocabulary, normalise, lm, phrases)
    return BeamSearch(
        vocabulary, decoding.options(), lm, lexicon, _writable(phrases, lexicon, vocabulary)
    )


def _load_lm(path: str, vocabulary: Vocabulary, normalise: Normalise) -> NGram:
    """A language model that fits the recogniser; what it lacks of the characters is named."""
    lm = load_ngram(path)
    if lm.unit == "word":
        words = [word for word in lm.words if word not in (START, END, UNKNOWN)]
        if " " in vocabulary.tokens and max(map(len, words), default=2) < 2:
            log.warning(
                "%s: all its words are single characters; in a model of characters, %s stands for "
                "the space", path, SPACE,
            )  # fmt: skip
        return lm
    if vocabulary.kind != "characters":
        raise LanguageModelError(
            f"{path}: a language model of characters, expected one of words: the recogniser "
            f"writes {vocabulary}"
        )
    lm = lm.in_normal_form(normalise)
    characters = [token for token in vocabulary.tokens[1:] if token != " "]
    missing = [token for token in characters if not lm.number(token)]
    if len(missing) == len(characters):
        raise LanguageModelError(
            f"{path}: has none of the characters that the model writes; it has {vocabulary}"
        )
    if missing:
        log.warning(
            "%s: lacks %d of the %d characters that the model writes; they are unknown in it: %s",
            path, len(missing), len(characters), printable(" ".join(missing[:20])),
        )  # fmt: skip
    return lm


def _writable(
    phrases: dict[str, float], lexicon: Lexicon | None, vocabulary: Vocabulary
) -> dict[str, float]:
    """The hot words that the model can write; the others are named, and an error if there are no
    more."""
    spelled = lexicon.other_spellings if lexicon else {}
    others = [
        phrase
        for phrase in phrases
        if any(vocabulary.unknown(s) for w in phrase.split() for s in spelled.get(w, [w]))
    ]
    if others and len(others) < len(phrases):
        log.warning(
            "%d of %d hot words are excluded, the model cannot write them: %s",
            len(others), len(phrases), printable(", ".join(others[:5])),
        )  # fmt: skip
        return {phrase: phrases[phrase] for phrase in phrases if phrase not in others}
    return phrases


def _lexicon(
    decoding: Decoding,
    vocabulary: Vocabulary,
    normalise: Normalise,
    lm: NGram | None,
    phrases: dict[str, float],
) -> Lexicon | None:
    numbers = {}
    if lm is not None and lm.unit == "word":
        numbers = word_numbers(lm, vocabulary, normalise)
    if decoding.vocabulary is not None:
        _check_digest(decoding.vocabulary, decoding.vocabulary_sha256)
        pairs = read_vocabulary(decoding.vocabulary, normalise)
        written = {word: normalise(word) for word, _ in pairs if word not in numbers}
        numbers |= {word: numbers[form] for word, form in written.items() if form in numbers}
        known = sum(word in numbers for word, _ in pairs)
        if lm is not None and lm.unit == "word" and 2 * known < len(pairs):
            log.warning(
                "%s: has %d of the %d words of %s; the others are unknown words in it",
                decoding.lm, known, len(pairs), decoding.vocabulary,
            )  # fmt: skip
    elif numbers:
        pairs = [(word, word) for word in numbers]
    else:
        return None
    pairs = _with_hotwords(pairs, phrases, decoding, vocabulary)
    source = decoding.vocabulary or decoding.lm
    try:
        lexicon = build_lexicon(pairs, vocabulary, lm, numbers)
    except LanguageModelError as error:
        raise LanguageModelError(f"{source}: {error}") from None
    if lexicon.unwritable:
        some = ", ".join(lexicon.unwritable[:5])
        log.warning(
            "%s: %d of %d words are excluded, the model cannot write them: %s%s",
            source, len(lexicon.unwritable), len(dict(pairs)), printable(some),
            ", …" if len(lexicon.unwritable) > 5 else "",
        )  # fmt: skip
    return lexicon


def _with_hotwords(
    pairs: Pairs, phrases: dict[str, float], decoding: Decoding, vocabulary: Vocabulary
) -> Pairs:
    """Hot words are words, if the model can write them. Only where the words are given and no
    others allowed, they must be among them."""
    known = {text for pair in pairs for text in pair}
    words = [word for phrase in phrases if phrase not in known for word in phrase.split()]
    new = dict.fromkeys(w for w in words if w not in known and not vocabulary.unknown(w))
    if new and decoding.vocabulary is not None and decoding.unknown_cost is None:
        raise LanguageModelError(
            f"{decoding.vocabulary}: does not have the hot words {', '.join(new)!r:.60}; add them"
        )
    return [*pairs, *((word, word) for word in new)]


def _check_digest(path: str, expected: str | None) -> None:
    if expected is not None and not os.path.exists(path):
        raise LanguageModelError(
            f"{path}: no such file, but {FILE} names it; put it back, name another one by --lm or "
            "--vocabulary, or decode with --greedy"
        )
    if expected is not None and file_digest(path) != expected:
        raise LanguageModelError(
            f"{path}: has changed since the weights of {FILE} were chosen; run `speechgru tune` "
            "again, or name the file by --lm or --vocabulary to use it as it is"
        )
