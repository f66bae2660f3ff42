"""Folders of recordings in every layout that `read_folder` recognises."""

import gzip
import json
import math
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from folders import RATE, detected, one, texts, write, write_audio

from speechgru.corpora import LAYOUTS, UNSPLIT, prepare, read_folder
from speechgru.corpora.kaldi import file_of
from speechgru.corpora.words import hash_split
from speechgru.errors import CorpusError
from speechgru.manifest import read_manifest
from speechgru.manifest_writer import write_manifest


def test_ljspeech_takes_the_normalised_text(tmp_path: Path) -> None:
    write_audio(tmp_path / "wavs/LJ-1.wav")
    write_audio(tmp_path / "wavs/LJ-2.wav")
    write(tmp_path / "metadata.csv", 'LJ-1|say "5"|say "five\nLJ-2|no|\n')
    assert texts(detected(tmp_path, "ljspeech")) == {"LJ-1": 'say "five', "LJ-2": "no"}


CV_HEADER = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tlocale\tsegment"


def test_common_voice_with_an_empty_split(tmp_path: Path) -> None:
    for name in "abc":
        write_audio(tmp_path / f"clips/{name}.wav")
    lines = {n: f'c{n}\t{n}.wav\t1\tEr sagt: "{n}\t\t2\tde\t' for n in "abc"}
    for split, names in {"train": "ab", "dev": "", "test": "c", "validated": "abc"}.items():
        write(tmp_path / f"{split}.tsv", "\n".join([CV_HEADER, *(lines[n] for n in names)]) + "\n")
    result = detected(tmp_path, "commonvoice")
    assert {split: [u.id for u in v] for split, v in result.splits.items()} == {
        "train": ["a.wav", "b.wav"], "dev": [], "test": ["c.wav"],
    }  # fmt: skip
    clip = one(result, "c.wav")
    assert (clip.text, clip.speaker, clip.lang) == ('Er sagt: "c', "cc", "de")


def test_a_broken_row_of_common_voice_is_a_problem(tmp_path: Path) -> None:
    for name in "ab":
        write_audio(tmp_path / f"clips/{name}.wav")
    rows = ["x\ta.wav\tone\t2", "x\tb.wav\ttwo\tthree\t2", "x\tb.wav"]
    write(tmp_path / "validated.tsv", "\n".join(["client_id\tpath\tsentence\tup_votes", *rows]))
    result = detected(tmp_path, "commonvoice")
    assert texts(result) == {"a.wav": "one"}
    lines = [problem.partition(": ")[0] for problem in result.problems]
    assert lines == ["validated.tsv:3", "validated.tsv:4"]


def test_common_voice_validated_only_and_two_languages(tmp_path: Path) -> None:
    for lang in ("de", "tw"):
        write_audio(tmp_path / lang / "clips/a.wav")
        row = "x\ta.wav\thallo\t2"
        write(tmp_path / lang / "validated.tsv", f"client_id\tpath\tsentence\tup_votes\n{row}\n")
    assert texts(detected(tmp_path / "de", "commonvoice")) == {"a.wav": "hallo"}
    with pytest.raises(CorpusError, match=r"de, .*tw"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("layout", "file", "content"),
    [
        ("commonvoice", "train.tsv", "client_id\tpath\tsentence\nx\ta.wav\tschöne Grüße\n"),
        ("kaldi", "text", "a schöne Grüße\n"),
        ("nemo", "list.jsonl", '{"audio_filepath": "a.wav", "text": "schöne Grüße"}\n'),
        ("ljspeech", "metadata.csv", "a|schöne Grüße\n"),
        ("table", "list.csv", "a.wav;schöne Grüße\n"),
        ("audiofolder", "metadata.csv", "file_name,text\na.wav,schöne Grüße\n"),
    ],
)
def test_a_guessed_encoding_is_reported(
    layout: str, file: str, content: str, tmp_path: Path
) -> None:
    write_audio(tmp_path / "a.wav")
    if layout == "kaldi":
        write(tmp_path / "wav.scp", "a a.wav\n")
    write(tmp_path / file, content, "cp1252")
    result = detected(tmp_path, layout)
    assert [u.text for listed in result.splits.values() for u in listed] == ["schöne Grüße"]
    assert any(f"{file} is not UTF-8" in note and "Grüße" in note for note in result.notes)


def test_common_voice_beside_other_tables(tmp_path: Path) -> None:
    write_audio(tmp_path / "clips/a.wav")
    write(tmp_path / "train.tsv", "client_id\tpath\tsentence\nx\ta.wav\tone\n")
    write(tmp_path / "other.tsv", "word\tcount\none\t1\n")
    assert texts(detected(tmp_path, "commonvoice"), "train") == {"a.wav": "one"}
    write(tmp_path / "dev.tsv", "word\tcount\none\t1\n")
    with pytest.raises(CorpusError, match=r"dev\.tsv:2"):
        read_folder(tmp_path)


def test_nemo_manifests_with_missing_and_wrong_durations(tmp_path: Path) -> None:
    write_audio(tmp_path / "wav/a.wav", 1.0)
    write_audio(tmp_path / "wav/b.wav", 1.0)
    rows = [
        {"audio_filepath": "wav/a.wav", "text": "one", "speaker": 7, "lang": "en"},
        {"audio_filepath": "/elsewhere/wav/a.wav", "text": "part", "offset": 0.25, "duration": 0.5},
        {"audio_filepath": "wav/b.wav", "text": "long", "duration": 2.5},
    ]
    write(tmp_path / "x_train.json", "\n".join(map(json.dumps, rows)))
    result = detected(tmp_path, "nemo")
    found = [(u.id, u.offset, u.duration, u.speaker, u.lang) for u in result.splits["train"]]
    assert found == [
        ("wav/a", 0.0, 1.0, "7", "en"),
        ("wav/a@0.25", 0.25, 0.5, None, None),
        ("wav/b", 0.0, 1.0, None, None),
    ]
    assert "1.50 s" in "\n".join(result.notes)


def test_nemo_manifests_with_texts_in_files(tmp_path: Path) -> None:
    rows = []
    for name in "abcd":
        write_audio(tmp_path / f"wav/{name}.wav", 1.0)
        rows.append({"audio_filepath": f"wav/{name}.wav", "text_filepath": f"txt/{name}.txt"})
    write(tmp_path / "txt/a.txt", "one\ntwo\n")
    (tmp_path / "txt/c.txt").write_bytes(b"\xff\0\1")
    write(tmp_path / "txt/d.txt", "schöne Grüße", "cp1252")
    write(tmp_path / "train.json", "\n".join(map(json.dumps, rows)))
    result = detected(tmp_path, "nemo")
    assert texts(result, "train") == {"wav/a": "one two", "wav/d": "schöne Grüße"}
    problems = [problem.partition(": ")[0] for problem in result.problems]
    assert problems == ["train.json:2", "train.json:3"]
    assert any("d.txt is not UTF-8" in note for note in result.notes)


@pytest.mark.parametrize(
    ("suffix", "lines"), [("wrd", "ONE TWO\nONE\n"), ("ltr", "O N E | T W O |\nO N E |\n")]
)
def test_fairseq_manifests(suffix: str, lines: str, tmp_path: Path) -> None:
    for name in "ab":
        write_audio(tmp_path / f"audio/{name}.wav", 1.0)
    write(tmp_path / "valid.tsv", f"/elsewhere/audio\na.wav\t{RATE}\nb.wav\t{RATE}\n")
    write(tmp_path / f"valid.{suffix}", lines)
    result = detected(tmp_path, "fairseq")
    assert {id_: text.split() for id_, text in texts(result, "dev").items()} == {
        "a": ["ONE", "TWO"],
        "b": ["ONE"],
    }
    write(tmp_path / f"valid.{suffix}", lines.partition("\n")[2])
    with pytest.raises(CorpusError, match=rf"valid\.{suffix} has 1 line for 2 files"):
        detected(tmp_path, "fairseq")


@pytest.mark.parametrize("lines", ["ONE\n\n", "ONE\n\n\n"])
def test_an_empty_last_text_of_fairseq_is_a_problem_of_its_file(lines: str, tmp_path: Path) -> None:
    for name in "ab":
        write_audio(tmp_path / f"{name}.wav", 1.0)
    write(tmp_path / "valid.tsv", f".\na.wav\t{RATE}\nb.wav\t{RATE}\n")
    write(tmp_path / "valid.wrd", lines)
    result = detected(tmp_path, "fairseq")
    assert texts(result, "dev") == {"a": "ONE"}
    assert [problem.partition(":")[0] for problem in result.problems] == ["b"]


DAMAGED = {  # layout → file, a line of it
    "nemo": ("x.json", '{"audio_filepath": "r.wav", "text": "one"}'),
    "lhotse": ("cuts.jsonl", None),
    "audiofolder": ("metadata.jsonl", '{"file_name": "r.wav", "text": "one"}'),
    "table": ("all.jsonl", '{"file": "r.wav", "text": "one"}'),
    "librispeech": ("1/2/1-2.trans.txt", "1-2-3 one"),
}


@pytest.mark.parametrize("layout", DAMAGED)
@pytest.mark.parametrize("damaged", ['{"audio_filepath": "r.wav", "te', "7", '{"text": 1}', "\0"])
def test_a_damaged_line_is_a_problem(layout: str, damaged: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "r.wav", 1.0)
    write_audio(tmp_path / "1/2/1-2-3.wav")
    file, line = DAMAGED[layout]
    line = line or json.dumps(cut("c", {"type": "file", "channels": [0], "source": "r.wav"}))
    write(tmp_path / file, f"{line}\n{line}\n{damaged}\n")
    result = detected(tmp_path, layout)
    assert sum(map(len, result.splits.values())) == 1
    (problem,) = result.problems
    assert f"{file}:3" in problem or damaged == '{"text": 1}'


def test_audiofolder(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        write_audio(tmp_path / f"{split}/a.wav")
        write(
            tmp_path / f"{split}/metadata.jsonl",
            json.dumps({"file_name": "a.wav", "transcription": split, "speaker_id": "s"}) + "\n",
        )
    result = detected(tmp_path, "audiofolder")
    assert {split: u.text for split, (u,) in result.splits.items()} == {
        "train": "train", "dev": "validation", "test": "test",
    }  # fmt: skip
    flat = tmp_path / "flat"
    write_audio(flat / "data/b.wav")
    write(flat / "metadata.csv", 'file_name,text\ndata/b.wav,"a, b"\ndata/gone.wav,c\n')
    result = detected(flat, "audiofolder")
    assert texts(result) == {"data/b": "a, b"}
    assert "gone.wav" in result.problems[0]


def test_an_audiofolder_without_quotes(tmp_path: Path) -> None:
    for name in "abcd":
        write_audio(tmp_path / f"{name}.wav")
    rows = 'a.wav,well, yes\nb.wav,no\nc.wav,"so, so"\nd.wav,"left, open\n'
    write(tmp_path / "metadata.csv", f"file_name,transcription\n{rows}")
    found = detected(tmp_path, "audiofolder")
    assert texts(found) == {"a": "well, yes", "b": "no", "c": "so, so", "d": "left, open"}
    write(tmp_path / "metadata.csv", "file_name,text,lang\na.wav,well, yes,en\nb.wav,no,en\n")
    found = detected(tmp_path, "audiofolder")
    assert texts(found) == {"b": "no"}
    assert found.problems[0].startswith("metadata.csv:2")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_missing_text_of_an_audiofolder_is_not_from_another_column(
    suffix: str, tmp_path: Path
) -> None:
    rows = [("a", "one two", "x"), ("b", "", "y"), ("c", "three", "z")]
    lines = ["file_name,transcription,label", *(f"{name}.wav,{t},{k}" for name, t, k in rows)]
    if suffix == "jsonl":
        lines = [
            json.dumps(
                {"file_name": f"{name}.wav", "label": k} | ({"transcription": t} if t else {})
            )
            for name, t, k in rows
        ]
    for name, _, _ in rows:
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / f"metadata.{suffix}", "\n".join(lines))
    write(tmp_path / "empty" / "metadata.csv", "file_name,text\n")
    found = detected(tmp_path, "audiofolder")
    assert texts(found) == {"a": "one two", "c": "three"}
    assert [problem.partition(":")[0] for problem in found.problems] == ["b"]


def test_a_duration_with_a_decimal_comma(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", 1.0)
    write(tmp_path / "metadata.csv", 'file_name,text,duration\na.wav,one,"0,5"\n')
    assert one(detected(tmp_path, "audiofolder"), "a").duration == 0.5


def cut(name: str, source: dict[str, object], **changes: object) -> dict[str, Any]:
    supervision = {"id": f"{name}-s", "start": -0.1, "duration": 0.6, "text": "hello",
                   "language": "en", "speaker": "anna"}  # fmt: skip
    return {
        "id": name, "type": "MonoCut", "start": 0.25, "duration": 0.4, "channel": 0,
        "supervisions": [supervision],
        "recording": {"id": "r", "sources": [source], "sampling_rate": RATE, "duration": 1.0},
    } | changes  # fmt: skip


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_lhotse_cuts(suffix: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "r.wav", 1.0)
    good = {"type": "file", "channels": [0], "source": "r.wav"}
    resampled, faster = cut("c1", good), cut("c4", good)
    resampled["recording"]["transforms"] = [{"name": "Resample", "kwargs": {}}]
    faster["recording"]["transforms"] = [{"name": "Speed", "kwargs": {"factor": 1.1}}]
    cuts = [
        resampled,
        faster,
        cut("c2", good | {"type": "command", "source": "cat r.wav"}),
        cut("c3", good, type="MixedCut", tracks=[]),
    ]
    data = "\n".join(map(json.dumps, cuts)).encode()
    file = tmp_path / f"cuts_test.{suffix}"
    file.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    result = detected(tmp_path, "lhotse")
    (found,) = result.splits["test"]
    assert (found.id, found.offset, found.duration) == ("c1-s", 0.15, 0.6)
    assert (found.speaker, found.lang) == ("anna", "en")
    assert [problem.partition(":")[0] for problem in result.problems] == ["c4", "c2", "c3"]


@pytest.mark.parametrize("layout", ["kaldi", "commonvoice", "lhotse"])
def test_a_name_that_fits_two_recordings_is_a_problem_that_names_them(
    layout: str, tmp_path: Path
) -> None:
    for name in ("x/a.wav", "y/a.wav", "clips/b.wav"):
        write_audio(tmp_path / name, 1.0)
    if layout == "kaldi":
        write(tmp_path / "data/wav.scp", "a a.wav\nb clips/b.wav\n")
        write(tmp_path / "data/text", "a one\nb two\n")
    elif layout == "commonvoice":
        rows = ["client_id\tpath\tsentence", "x\ta.wav\tone", "x\tb.wav\ttwo"]
        write(tmp_path / "validated.tsv", "\n".join(rows))
    else:
        sources = ({"type": "file", "channels": [0], "source": f"{name}.wav"} for name in "ab")
        cuts = [cut(name, source) for name, source in zip("ab", sources, strict=True)]
        write(tmp_path / "cuts.jsonl", "\n".join(map(json.dumps, cuts)))
    found = detected(tmp_path, layout)
    assert len(found.splits[UNSPLIT]) == 1
    (problem,) = found.problems
    assert "x/a.wav and y/a.wav" in problem


def test_a_supervision_in_two_windows_of_lhotse_is_one_whole_utterance(tmp_path: Path) -> None:
    write_audio(tmp_path / "r.wav", 1.0)
    first, second = (cut("c", {"type": "file", "channels": [0], "source": "r.wav"}) for _ in "12")
    first |= {"start": 0.0, "supervisions": [first["supervisions"][0] | {"start": 0.2}]}
    second |= {"start": 0.4, "supervisions": [second["supervisions"][0] | {"start": -0.2}]}
    write(tmp_path / "cuts.jsonl", f"{json.dumps(first)}\n{json.dumps(second)}\n")
    (found,) = detected(tmp_path, "lhotse").splits[UNSPLIT]
    assert (found.id, found.offset, found.duration) == ("c-s", 0.2, 0.6)


def test_recordings_and_supervisions_of_lhotse(tmp_path: Path) -> None:
    write_audio(tmp_path / "download/anna/1.wav", 1.0)
    source = {"type": "file", "channels": [0], "source": "/elsewhere/anna/1.wav"}
    recording = {"id": "r1", "sources": [source], "sampling_rate": RATE, "duration": 1.0}
    other = recording | {"id": "r2", "sources": [source | {"type": "url"}]}
    supervisions = [
        {"id": f"s{number}", "recording_id": name, "start": start, "duration": 0.4,
         "channel": 0, "text": "hello", "speaker": "anna"}
        for number, (name, start) in enumerate([("r1", 0.0), ("r1", 0.5), ("r2", 0.0), ("r3", 0.0)])
    ]  # fmt: skip
    for name, rows in (("recordings", [recording, other]), ("supervisions", supervisions)):
        data = "\n".join(map(json.dumps, rows)).encode()
        (tmp_path / f"x_{name}_dev-clean.jsonl.gz").write_bytes(gzip.compress(data))
    result = detected(tmp_path, "lhotse")
    found = [(u.id, u.offset, u.duration, u.speaker) for u in result.splits["dev"]]
    assert found == [("s0", 0.0, 0.4, "anna"), ("s1", 0.5, 0.4, "anna")]
    assert [problem.partition(":")[0] for problem in result.problems] == ["s2", "s3"]


def test_times_of_lhotse_that_are_no_numbers(tmp_path: Path) -> None:
    write_audio(tmp_path / "r.wav", 1.0)
    good = cut("c", {"type": "file", "channels": [0], "source": "r.wav"})
    wrong = [good | {"start": math.nan}, good | {"start": math.inf}]
    write(tmp_path / "cuts.jsonl", "\n".join(map(json.dumps, [good, *wrong])))
    result = detected(tmp_path, "lhotse")
    assert [u.id for u in result.splits[UNSPLIT]] == ["c-s"]
    assert [p.partition(": ")[0] for p in result.problems] == ["cuts.jsonl:2", "cuts.jsonl:3"]


def test_channels_of_lhotse_that_would_be_mixed(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "r.wav", np.full((RATE, 2), 0.1), RATE)
    source = {"type": "file", "channels": [0, 1], "source": "r.wav"}
    cuts = [cut("a", source), cut("b", source, channel=1), cut("c", source, start=0.9)]
    write(tmp_path / "cuts.jsonl", "\n".join(map(json.dumps, cuts)))
    result = detected(tmp_path, "lhotse")
    assert [u.id for u in result.splits[UNSPLIT]] == ["c-s"]
    assert [problem.partition(":")[0] for problem in result.problems] == ["a-s", "b-s"]


# Kaldi -------------------------------------------------------------------------------------------


def test_kaldi_directories(tmp_path: Path) -> None:
    write_audio(tmp_path / "audio/r1.wav", 2.0)
    write_audio(tmp_path / "audio/u 1.WAV")
    train, test = tmp_path / "data/train", tmp_path / "data/test_clean"
    write(train / "wav.scp", "u1\taudio/u 1.WAV\nu2 nc host 99 |\nu3 audio/none.wav\n")
    write(train / "text", "u1\tONE\nu2 TWO\nu3 THREE\nu4 FOUR\n")
    write(train / "utt2spk", "u1 anna\n")
    write(test / "wav.scp", "r1 sph2pipe -f wav -p audio/r1.wav |\n")
    write(test / "segments", "s1 r1 0 0.5\ns2 r1 1.5 -1\ns3 r1 1.0 2.05\n")
    write(test / "text", "s1 A\ns2 B\ns3 C\n")
    result = detected(tmp_path, "kaldi")
    assert texts(result, "train") == {"u1": "ONE"}
    assert one(result, "u1").speaker == "anna"
    assert [(u.id, u.offset, u.duration) for u in result.splits["test"]] == [
        ("s1", 0.0, 0.5), ("s2", 1.5, 0.5), ("s3", 1.0, 1.0),
    ]  # fmt: skip
    assert sorted(problem.partition(":")[0] for problem in result.problems) == ["u2", "u3", "u4"]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "dev", "eval"), ("train", "dev", "test")),  # AMI
        (("train_nodev", "train_dev", "eval1"), ("train", "dev", "test")),  # ESPnet's CSJ
        (("train_si84", "test_dev93", "test_eval92"), ("train", "dev", "test")),  # WSJ
        (("train_tr", "dev_tr", "test_tr"), ("train", "dev", "test")),  # ESPnet's Turkish
        (("train", "eval"), ("train", "dev")),
        (("train", "eval", "test"), ("train", "dev", "test")),
    ],
)
def test_the_splits_of_kaldi_s_recipes(
    names: tuple[str, ...], splits: tuple[str, ...], tmp_path: Path
) -> None:
    for name in names:
        write_audio(tmp_path / f"{name}.wav")
        write(tmp_path / "data" / name / "wav.scp", f"{name} {name}.wav\n")
        write(tmp_path / "data" / name / "text", f"{name} one\n")
    found = detected(tmp_path, "kaldi").splits
    assert {s: [u.id for u in listed] for s, listed in found.items()} == {
        split: [name] for split, name in zip(splits, names, strict=True)
    }


def test_copies_of_a_list_are_used_once(tmp_path: Path) -> None:
    """Kaldi's recipes copy a set for other features, and NeMo's write manifests again."""
    write_audio(tmp_path / "kaldi/a.wav")
    for name in ("train", "train_hires"):
        write(tmp_path / "kaldi/data" / name / "wav.scp", "u1 a.wav\n")
        write(tmp_path / "kaldi/data" / name / "text", "u1 one\n")
    write_audio(tmp_path / "nemo/a.wav")
    for name in ("train.json", "train_tokens.json"):
        write(tmp_path / "nemo" / name, '{"audio_filepath": "a.wav", "text": "one"}\n')
    for layout, id_ in (("kaldi", "u1"), ("nemo", "a")):
        result = detected(tmp_path / layout, layout)
        assert [u.id for u in result.splits["train"]] == [id_]
        assert any("1 repeat" in note for note in result.notes)


@pytest.mark.parametrize(
    ("script", "file"),
    [
        ("a b.wav", "a b.wav"),
        ("sph2pipe -f wav -p /d/a.sph |", "/d/a.sph"),
        ("/opt/bin/flac -c -d -s 'my a.flac' |", "my a.flac"),
        ("flac -c -d -s 'R&D/5$.flac' |", "R&D/5$.flac"),
        ("sox a.mp3 -r 16k -t wav - |", "a.mp3"),
        ("ffmpeg -v error -i a.m4a -f wav -ar 16000 -ac 1 - |", "a.m4a"),
    ],
)
def test_known_commands_read_their_file(script: str, file: str) -> None:
    assert file_of(script) == file


@pytest.mark.parametrize(
    "script",
    [
        "rm -rf / |",
        "sph2pipe -f wav -c 1 a.sph |",  # one of two channels
        "sph2pipe -f wav -t 1:2 a.sph |",  # a part
        "sox a.wav -t wav - speed 1.1 |",  # an effect
        "sox a.wav b.wav -t wav - |",  # two files
        "sox -v 0.5 a.wav -t wav - |",
        "flac -c -d a.flac | sox - -t wav - |",
        "ffmpeg -ss 3 -i a.wav -f wav - |",
        "ffmpeg -i a.wav -af atempo=2 -f wav - |",
        "sph2pipe $(touch x) |",
        "cat 'a.wav |",
        "data/raw.ark:123",
    ],
)
def test_other_commands_are_refused(script: str) -> None:
    with pytest.raises(ValueError, match="expected an audio file"):
        file_of(script)


def test_an_impossible_segment_is_a_problem(tmp_path: Path) -> None:
    write_audio(tmp_path / "data" / "a.wav", 1.0)
    write(tmp_path / "data" / "wav.scp", "r a.wav\n")
    write(tmp_path / "data" / "text", "s1 one\ns2 two\n")
    write(tmp_path / "data" / "segments", "s1 r 0 0.5\ns2 r 0.9 0.5\n")
    found = detected(tmp_path, "kaldi")
    assert texts(found) == {"s1": "one"}
    (problem,) = found.problems
    assert problem.startswith("s2: data/segments: ")
    write(tmp_path / "data" / "segments", "s2 r 0.9 0.5\n")
    with pytest.raises(CorpusError, match=r"0\.9 0\.5"):
        read_folder(tmp_path)


@pytest.mark.parametrize("file", ["wav.scp", "text", "utt2spk", "segments"])
def test_an_id_with_lines_that_differ_is_a_problem(file: str, tmp_path: Path) -> None:
    """A line that is there twice is none."""
    for name in ("a", "b", "c"):
        write_audio(tmp_path / "data" / f"{name}.wav", 2.0)
    lines = {
        "wav.scp": ["a a.wav", "b b.wav", "c c.wav", "a a.wav", "b c.wav"],
        "text": ["a text a", "b text b", "c text c", "a text a", "b two"],
        "utt2spk": ["a anna", "b anna", "c anna", "a anna", "b ben"],
        "segments": ["a a 0 1.5", "b b 0 1.5", "c c 0 1.5", "a a 0 1.5", "b b 1 1.5"],
    }
    for name, listed in lines.items():
        write(tmp_path / "data" / name, "\n".join(listed if name == file else listed[:3]))
    found = detected(tmp_path, "kaldi")
    assert texts(found) == {"a": "text a", "c": "text c"}
    (problem,) = found.problems
    assert problem.startswith(f"b: data/{file}: ")


# A text beside each recording --------------------------------------------------------------------


def test_texts_beside_recordings_in_folders_of_speakers(tmp_path: Path) -> None:
    for name in ("anna/1", "anna/2", "ben/1"):
        write_audio(tmp_path / f"{name}.wav")
        write(tmp_path / f"{name}.txt", f"  hallo\n {name}\n")
    write_audio(tmp_path / "ben/2.wav")
    write(tmp_path / "ben/3.lab", "no recording")
    write_audio(tmp_path / "ben/4.flac")
    write(tmp_path / "ben/4.lab", "fünf", "cp1252")
    result = detected(tmp_path, "sidecar")
    assert texts(result) == {
        "anna/1": "hallo anna/1", "anna/2": "hallo anna/2", "ben/1": "hallo ben/1", "ben/4": "fünf",
    }  # fmt: skip
    assert [u.speaker for u in result.splits[UNSPLIT]] == ["anna", "anna", "ben", "ben"]
    assert [problem.partition(":")[0] for problem in result.problems] == ["ben/2.wav"]
    assert any(note.startswith("speakers:") for note in result.notes)
    assert any("3.lab" in note for note in result.notes)


@pytest.mark.parametrize(
    "names", [("part1", "part2"), ("2024-01-05", "2024-01-06"), ("clips", "x")]
)
def test_other_folders_are_not_speakers(names: tuple[str, str], tmp_path: Path) -> None:
    for name in names:
        write_audio(tmp_path / name / "a.wav")
        write(tmp_path / name / "a.txt", f"text of {name}")
    assert {u.speaker for u in detected(tmp_path, "sidecar").splits[UNSPLIT]} == {None}


def test_texts_in_a_folder_of_their_own(tmp_path: Path) -> None:
    """wav48/SPEAKER/ID.wav and txt/SPEAKER/ID.txt, as in VCTK; wav/ID.wav and txt/ID.txt."""
    for speaker in ("p225", "p226", "p227"):
        for name in ("1", "2", "3"):
            write_audio(tmp_path / "many" / "wav48" / speaker / f"{name}.wav")
            write(tmp_path / "many" / "txt" / speaker / f"{name}.txt", f"{speaker} says {name}")
    found = detected(tmp_path / "many", "sidecar")
    assert texts(found)["wav48/p226/2"] == "p226 says 2"
    assert one(found, "wav48/p226/2").speaker == "p226"
    for name in ("a", "b", "c"):
        write_audio(tmp_path / "one" / "wav" / f"{name}.wav")
    write(tmp_path / "one" / "txt" / "a.txt", "hello")
    write(tmp_path / "one" / "other" / "deep" / "b.txt", "of something else")
    found = detected(tmp_path / "one", "sidecar")
    assert texts(found) == {"wav/a": "hello"}
    assert len(found.problems) == 2
    assert any("b.txt" in note for note in found.notes)


def test_only_folders_of_texts_have_the_texts(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_audio(tmp_path / "kinds" / "wav" / f"{name}.wav")
        for kind in ("phones", "txt"):
            write(tmp_path / "kinds" / kind / f"{name}.txt", f"{kind} of {name}")
    assert texts(detected(tmp_path / "kinds", "sidecar"))["wav/1"] == "txt of 1"
    for name in ("anna", "bob"):
        write_audio(tmp_path / "people" / name / "1.wav")
    write(tmp_path / "people" / "carl" / "1.txt", "carl says 1")
    with pytest.raises(CorpusError):
        read_folder(tmp_path / "people")


@pytest.mark.parametrize(("audio", "text"), [("wav48", "txt"), ("wav", "transcripts")])
def test_several_texts_or_recordings_are_refused(audio: str, text: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "wav" / "1.wav")
    write_audio(tmp_path / audio / "1.wav")
    write_audio(tmp_path / audio / "2.wav")
    write(tmp_path / "txt" / "1.txt", "one")
    write(tmp_path / text / "1.txt", "one")
    write(tmp_path / "txt" / "2.txt", "two")
    found = detected(tmp_path, "sidecar")
    assert texts(found) == {f"{audio}/2": "two"}
    several = f"{audio}/1.wav" if audio != "wav" else f"{text}/1.txt"
    assert found.problems
    assert all(several in problem for problem in found.problems)


def test_a_text_is_never_that_of_another_recording(tmp_path: Path) -> None:
    """Where both are beside each other, and one is missing."""
    for name in ("1", "2"):
        write_audio(tmp_path / "anna" / f"{name}.wav")
    write_audio(tmp_path / "bert" / "3.wav")
    for name in ("anna/1", "bert/2", "bert/3", "notes/2"):
        write(tmp_path / f"{name}.txt", name)
    assert texts(detected(tmp_path, "sidecar")) == {"anna/1": "anna/1", "bert/3": "bert/3"}


def test_a_text_named_after_the_whole_audio_file(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write(tmp_path / "a.wav.txt", "hello")
    assert texts(detected(tmp_path, "sidecar")) == {"a": "hello"}


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("cp1250", ["Dzień dobry", "źle", "żółw", "śnieg"]),
        ("cp1251", ["Да.", "Привет, как дела?", "Хорошо", "Ёлка"]),
        ("gb18030", ["你好，世界！今天天气很好。", "我们去吃饭吧？", "他说：「好的」", "ok"]),
    ],
)
def test_the_encoding_of_short_texts_is_that_of_all(
    encoding: str, expected: list[str], tmp_path: Path
) -> None:
    for number, text in enumerate(expected):
        write_audio(tmp_path / f"{number}.wav")
        (tmp_path / f"{number}.txt").write_bytes(text.encode(encoding))
    found = detected(tmp_path, "sidecar")
    assert list(texts(found).values()) == expected
    assert any(f"read as {encoding}" in note for note in found.notes)


def test_the_encoding_of_short_lists_is_that_of_all(tmp_path: Path) -> None:
    expected = ["Да", "Нет", "Привет, как дела?", "Хорошо", "Ёлка"]
    for number, text in enumerate(expected):
        write_audio(tmp_path / str(number) / f"{number}.wav")
        write(tmp_path / str(number) / "PROMPTS", f"{number}.wav {text}\n", "cp1251")
    assert list(texts(detected(tmp_path, "table")).values()) == expected


def test_prompts_of_speakers(tmp_path: Path) -> None:
    """VoxForge: SPEAKER-DATE-CODE/wav/ID.wav and SPEAKER-DATE-CODE/etc/PROMPTS."""
    for speaker in ("anna-20080504-qgr", "anna-20101231-abc", "bert"):
        for number in range(3):
            write_audio(tmp_path / speaker / "wav" / f"{speaker}{number}.wav")
        lines = [f"{speaker}/mfc/{speaker}{n} THE CAT {n}\n" for n in range(3)]
        write(tmp_path / speaker / "etc" / "PROMPTS", "".join(lines))
    found = detected(tmp_path, "table")
    assert texts(found)["bert/wav/bert1"] == "THE CAT 1"
    assert Counter(u.speaker for u in found.splits[UNSPLIT]) == {"anna": 6, "bert": 3}


def test_folders_of_one_name_are_no_words(tmp_path: Path) -> None:
    for speaker in ("anna", "bert"):
        for number in range(3):
            write_audio(tmp_path / speaker / "wav" / f"{number}.wav")
    with pytest.raises(CorpusError, match="no texts"):
        read_folder(tmp_path)
    for number in range(6):
        write(tmp_path / "bert" / "more" / f"{number}.txt", "a text")
        write_audio(tmp_path / "bert" / "other" / f"{number}.wav")
    with pytest.raises(CorpusError, match="no texts"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "0.00\t0.200\tone two\n\\\t90.0\t120.0\n0.250\t0.45\tthree\n",
         {"a@0.000": "one two", "a@0.250": "three"}),  # Audacity
        ("a.txt", "0,000000\t0,200000\tone\n0,250000\t0,450000\ttwo\n0,460000\t0,480000\n",
         {"a@0.000": "one", "a@0.250": "two"}),  # in a language with decimal commas
        ("A.TXT", "0 46797 She had your suit.\n", {"a": "She had your suit."}),  # TIMIT
        ("a.txt", "10 20 thirty", {"a": "10 20 thirty"}),
        ("a.txt", "3 2 1\n5 4", {"a": "3 2 1 5 4"}),
        ("a.txt", "3.5 2.5 metres", {"a": "3.5 2.5 metres"}),
        ("a.txt", "at 10:30\nor at 11:00", {"a": "at 10:30 or at 11:00"}),
        ("a.en.srt", "1\n00:00:00,000 --> 00:00:00,400\nhello\n", {"a@0.000": "hello"}),
        ("a.normalized.txt", "number two", {"a": "number two"}),  # LibriTTS
    ],
)  # fmt: skip
def test_text_files_with_times_or_longer_names(
    name: str, text: str, expected: dict[str, str], tmp_path: Path
) -> None:
    write_audio(tmp_path / "a.wav")
    write(tmp_path / name.replace("A", "a", 1), text)
    write(tmp_path / "other.original.txt", "of another recording")
    assert texts(detected(tmp_path, "sidecar")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "0 3600000 sil\n3600000 4000000 h\n",  # HTK, in 100 ns
        "".join(f"tier\t00:00:0{n}.000\t00:00:0{n}.500\tword\n" for n in range(4)),  # ELAN
        "start end text\n" + "".join(f"0.{n} 0.{n + 1} word\n" for n in range(4)),
    ],
)
def test_times_in_unknown_formats_are_no_text(text: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "a.txt", text)
    write(tmp_path / "b.txt", "a text")
    result = detected(tmp_path, "sidecar")
    assert texts(result) == {"b": "a text"}
    assert "TextGrid" in result.problems[0]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("0.1\t0.2\tone\n0.3\t0.4\ttwo\n0.1\t0.2\tthree\n", "three"),  # two tracks
        ("0.1\t0.2\tone\n0.4\t0.3\ttwo\n", "two"),
        ("0,1\t0,2\tone\n0,3\t0,3\t \n0\t1\ttwo\n", "two"),
    ],
)
def test_labels_that_are_not_in_order_are_refused(text: str, wrong: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
        write(tmp_path / f"{name}.txt", text if name == "a" else "a text")
    result = detected(tmp_path, "sidecar")
    assert texts(result) == {"b": "a text"}
    assert wrong in result.problems[0]


def test_a_label_without_length_is_a_problem(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "a.txt", "0.0\t0.2\tone\n0.3\t0.3\ttwo\n0.4\t0.4\n")
    write(tmp_path / "b.txt", "0.0\t0.2\n")
    result = detected(tmp_path, "sidecar")
    assert texts(result) == {"a@0.000": "one"}
    assert [problem.partition(":")[0] for problem in result.problems] == ["b.wav", "a@0.300"]


def test_texts_of_several_kinds(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    for name in ("a.original.txt", "a.normalized.txt", "b.de.txt", "b.en.txt"):
        write(tmp_path / name, name)
    result = detected(tmp_path, "sidecar")
    assert texts(result) == {"a": "a.normalized.txt"}
    (problem,) = result.problems
    assert "b.de.txt, b.en.txt" in problem


def test_several_microphones(tmp_path: Path) -> None:
    """VCTK: one text for ID_mic1.flac and ID_mic2.flac."""
    for name in ("1_mic1", "1_mic2", "2_mic2"):
        write_audio(tmp_path / "wav48" / "p225" / f"{name}.flac")
    for name in ("1", "2"):
        write(tmp_path / "txt" / "p225" / f"{name}.txt", f"text {name}")
    result = detected(tmp_path, "sidecar")
    assert texts(result) == {"wav48/p225/1_mic1": "text 1", "wav48/p225/2_mic2": "text 2"}
    assert any("1_mic2.flac" in note for note in result.notes)


ROLLING = """WEBVTT

00:00:00.000 --> 00:00:01.000 align:start position:0%
 
the<00:00:00.300><c> cat</c><00:00:00.700><c> sat</c>

00:00:01.000 --> 00:00:01.010
the cat sat
 

00:00:01.010 --> 00:00:02.000
the cat sat
on<00:00:01.400><c> it</c>

00:00:02.000 --> 00:00:02.010
on it
 

00:00:02.010 --> 00:00:03.000
on it
on it
"""


def test_captions_that_roll_up(tmp_path: Path) -> None:
    """YouTube's automatic captions: each line is shown twice, with the times of its words."""
    write_audio(tmp_path / "v.wav", 3.0)
    write(tmp_path / "v.en.vtt", ROLLING)
    assert texts(detected(tmp_path, "sidecar")) == {
        "v@0.000": "the cat sat", "v@1.010": "on it", "v@2.010": "on it",
    }  # fmt: skip
    write(tmp_path / "v.en.vtt", "WEBVTT\n\n00:00.000 --> 00:01.000\nno\n\n"
          "00:01.000 --> 00:02.000\nno\n\n00:02.000 --> 00:02.500\nyes\n\n"
          "00:02.500 --> 00:03.000\nwell\n")  # fmt: skip
    assert list(texts(detected(tmp_path, "sidecar")).values()) == ["no", "no", "yes", "well"]


def test_folders_of_splits(tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        write_audio(tmp_path / name / "a.wav")
        write(tmp_path / name / "a.txt", name)
    result = detected(tmp_path, "sidecar")
    assert {split: u.text for split, (u,) in result.splits.items()} == {
        "train": "train", "dev": "dev", "test": "test",
    }  # fmt: skip


SRT = """1
00:00:00,000 --> 00:00:01,500
<i>Good morning,</i>
everyone.

2
00:00:01,400 --> 00:00:02,000
[applause]

3
00:00:01,750 --> 00:00:03,500
- Thank you.
- (quietly) Yes.
"""


def test_subtitles_beside_a_long_recording(tmp_path: Path) -> None:
    write_audio(tmp_path / "talk.wav", 3.0)
    write(tmp_path / "talk.srt", SRT)
    write(tmp_path / "talk.txt", "Good morning, everyone. Thank you. Yes.")
    result = detected(tmp_path, "sidecar")
    assert [(u.id, u.text, u.offset, u.duration) for u in result.splits[UNSPLIT]] == [
        ("talk@0.000", "Good morning, everyone.", 0.0, 1.5),
        ("talk@1.750", "Thank you. Yes.", 1.75, 1.25),
    ]
    (tmp_path / "talk.srt").unlink()
    cue = "<c>Hello</c> <00:00:00.700><c> you</c> &amp; me"
    write(tmp_path / "talk.vtt", f"WEBVTT\n\n00:00.500 --> 00:01.000\n{cue}\n")
    assert [(u.text, u.offset) for u in read_folder(tmp_path)[1].splits[UNSPLIT]] == [
        ("Hello you & me", 0.5)
    ]


def textgrid(length: float, tiers: dict[str, list[tuple[float, float, str]]]) -> str:
    lines = ["File type = \"ooTextFile\"", 'Object class = "TextGrid"', "", "0", str(length),
             "<exists>", str(len(tiers))]  # fmt: skip
    for name, intervals in tiers.items():
        lines += ['"IntervalTier"', f'"{name}"', "0", str(length), str(len(intervals))]
        for start, end, text in intervals:
            lines += [str(start), str(end), f'"{text}"']
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("length", "tiers", "expected"),
    [
        (
            2.0,
            {"phones": [(0, 1, "h"), (1, 2, "i")], "words": [(0, 1, "hi"), (1, 2, "you")]},
            [("a", "hi you", 0.0, 2.0, None)],
        ),
        (
            3.0,
            {"transcript": [(0, 1, "hi you"), (1, 2, ""), (2, 3, "no")], "word": [(0, 3, "hi")]},
            [("a@0.000", "hi you", 0.0, 1.0, None), ("a@2.000", "no", 2.0, 1.0, None)],
        ),
        (
            3.0,
            {"anna": [(0, 1, "hi you"), (1, 3, "")], "ben": [(0, 2, ""), (2, 3, "so there")]},
            [("a@0.000", "hi you", 0.0, 1.0, "anna"), ("a@2.000", "so there", 2.0, 1.0, "ben")],
        ),
        (
            24.0,
            {"words": [(0, 1, "hi"), (1, 20, "sp"), (20, 21, "you"), (21, 24, "")]},
            [("a@0.000", "hi", 0.0, 1.25, None), ("a@19.750", "you", 19.75, 1.5, None)],
        ),
        (
            2.0,
            {
                "text": [(0, 1, "das ist gut"), (1, 2, "")],
                "translation": [(0, 1, "that is good")],
                "notes": [(1, 2, "a loud bang")],
            },
            [("a@0.000", "das ist gut", 0.0, 1.0, None)],
        ),
        (
            2.0,
            {"transcription": [(0, 1, "yes"), (1, 2, "")], "stress": [(0, 1, "y e s")]},
            [("a", "yes", 0.0, 2.0, None)],
        ),
        (
            2.0,
            {"notes": [(0, 1, "that is good"), (1, 2, "")]},
            [("a@0.000", "that is good", 0.0, 1.0, None)],
        ),
    ],
    ids=["words", "utterances", "speakers", "long pause", "translation", "one word", "only notes"],
)
def test_textgrids(
    length: float,
    tiers: dict[str, list[tuple[float, float, str]]],
    expected: list[tuple[object, ...]],
    tmp_path: Path,
) -> None:
    write_audio(tmp_path / "a.wav", length)
    write(tmp_path / "a.TextGrid", textgrid(length, tiers))
    result = detected(tmp_path, "sidecar")
    found = [(u.id, u.text, u.offset, u.duration, u.speaker) for u in result.splits[UNSPLIT]]
    assert found == expected


def test_tiers_of_a_textgrid_may_have_the_same_name(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", 2.0)
    tiers = textgrid(2.0, {"text": [(0, 1, "hi you"), (1, 2, "")], "pitch": [(0, 2, "")]})
    write(tmp_path / "a.TextGrid", tiers.replace("pitch", "text"))
    assert texts(detected(tmp_path, "sidecar")) == {"a@0.000": "hi you"}


def test_a_textgrid_without_words_is_a_problem(tmp_path: Path) -> None:
    for name in "ab":
        write_audio(tmp_path / f"{name}.wav", 2.0)
    write(tmp_path / "a.TextGrid", textgrid(2.0, {"phones": [(0, 1, "h"), (1, 2, "i")]}))
    write(tmp_path / "b.TextGrid", textgrid(2.0, {"words": [(0, 1, "b"), (1, 2, "")]}))
    result = detected(tmp_path, "sidecar")
    assert texts(result) == {"b": "b"}
    assert "phones" in result.problems[0]


def test_a_recording_in_two_formats_is_used_once(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "b.ogg"):
        write_audio(tmp_path / name)
    write(tmp_path / "a.txt", "one")
    write(tmp_path / "b.txt", "two")
    found = detected(tmp_path, "sidecar")
    assert texts(found) == {"a": "one", "b": "two"}
    assert one(found, "a").audio.endswith(".flac")
    assert any("a.wav" in note and "better format" in note for note in found.notes)


# A folder per word -------------------------------------------------------------------------------


def test_a_folder_per_word(tmp_path: Path) -> None:
    for word in ("go", "turn_left"):
        for number in range(3):
            write_audio(tmp_path / word / f"{number}.wav")
    write_audio(tmp_path / "_background_noise_/hum.wav")
    for number in range(9):
        write(tmp_path / "docs" / f"LICENSE{number}.txt", "terms")
    result = detected(tmp_path, "words")
    assert texts(result)["turn_left/2"] == "turn left"
    assert len(result.splits[UNSPLIT]) == 6
    assert "go, turn_left" in result.notes[0]


@pytest.mark.parametrize(
    ("pattern", "speakers"),
    [
        ("{name}_{n}.wav", {"anna", "ben"}),
        ("{name}-x_{n}.wav", {"anna", "ben"}),
        ("{n}_{name}.wav", set()),  # once in each folder: a number
        ("take1_{name}{n}.wav", set()),
        ("{word}_{name}{n}.wav", set()),
        ("{name}{n}.wav", set()),
    ],
)
def test_speakers_by_the_files_in_folders_of_words(
    pattern: str, speakers: set[str], tmp_path: Path
) -> None:
    for word in ("go", "stop", "left"):
        for name in ("anna", "ben"):
            for n in range(2):
                write_audio(
                    tmp_path / word / pattern.format(name=name, n=f"{name[0]}{n}", word=word)
                )
    result = detected(tmp_path, "words")
    assert {u.speaker for u in result.splits[UNSPLIT]} - {None} == speakers
    assert len(result.notes) == 1 + bool(speakers)


def test_speech_commands_by_lists_or_hash(tmp_path: Path) -> None:
    names = {"dev": "00000000", "test": "022cd682", "train": "00000001"}
    assert {hash_split(name): name for name in names.values()} == names
    for word in ("go", "stop"):
        for number in range(4):
            write_audio(tmp_path / word / f"{names['train']}_nohash_{number}.wav")
        for split in ("dev", "test"):
            write_audio(tmp_path / word / f"{names[split]}_nohash_0.wav")
    result = detected(tmp_path, "words")
    assert {split: {u.speaker for u in v} for split, v in result.splits.items()} == {
        split: {name} for split, name in names.items()
    }
    write(tmp_path / "testing_list.txt", f"go/{names['train']}_nohash_3.wav\n")
    write(tmp_path / "validation_list.txt", f"go/{names['train']}_nohash_2.wav\n")
    result = detected(tmp_path, "words")
    assert {split: len(v) for split, v in result.splits.items()} == {
        "train": 10, "dev": 1, "test": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (("train", "dev", "test"), {"train": 4, "dev": 4, "test": 4}),
        (("train", "eval"), {"train": 4, "dev": 4, "test": 0}),
        (("train", "dev", "eval"), {"train": 4, "dev": 4, "test": 4}),
    ],
)
def test_folders_of_splits_above_those_of_words(
    names: tuple[str, ...], sizes: dict[str, int], tmp_path: Path
) -> None:
    for name in names:
        for word in ("go", "stop"):
            for number in range(2):
                write_audio(tmp_path / name / word / f"{name}{number}.wav")
    found = detected(tmp_path, "words").splits
    assert {split: len(listed) for split, listed in found.items()} == sizes


def test_a_list_of_speech_commands_that_cannot_be_read(tmp_path: Path) -> None:
    for word in ("yes", "no"):
        for number in range(3):
            write_audio(tmp_path / word / f"{number}.wav")
    write(tmp_path / "validation_list.txt", "yes/é.wav\n", "latin-1")
    with pytest.raises(CorpusError, match=r"validation_list\.txt"):
        read_folder(tmp_path)


def test_a_part_of_speech_commands_is_not_all_test(tmp_path: Path) -> None:
    for number in range(3):
        for word in ("go", "stop"):
            write_audio(tmp_path / word / f"022cd682_nohash_{number}.wav")
    assert list(detected(tmp_path, "words").splits) == [UNSPLIT]


def test_long_recordings_without_text_are_not_words(tmp_path: Path) -> None:
    for number in range(2):
        for speaker in ("anna", "ben"):
            write_audio(tmp_path / speaker / f"{number}.wav", 6.0)
    with pytest.raises(CorpusError, match="without any text"):
        read_folder(tmp_path)


# Corpora, and recordings of others in their layouts -------------------------------------------


def test_names_like_those_of_fsdd_with_other_texts(tmp_path: Path) -> None:
    for name in ("1_anna_001", "2_anna_009"):  # SESSION_SPEAKER_INDEX
        write_audio(tmp_path / f"{name}.wav")
    by_name = {"1_anna_001": "one", "2_anna_009": "two"}
    result = detected(tmp_path, "fsdd")
    assert texts(result, "train") | texts(result, "dev") | texts(result, "test") == by_name
    write(tmp_path / "list.csv", "file,text\n1_anna_001.wav,over a lazy dog\n2_anna_009.wav,no\n")
    listed = {"1_anna_001": "over a lazy dog", "2_anna_009": "no"}
    assert texts(detected(tmp_path, "table")) == listed
    (tmp_path / "list.csv").unlink()
    for name, text in listed.items():
        write(tmp_path / f"{name}.txt", text)
    assert texts(detected(tmp_path, "sidecar")) == listed


def test_fsdd_in_several_folders_and_formats(tmp_path: Path) -> None:
    for number in range(10, 15):
        write_audio(tmp_path / f"s1/3_anna_{number}.wav")
        write_audio(tmp_path / f"s2/3_anna_{number}.wav")
    write_audio(tmp_path / "s2/3_anna_10.ogg")
    write_audio(tmp_path / "s1/noise.wav")
    result = detected(tmp_path, "fsdd")
    used = {Path(u.audio).relative_to(tmp_path).as_posix() for u in result.splits["train"]}
    assert used == {f"s{s}/3_anna_{number}.wav" for s in (1, 2) for number in range(10, 15)}
    assert any("noise" in note for note in result.notes)


def test_another_corpus_in_the_layout_of_an4(tmp_path: Path) -> None:
    lists = {"train": ["anna/1", "ben/2"], "test": ["zoe/3"]}
    for part, listed in lists.items():
        for name in listed:
            write_audio(tmp_path / f"wav/{name}.wav")
        write(tmp_path / f"etc/my_{part}.fileids", "".join(f"{name}\n" for name in listed))
        lines = [f"<s> number {name[-1]} </s> ({name[-1]})\n" for name in listed]
        write(tmp_path / f"etc/my_{part}.transcription", "".join(lines))
    result = detected(tmp_path, "an4")
    assert texts(result, "train") == {"1": "number 1", "2": "number 2"}
    assert texts(result, "test") == {"3": "number 3"}
    assert list(result.splits) == ["train", "test"]
    with pytest.raises(CorpusError, match="speakers"):
        prepare("an4", tmp_path)


def test_few_speakers_in_the_layout_of_librispeech(tmp_path: Path) -> None:
    for subset, speakers in {"mine": "123", "test-other": "4"}.items():
        for speaker in speakers:
            chapter = tmp_path / subset / speaker / "7"
            write_audio(chapter / f"{speaker}-7-0000.flac")
            write(chapter / f"{speaker}-7.trans.txt", f"{speaker}-7-0000 NUMBER {speaker}\n")
    read = {f"{n}-7-0000": f"NUMBER {n}" for n in (1, 2, 3)}
    assert texts(detected(tmp_path / "mine", "librispeech")) == read
    result = detected(tmp_path, "librispeech")
    assert texts(result, "train") == read
    assert list(result.splits) == ["train", "test-other"]
    with pytest.raises(CorpusError, match="speakers"):
        prepare("librispeech", tmp_path)


def test_a_text_of_one_recording_is_not_librispeech(tmp_path: Path) -> None:
    write_audio(tmp_path / "1.wav")
    write(tmp_path / "1.trans.txt", "over a lazy dog")
    assert texts(detected(tmp_path, "sidecar")) == {"1": "over a lazy dog"}


def test_ids_of_another_form_are_not_those_of_librispeech(tmp_path: Path) -> None:
    """Zeroth-Korean has such texts in such folders."""
    write_audio(tmp_path / "train/003/106/106_003_0000.flac")
    write(tmp_path / "train/003/106/106_003.trans.txt", "106_003_0000 인사를 결정\n")
    found = detected(tmp_path, "table")
    assert list(texts(found, "train").values()) == ["인사를 결정"]


# What cannot be read -----------------------------------------------------------------------------


def test_folders_without_recordings_or_texts(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(CorpusError, match="0 files"):
        read_folder(tmp_path)
    write(tmp_path / "list.xlsx", "PK")
    with pytest.raises(CorpusError, match="CSV"):
        read_folder(tmp_path)
    write_audio(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match="no texts"):
        read_folder(tmp_path)
    with pytest.raises(CorpusError, match="kaldy"):
        read_folder(tmp_path, "kaldy")


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "digits"])
def test_a_forced_layout_that_does_not_fit(layout: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    with pytest.raises(CorpusError) as caught:
        read_folder(tmp_path, layout)
    assert str(tmp_path) in str(caught.value)


def test_the_same_id_twice_is_renamed_and_reported(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write_audio(tmp_path / "b.wav")
    write(tmp_path / "l.csv", "id,file,text\nx,a.wav,one\nx,b.wav,two\n")
    result = detected(tmp_path, "table")
    assert texts(result) == {"x": "one", "x#2": "two"}
    assert any(note.startswith("ids:") for note in result.notes)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are not bytes there")
def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    for name in ("s1", "t1", "s2", "t2"):
        write_audio(tmp_path / name[0] / f"{name}.wav")
        write(tmp_path / name[0] / f"{name}.txt", f"text {name}")
    (tmp_path / "s").rename(tmp_path / os.fsdecode(b"s\xe9"))
    found = detected(tmp_path, "sidecar").splits[UNSPLIT]
    write_manifest(tmp_path / "m.jsonl", found)
    assert read_manifest(tmp_path / "m.jsonl") == found
    assert {u.speaker for u in found} == {r"s\udce9", "t"}


def test_hidden_files_are_skipped(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write(tmp_path / "a.txt", "one")
    write(tmp_path / "._a.wav", "of a Mac")
    write_audio(tmp_path / ".cache/b.wav")
    assert texts(detected(tmp_path, "sidecar")) == {"a": "one"}


def test_what_speechgru_wrote_is_read_only_where_nothing_else_has_texts(tmp_path: Path) -> None:
    for name in "ab":
        write_audio(tmp_path / f"{name}.wav")
        for kind in ("ref", "hyp"):
            write(tmp_path / f"run/results/test/{kind}.trn", "of a recogniser (a)\n")
    write(tmp_path / "run/results/test/score.json", "{}")
    with pytest.raises(CorpusError, match="no texts"):
        read_folder(tmp_path)
    line = {"audio_filepath": "../a.wav", "duration": 0.5, "text": "old"}
    write(tmp_path / "x-manifests/train.jsonl", json.dumps(line))
    write(tmp_path / "x-manifests/audit.json", "{}")
    assert texts(detected(tmp_path, "nemo"), "train") == {"a": "old"}
    write(tmp_path / "a.txt", "new")
    write(tmp_path / "fixed/train.jsonl", json.dumps(line))
    write(tmp_path / "fixed/changes.jsonl", "{}")
    result = detected(tmp_path, "sidecar")
    assert texts(result) == {"a": "new"}
    assert any("x-manifests" in note and "run/results/test" in note for note in result.notes)
    line = {"audio_filepath": "../b.wav", "duration": 0.5, "text": "of another tool"}
    write(tmp_path / "lists/train.jsonl", json.dumps(line))
    assert texts(detected(tmp_path, "nemo"), "train") == {"b": "of another tool"}


# Real corpora ------------------------------------------------------------------------------------

EXPECTED = {  # folder → layout, utterances by split (before missing ones are made), speakers
    "an4": ("an4", {"train": 845, "dev": 103, "test": 130}, 84),
    "fsdd": ("fsdd", {"train": 2400, "dev": 300, "test": 300}, 6),
    "LibriSpeech": ("librispeech", {"train": 1119, "dev": 156, "test": 244}, 28),
    "kerstin_de": ("ljspeech", {UNSPLIT: 1374}, 0),
    "commonvoice/de": ("commonvoice", {UNSPLIT: 100}, 84),
    "commonvoice/tw": ("commonvoice", {"train": 205, "dev": 0, "test": 20}, 9),
    "nemo_jsonl": ("nemo", {"train": 30, "dev": 10}, 0),
    "kaldi_speechocean": ("kaldi", {"train": 20, "test": 16}, 4),
    "ljspeech": ("ljspeech", {UNSPLIT: 8}, 0),
    "speech_commands": ("words", {UNSPLIT: 150}, 18),
    "mfa_corpus": ("sidecar", {UNSPLIT: 6}, 2),
    "arabic_commands": ("table", {"train": 3600, "dev": 1200, "test": 1200}, 30),
    "asterisk_en": ("table", {UNSPLIT: 300}, 0),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_corpora(name: str, real_data: Path) -> None:
    layout, counts, speakers = EXPECTED[name]
    found, result = read_folder(real_data / name)
    assert found == layout
    assert {split: len(listed) for split, listed in result.splits.items()} == counts
    known = {u.speaker for listed in result.splits.values() for u in listed} - {None}
    assert len(known) == speakers
    assert result.problems == []
