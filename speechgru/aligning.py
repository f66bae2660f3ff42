"""Where the words of a known text are in a recording: forced alignment.

A word that the model cannot spell becomes one token that fits all audio (`alignment.STAR`): it gets
what the words around it do not take, and is marked as interpolated.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from speechgru.checkpoint import Checkpoint
from speechgru.decoding import Emission, Transcript, Word
from speechgru.decoding.alignment import STAR, align
from speechgru.decoding.confidence import Calibration
from speechgru.decoding.hypothesis import Hypothesis, Spelled
from speechgru.decoding.transcript import mean_confidence
from speechgru.decoding.words import least_probable, word_spans
from speechgru.errors import AudioError, SpeechgruError
from speechgru.manifest import Utterance
from speechgru.recognizer import Recognizer
from speechgru.transcription import AudioFile, Outcome, Outputs, write_outputs


def align_files(
    recognizer: Recognizer,
    files: Sequence[AudioFile],
    utterances: Sequence[Utterance],
    outputs: Outputs,
) -> Iterator[Outcome]:
    """As `write_outputs`, of the aligned texts of utterances; a file stands for each. Without a
    duration, an utterance is all of its audio."""
    known = {file.source: each for file, each in zip(files, utterances, strict=True)}

    def align_all(wanted: Sequence[AudioFile]) -> Iterator[Transcript | SpeechgruError]:
        listed = [known[file.source] for file in wanted]
        emissions = recognizer.emissions(each if each.duration else each.audio for each in listed)
        for file, utterance, emission in zip(wanted, listed, emissions, strict=True):
            try:
                if isinstance(emission, SpeechgruError):
                    raise emission
                yield align_text(
                    recognizer.checkpoint, emission, utterance.text, recognizer.calibration
                )
            except SpeechgruError as error:
                named = str(error).startswith(utterance.audio)
                yield error if named else type(error)(f"{file.source}: {error}")

    return write_outputs(files, outputs, align_all)


def align_text(
    checkpoint: Checkpoint, emission: Emission, text: str, calibration: Calibration
) -> Transcript:
    """The words of a text, as it writes them, with times and confidences.

    Raises AudioError for a text without words, or one that is too long for the recording.
    """
    tokens, words, unknown = spell_text(checkpoint, text)
    if not words:
        raise AudioError("a text without words: there is nothing to align")
    frames = align(emission.log_probs, tuple(tokens))
    if not frames:
        raise AudioError(
            f"a text of {len(tokens)} tokens in {len(emission.log_probs)} model frames "
            f"({emission.duration:.2f} s): too long for the recording; check that they belong "
            "together"
        )
    hypothesis = Hypothesis(tuple(tokens), frames, 0.0)
    spans = word_spans(emission, frames, words, calibration.lead, unknown)
    confidences = calibration(least_probable(emission, hypothesis, words))
    found = [
        Word(word.text, round(start, 3), round(end, 3), interpolated=True)
        if number in unknown
        else Word(word.text, round(start, 3), round(end, 3), round(float(confidence), 3))
        for number, (word, (start, end), confidence) in enumerate(
            zip(words, spans, confidences, strict=True)
        )
    ]
    duration, mean = round(emission.duration, 3), mean_confidence(found)
    return Transcript(" ".join(text.split()), duration, tuple(found), mean)


def spell_text(checkpoint: Checkpoint, text: str) -> tuple[list[int], list[Spelled], set[int]]:
    """(tokens, the words, the numbers of those that cannot be spelled).
    What normalisation removes, such as a dash between spaces, is no word."""
    vocabulary = checkpoint.vocabulary
    tokens: list[int] = []
    words: list[Spelled] = []
    unknown: set[int] = set()
    for written in text.split():
        spelling = checkpoint.normalise(written)
        if not spelling:
            continue
        if words:
            tokens += vocabulary.between
        first = len(tokens)
        if vocabulary.unknown(spelling):
            unknown.add(len(words))
            tokens.append(STAR)
        else:
            tokens += vocabulary.encode(spelling)
        words.append(Spelled(written, first, len(tokens) - 1))
    return tokens, words, unknown


def as_files(utterances: Sequence[Utterance]) -> list[AudioFile]:
    """Utterances by their ids, as the sources of outputs; an id that is a path stays in the folder
    of the outputs.

    Raises SpeechgruError for two ids that are the same path, such as a/b and a//b."""
    files: list[AudioFile] = []
    known: dict[Path, str] = {}
    for utterance in utterances:
        other = known.setdefault(Path(utterance.id), utterance.id)
        if other != utterance.id:
            raise SpeechgruError(f"ids {other} and {utterance.id} are the same path; rename one")
        parts = [part for part in PurePath(utterance.id).parts if part not in ("..", "/", ".")]
        relative = Path(*parts) if parts else Path("utterance")
        files.append(AudioFile(Path(utterance.id), relative.with_name(f"{relative.name}.audio")))
    return files
