"""Scored utterances in words: the worst ones, and their alignments."""

from unicodedata import category, normalize

from rich.cells import cell_len

from speechgru.errors import plural
from speechgru.scoring.wer import Score, UtteranceScore

JOINERS = "\u200c\u200d"
LINE_WIDTH = 80  # columns of an aligned pair before it continues below


def worst(result: Score, n: int) -> tuple[UtteranceScore, ...]:
    """The n utterances with most word errors (then highest rate), those without any excluded."""
    wrong = [u for u in result.utterances if u.words.errors]
    return tuple(sorted(wrong, key=lambda u: (-u.words.errors, -u.words.rate, u.id))[:n])


def alignment_lines(utterance: UtteranceScore) -> str:
    """The reference above the hypothesis, aligned by words, with S, D and I below.

    Aligned in a monospaced font, with wide (CJK) and combining characters too. Beyond `LINE_WIDTH`
    columns, it continues in further rows of three. No newline at the end.

    >>> from speechgru.scoring import score
    >>> print(alignment_lines(score(["one two three"], ["one too three four"]).utterances[0]))
    1: 2 errors in 3 words (1 S, 0 D, 1 I)
    REF: one two three ****
    HYP: one too three four
             S         I
    """
    counts, speaker = utterance.words, f" [{utterance.speaker}]" if utterance.speaker else ""
    lines = [
        f"{_printable(utterance.id)}{_printable(speaker)}: {plural(counts.errors, 'error')} in "
        f"{plural(counts.reference, 'word')} "
        f"({counts.substitutions} S, {counts.deletions} D, {counts.insertions} I)"
    ]
    rows, used = ["REF:", "HYP:", "    "], 0
    for ref, hyp, mark, _ in utterance.alignment:
        ref, hyp = _printable(ref), _printable(hyp)
        width = max(cell_len(ref), cell_len(hyp))
        if used and len("REF:") + used + 1 + width > LINE_WIDTH:
            lines += [row.rstrip() for row in rows]
            rows, used = ["REF:", "HYP:", "    "], 0
        cells = (ref or "*" * width, hyp or "*" * width, mark)
        rows = [
            f"{row} {cell}{' ' * (width - cell_len(cell))}"
            for row, cell in zip(rows, cells, strict=True)
        ]
        used += 1 + width
    lines += [row.rstrip() for row in rows]
    return "\n".join(lines).rstrip("\n")


def superficial(result: Score) -> list[tuple[str, str]]:
    """The substitutions, as (reference, hypothesis), that differ in letter case, punctuation or
    invisible characters only: signs of texts that were normalised differently."""
    return [
        (word.reference, word.hypothesis)
        for utterance in result.utterances
        for word in utterance.alignment
        if word.mark == "S" and _bare(word.reference) == _bare(word.hypothesis) != ""
    ]


def _bare(word: str) -> str:
    return "".join(c for c in normalize("NFKC", word).casefold() if category(c)[0] in "LMN")


def _printable(text: str) -> str:
    """Control characters would act on the terminal that the alignment is printed on, and invisible
    ones would hide an error. Joiners (U+200C and U+200D) are a part of many scripts."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if category(c) in ("Cc", "Cf") and c not in JOINERS else c
        for c in text
    )
