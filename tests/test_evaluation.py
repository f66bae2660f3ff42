"""Scoring a recogniser: counts, unreadable utterances, and the files written for other tools."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec import structs

from speechgru.decoding import Greedy, Transcript
from speechgru.decoding.settings import Decoding
from speechgru.errors import AudioError, ManifestError, SpeechgruError
from speechgru.evaluation import evaluate, evaluate_utterances, results_folder, write_results
from speechgru.files import write_json
from speechgru.manifest import Utterance, read_manifest
from speechgru.manifest_writer import write_manifest
from speechgru.recipe import TextRecipe
from speechgru.recognizer import Recognizer
from speechgru.scoring import score_files
from speechgru.text import Vocabulary, describe, normalise


class Recognised:
    """In place of a recogniser: returns the given texts; None is an unreadable file. With other
    texts for greedy decoding, its own decoder is a beam search with these words."""

    def __init__(
        self,
        *texts: str | None,
        characters: str = "abcdefg ",
        greedy: Sequence[str] = (),
        words: Sequence[str] = (),
    ) -> None:
        self.texts, self.greedy = texts, greedy
        self.decoder: object = Greedy(Vocabulary.from_texts([characters]))
        if greedy:
            lexicon = SimpleNamespace(words=words, spellings=words) if words else None
            self.decoder = SimpleNamespace(lexicon=lexicon)
        self.checkpoint = SimpleNamespace(
            config=SimpleNamespace(text=TextRecipe()),
            vocabulary=Vocabulary.from_texts([characters]),
            normalise=lambda text: normalise(text, TextRecipe()),
        )

    def emissions(
        self, sources: Sequence[Utterance], cache: object = None
    ) -> Iterator[int | SpeechgruError]:
        for number, (utterance, text) in enumerate(zip(sources, self.texts, strict=True)):
            yield AudioError(f"{utterance.id}.wav: no such file") if text is None else number

    readable_emissions = Recognizer.readable_emissions

    def decode(self, emission: int, decoder: object = None) -> Transcript:
        texts = self.texts if decoder in (None, self.decoder) else self.greedy
        return Transcript(texts[emission] or "", 1.0)


def spoken(*texts: str) -> list[Utterance]:
    return [
        Utterance(Path(f"{i}.wav"), 1.0, text, f"u{i}", speaker=f"s{i % 7}")
        for i, text in enumerate(texts)
    ]


def scored(recognised: Recognised, *references: str):
    return evaluate_utterances(recognised, spoken(*references))  # type: ignore[arg-type]


def test_counts_ids_and_speakers():
    result = scored(Recognised("a b x", "c", ""), "a b c", "c", "d")
    assert (result.score.words.errors, result.score.words.reference) == (2, 5)
    assert [u.id for u in result.score.utterances] == ["u0", "u1", "u2"]
    assert result.score.utterances[1].speaker == "s1"
    assert result.failed == {}


def test_both_sides_are_normalised_and_it_is_described():
    result = scored(Recognised("a, B."), "A b!")
    assert result.score.wer == 0
    assert result.score.utterances[0].reference == "a b"
    assert result.normalisation == describe(TextRecipe())


def test_characters_outside_the_vocabulary_count_as_errors_and_are_listed():
    result = scored(Recognised("a b", "c"), "a bé", "z z c")
    assert result.unknown == {"z": 2, "é": 1}
    assert result.score.utterances[0].reference == "a bé"
    assert result.score.words.errors == 3


def test_unreadable_utterances_are_listed_and_the_rest_is_scored():
    result = scored(Recognised("a", None, "c"), "a", "b", "c")
    assert list(result.failed) == ["u1"]
    assert "u1.wav" in result.failed["u1"]
    assert [u.id for u in result.score.utterances] == ["u0", "u2"]
    assert result.score.words.reference == 2


def test_when_no_utterance_can_be_read_it_is_an_error():
    with pytest.raises(AudioError, match=r"none of the 2 .*u0\.wav") as caught:
        scored(Recognised(None, None), "a", "b")
    assert caught.value.exit_status == 1


def test_when_no_utterance_of_an_id_that_several_have_can_be_read_it_is_an_error():
    alike = [structs.replace(utterance, id="u") for utterance in spoken("a", "b")]
    with pytest.raises(AudioError, match="none of the"):
        evaluate_utterances(Recognised(None, None), alike)  # type: ignore[arg-type]


def test_progress_is_reported_after_each_utterance():
    calls = []
    evaluate_utterances(
        Recognised("a", None, "c"),  # type: ignore[arg-type]
        spoken("a", "b", "c"),
        on_progress=lambda *values: calls.append(values),
    )
    assert calls == [(1, 3, "u0"), (2, 3, "u1"), (3, 3, "u2")]


def test_greedy_decoding_is_scored_beside_a_beam_search():
    recognised = Recognised("a b", "c d", "e", greedy=["a x", "c x", "e"], words=["a", "B", "e"])
    result = scored(recognised, "a b", "c f", "e e")
    greedy = result.greedy
    assert greedy is not None
    assert (result.score.words.errors, greedy.score.words.errors) == (2, 3)
    assert greedy.difference is not None
    assert greedy.difference.difference == pytest.approx((2 - 3) / 6)
    assert greedy.outside is not None  # c, which is right, and f
    assert (greedy.outside.words, greedy.outside.errors, greedy.outside.share) == (2, 1, 0.5)
    figures = result.to_json()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["greedy"]["wer"] == 0.5
    alone = scored(Recognised("a", greedy=["b"]), "a").greedy
    assert alone is not None
    assert (alone.difference, alone.outside) == (None, None)


def test_words_are_scored_in_the_form_of_the_references(tone_run, tones, digits_for_tones):
    decoding = Decoding().changed(vocabulary=digits_for_tones)
    recognizer = Recognizer.load(tone_run, "cpu", decoder=decoding)
    utterances = read_manifest(tones / "test.jsonl")
    digit = {"am": "1", "mo": "2", "oa": "3", "ma": "4"}
    written = [
        structs.replace(u, text=" ".join(digit[word] for word in u.text.split()))
        for u in utterances
    ]
    for references, other in ((utterances, "12"), (written, "am")):
        result = evaluate_utterances(recognizer, references)
        assert result.score.wer < 0.2
        assert not any(set(other) & set(u.hypothesis) for u in result.score.utterances)
        assert ("as spelled" in result.decoder) == (references is utterances)
        assert result.greedy is not None
        assert result.greedy.outside is not None
        assert result.greedy.outside.words == 0


def test_the_words_of_phrases_are_in_the_lexicon():
    recognised = Recognised("turn on", greedy=["turn on"], words=["turn on", "turn off"])
    greedy = scored(recognised, "turn up").greedy
    assert greedy is not None
    assert greedy.outside is not None
    assert (greedy.outside.words, greedy.outside.errors) == (1, 1)  # up


def test_the_figures_as_json():
    figures = scored(Recognised("a x", None), "a é", "b").to_json()
    assert json.loads(json.dumps(figures)) == figures
    assert {"wer", "cer", "words", "substitutions", "deletions", "insertions", "wer_ci95",
            "utterances"} <= set(figures)  # fmt: skip
    assert (figures["wer"], figures["utterances"], figures["words"]) == (0.5, 1, 2)
    assert figures["unknown_characters"] == {"é": 1}
    assert figures["failed"] == {"u1": "u1.wav: no such file"}


def test_results_are_written_for_other_tools_too(tmp_path):
    result = scored(Recognised("a b", "", "c c"), "a b", "b", "c")
    out, figures = tmp_path / "new" / "out", tmp_path / "figures" / "a.json"
    written = write_results(result, out, figures)
    assert written == [out / "ref.trn", out / "hyp.trn", out / "score.json", figures]
    assert sorted(file.name for file in out.iterdir()) == ["hyp.trn", "ref.trn", "score.json"]
    assert (out / "ref.trn").read_text() == "a b (s0-u0)\nb (s1-u1)\nc (s2-u2)\n"
    assert (out / "hyp.trn").read_text() == "a b (s0-u0)\n(s1-u1)\nc c (s2-u2)\n"
    again = score_files(out / "ref.trn", out / "hyp.trn")
    assert (again.words, again.characters) == (result.score.words, result.score.characters)
    figures = json.loads((out / "score.json").read_text())
    assert figures == result.to_json() == json.loads((tmp_path / "figures/a.json").read_text())


def test_a_model_on_a_manifest(tone_run, tones):
    recognizer = Recognizer.load(tone_run, "cpu")
    result = evaluate(recognizer, tones / "test.jsonl")
    utterances = read_manifest(tones / "test.jsonl")
    assert [u.id for u in result.score.utterances] == [u.id for u in utterances]
    for utterance in result.score.utterances[:3]:
        source = next(u for u in utterances if u.id == utterance.id)
        assert recognizer.transcribe(source).text == utterance.hypothesis
    assert result.score.words.reference == sum(len(u.text.split()) for u in utterances)
    assert result.manifest == str(tones / "test.jsonl")


def test_results_of_two_manifests_of_one_name_both_stay(tmp_path):
    run = tmp_path / "run"
    manifests = [tmp_path / name / "test.jsonl" for name in ("an4", "fsdd", "x/fsdd", "an4")]
    folders = []
    for number, manifest in enumerate(manifests):
        folders.append(results_folder(run, manifest))
        result = replace(
            scored(Recognised("a"), "a"), manifest=str(manifest), failed={"n": str(number)}
        )
        write_results(result, folders[-1])
    names = [folder.relative_to(run / "results").as_posix() for folder in folders]
    assert names == ["test", "fsdd-test", "x-fsdd-test", "test"]
    kept = [json.loads((folder / "score.json").read_text())["failed"]["n"] for folder in folders]
    assert kept == ["3", "1", "2", "3"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"manifest": null}', "\0"])
def test_results_of_an_unknown_manifest_are_kept(tmp_path, text):
    write_json(tmp_path / "results/test/score.json", {})
    (tmp_path / "results/test/score.json").write_text(text)
    assert results_folder(tmp_path, Path("data/an4/test.jsonl")) == tmp_path / "results/an4-test"


def test_durations_that_are_too_short_are_reported_with_examples(tone_run, tones, tmp_path, caplog):
    utterances = sorted(read_manifest(tones / "test.jsonl"), key=lambda u: -u.duration)
    short = [structs.replace(u, duration=u.duration / 2) for u in utterances]
    write_manifest(tmp_path / "short.jsonl", [*short[:3], *utterances[3:]])
    recognizer = Recognizer.load(tone_run, "cpu")
    with caplog.at_level("WARNING", "speechgru"):
        evaluate(recognizer, tones / "test.jsonl")
        assert not caplog.records
        evaluate(recognizer, tmp_path / "short.jsonl")
    (record,) = caplog.records
    assert f"short.jsonl: 3 of {len(utterances)} utterances" in record.getMessage()
    assert utterances[2].id in record.getMessage()


def test_a_missing_manifest_is_named(tone_run, tmp_path):
    with pytest.raises(ManifestError, match="nowhere"):
        evaluate(Recognizer.load(tone_run, "cpu"), tmp_path / "nowhere.jsonl")


def test_dev_scoring_draws_no_bootstrap_samples(tone_run, tones, monkeypatch):
    """Training scores the dev set after every epoch and needs no interval."""
    monkeypatch.setattr("speechgru.scoring.interval.resampled_sums", None)
    utterances = read_manifest(tones / "dev.jsonl")
    result = evaluate_utterances(Recognizer.load(tone_run, "cpu"), utterances)
    assert result.score.wer < 0.2
    with pytest.raises(TypeError):
        result.score.to_json()
