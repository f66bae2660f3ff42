"""Problems of texts: by themselves, beside the other texts, and beside their audio."""

import math
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from speechgru.audit.entries import Entry
from speechgru.audit.kinds import Problem
from speechgru.recipe import FeatureRecipe, model_frames
from speechgru.text import Vocabulary, frames_needed

FACTORS = (1, 2, 3, 4)  # of subsampling
MARKUP = re.compile(
    r"<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}|\(\(|\)\)|&(?:#\d+|[a-z]+);|https?://|\\[nrt]\b", re.I
)
NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
SPOKEN = frozenset("%&@#°§‰")  # symbols, besides those of currencies and mathematics
UNSPOKEN = frozenset("<>|~¬^`´¨")  # the others among those
ALIKE = ("LATIN", "CYRILLIC", "GREEK")  # scripts whose letters look alike
MINORITY = 0.2  # share of texts below which what they have in common is unlike the others
RARE = 0.0005  # share of texts below which a character hardly occurs
ENOUGH = 100  # texts from which "rare" and "far from all others" mean something
SIGMAS, TIMES = 4.5, 3.0  # how far the logarithm of a speaking rate is from the median, at least
IMPOSSIBLE = 32.0  # characters per second, more than anybody speaks


def text_problems(
    entries: Sequence[Entry], features: FeatureRecipe, factor: int, vocabulary: Vocabulary
) -> Iterator[Problem]:
    """The problems of entries whose audio is measured. `factor`: the model's subsampling."""
    found: list[Problem] = []
    for entry in entries:
        if not entry.text:
            found.append(entry.problem("empty-text", repr(entry.utterance.text)[:60]))
            continue
        found += _own_problems(entry)
        if entry.audio is not None:
            tokens = vocabulary.split(entry.text)
            missing = frames_missing(tokens, entry.audio.seconds, features)
            if factor in missing:
                detail = (
                    f"{frames_needed(tokens)} frames for {len(tokens)} {vocabulary.kind} in "
                    f"{entry.audio.seconds:.2f} s; too few at model.factor "
                    f"{', '.join(map(str, missing))}"
                )
                found.append(entry.problem("text-too-long", detail))
    with_text = [entry for entry in entries if entry.text]
    yield from found
    yield from _rare_characters(with_text)
    yield from _unlike_most(with_text)
    yield from _speaking_rates(with_text)


def frames_missing(
    tokens: Sequence[str], seconds: float, features: FeatureRecipe
) -> dict[int, int]:
    """Subsampling factor → how many frames too few there are for a text; only where some are."""
    frames = features.frames(int(seconds * features.sample_rate))
    missing = {factor: frames_needed(tokens) - model_frames(frames, factor) for factor in FACTORS}
    return {factor: count for factor, count in missing.items() if count > 0}


def _own_problems(entry: Entry) -> Iterator[Problem]:
    text = entry.utterance.text
    if match := MARKUP.search(text):
        yield entry.problem("markup", match[0][:40])
    elif symbols := sorted({char for char in text if _is_spoken_symbol(char)}):
        yield entry.problem("symbol", " ".join(symbols))
    if is_mojibake(text):
        yield entry.problem("mojibake", text[:60])
    for word in entry.text.split():
        scripts = {_script(char) for char in word} & set(ALIKE)
        if len(scripts) > 1:
            yield entry.problem(
                "mixed-scripts", f"{word[:40]}: {', '.join(sorted(scripts))}".lower()
            )
            break


def _is_spoken_symbol(char: str) -> bool:
    symbol = char in SPOKEN or (
        (char > "~" or char in "$+=") and unicodedata.category(char) in ("Sc", "Sm")
    )
    return symbol and char not in UNSPOKEN


def is_mojibake(text: str) -> bool:
    """Whether a text was UTF-8 that something decoded as Windows-1252 or could not decode.

    >>> is_mojibake("schÃ¶n"), is_mojibake("schön")
    (True, False)
    """
    if "\N{REPLACEMENT CHARACTER}" in text:
        return True
    return any(map(_decodes, NOT_ASCII.findall(text)))


def _decodes(run: str) -> bool:
    """Whether non-ASCII characters are the bytes of UTF-8 in a single-byte encoding."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return bool(run.encode(encoding).decode("utf-8"))
        except UnicodeError:
            continue
    return False


def _script(char: str) -> str:
    return unicodedata.name(char, "").partition(" ")[0] if char.isalpha() else ""


def _rare_characters(entries: Sequence[Entry]) -> Iterator[Problem]:
    if len(entries) < ENOUGH:
        return
    counts = Counter(char for entry in entries for char in set(entry.text))
    limit = max(1.0, RARE * len(entries))
    rare = {char: count for char, count in counts.items() if count <= limit and not char.isdigit()}
    for entry in entries if rare else ():
        if found := sorted(set(entry.text) & rare.keys()):
            names = [f"{c} (U+{ord(c):04X}, in {rare[c]} of {len(entries)} texts)" for c in found]
            yield entry.problem("rare-character", ", ".join(names)[:200])


def _unlike_most(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Digits, and characters that are composed or decomposed otherwise than in most texts."""
    digits = [entry for entry in entries if any(char.isdigit() for char in entry.text)]
    if len(digits) < MINORITY * len(entries):
        for entry in digits:
            words = [word for word in entry.text.split() if any(map(str.isdigit, word))]
            yield entry.problem("digits", " ".join(words)[:60])
    forms: dict[bool, list[Entry]] = {True: [], False: []}
    for entry in entries:
        text = entry.utterance.text
        nfc, nfd = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
        if nfc != nfd:
            forms[text == nfc].append(entry)
    composed, others = forms[True], forms[False]
    if len(others) <= len(composed):
        for entry in others:
            text = unicodedata.normalize("NFC", entry.utterance.text)
            yield entry.problem("unicode-form", "not NFC", text)
    elif len(composed) < MINORITY * len(others):
        for entry in composed:
            yield entry.problem("unicode-form", "NFC")


def _speaking_rates(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Texts with far more or far fewer characters per second than the others."""
    rates = {
        index: math.log(len(entry.text) / entry.audio.seconds)
        for index, entry in enumerate(entries)
        if entry.audio is not None and entry.audio.seconds > 0
    }
    if not rates:
        return
    middle = statistics.median(rates.values())
    deviation = 1.4826 * statistics.median(abs(rate - middle) for rate in rates.values())
    far = max(SIGMAS * deviation, math.log(TIMES)) if len(rates) >= ENOUGH else math.inf
    for index, rate in rates.items():
        if abs(rate - middle) > far or rate > math.log(IMPOSSIBLE):
            entry = entries[index]
            yield entry.problem(
                "speaking-rate",
                f"{math.exp(rate):.3g} characters per second; the median is {math.exp(middle):.3g}",
            )
