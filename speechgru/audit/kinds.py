"""The kinds of problems that an audit finds: one line in the table below for each.

A kind is a `Problem`'s name in reports and audit.json. `fix` is what `--fix` does about it.
"""

from dataclasses import asdict, dataclass
from typing import Literal

Fix = Literal["remove", "duration", "id", "text", "nothing"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What was found and what to do. `fix`: the line is removed; its duration, id or text is
    corrected; or nothing is done, because that needs a decision."""

    name: str
    found: str
    advice: str
    fix: Fix = "nothing"


_ALL = (
    # the manifest
    Kind("bad-line", "line of the manifest that cannot be read", "correct or delete it", "remove"),
    Kind("duplicate-id", "id of an earlier line", "give each utterance its own id", "id"),
    Kind("missing-file", "no such file", "check path, letter case and suffix", "remove"),
    # the file
    Kind("empty-file", "file or segment without audio",
         "record or copy it again, or correct the segment's times", "remove"),
    Kind("undecodable", "file that cannot be decoded", "convert or copy it again", "remove"),
    Kind("truncated", "less audio than the file's header claims", "copy it again", "remove"),
    Kind("wrong-suffix", "suffix of another format", "rename it; it is read all the same"),
    Kind("mixed-rate", "sample rate unlike the other files'", "prefer recordings of one rate"),
    Kind("silent-channel", "channel without signal", "keep the other: the mean is 6 dB lower"),
    Kind("inverted-channels", "channels that cancel in their mean",
         "keep one channel; it is read all the same"),
    # its duration
    Kind("duration-too-long", "stated duration past the end", "measure it", "duration"),
    Kind("duration-too-short", "audio past the stated duration", "measure it", "duration"),
    Kind("long-audio", "longer than data.max_seconds", "cut it at pauses: training excludes it"),
    # its signal
    Kind("silent", "nothing but silence", "record it again", "remove"),
    Kind("mostly-silent", "more than 80 % silence", "trim it, or check that the text is complete"),
    Kind("clipped", "clipped samples", "record with a lower input level"),
    Kind("beyond-full-scale", "floats far beyond full scale (1)",
         "export it at a lower level, as other programs clip it; it is read all the same"),
    Kind("offset", "constant offset of the signal", "remove it by a high-pass filter"),
    Kind("low-bandwidth", "nothing in the upper half of the spectrum",
         "it was upsampled or telephoned: use features.sample_rate=8000 for all, or exclude it"),
    # its text
    Kind("empty-text", "no word in the text", "write the text, or delete the line", "remove"),
    Kind("text-too-long", "fewer model frames than CTC needs for the text",
         "check the text; a smaller model.factor gives more frames", "remove"),
    Kind("speaking-rate", "characters per second far from all others", "check that the text fits"),
    Kind("digits", "digits, where most texts have none", "write the words that are spoken"),
    Kind("symbol", "symbol that is spoken but removed from the text", "write it as a word"),
    Kind("markup", "tags or entities", "delete them from the text"),
    Kind("rare-character", "character that hardly occurs", "correct it: no model can learn it"),
    Kind("mixed-scripts", "letters of two scripts in a word", "correct letters that look alike"),
    Kind("unicode-form", "Unicode form unlike most texts'", "write NFC", "text"),
    Kind("mojibake", "text decoded with the wrong encoding", "read its source as UTF-8"),
    # other utterances
    Kind("duplicate-audio", "same audio as an earlier line", "keep one of the two", "remove"),
    Kind("contradictory-copies", "same audio with another text", "keep the right text", "remove"),
    Kind("shared-audio", "audio that is also in another set", "remove it from training", "remove"),
    Kind("shared-speaker", "speaker who is also in another set", "split by speaker"),
    Kind("shared-sentence", "sentence that is also in another set", "split by sentence"),
    # a model
    Kind("outside-vocabulary", "text that the model cannot write", "correct the text, or retrain"),
    Kind("contradicted", "text that the model contradicts", "listen, and correct the text"),
)  # fmt: skip
KINDS = {kind.name: kind for kind in _ALL}


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of one utterance, on a line of a manifest. `detail` is what was found, in figures;
    `correction` is the right duration, id or text, where it is known. `offset` and `seconds` select
    the utterance in its file; None: to the end."""

    kind: str
    manifest: str
    line: int
    id: str
    audio: str
    detail: str
    correction: float | str | None = None
    offset: float = 0.0
    seconds: float | None = None

    def to_json(self) -> dict[str, object]:
        return asdict(self)
