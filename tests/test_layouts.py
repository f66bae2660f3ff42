"""Folders of recordings in every layout that `read_folder` recognises."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechgru.corpora import LAYOUTS, UNSPLIT, Prepared, read_folder
from speechgru.corpora.columns import parse_table
from speechgru.corpora.encoding import read_text
from speechgru.corpora.kaldi import file_of
from speechgru.corpora.words import hash_split
from speechgru.errors import CorpusError
from speechgru.manifest import Utterance

RATE = 8000


def write_audio(path: Path, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path)))
    kind = "WAV" if path.suffix.lower() == ".wav" else None
    samples = 0.1 * rng.standard_normal(round(seconds * RATE))
    soundfile.write(path, samples, RATE, format=kind)
    return path


def write(path: Path, text: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def texts(result: Prepared, split: str = UNSPLIT) -> dict[str, str]:
    return {utterance.id: utterance.text for utterance in result.splits[split]}


def one(result: Prepared, id_: str) -> Utterance:
    (found,) = [u for listed in result.splits.values() for u in listed if u.id == id_]
    return found


def detected(folder: Path, layout: str) -> Prepared:
    """Read without and with the layout stated."""
    name, result = read_folder(folder)
    assert name == layout
    assert read_folder(folder, layout)[1] == result
    return result


# Lists -------------------------------------------------------------------------------------------


def test_a_list_saved_by_a_spreadsheet(tmp_path: Path) -> None:
    """Semicolons, cp1252, CRLF, a German header, wrong suffixes, several audio formats."""
    names = ["eins.wav", "zwei.flac", "drei.ogg"]
    for name in names:
        write_audio(tmp_path / "Aufnahmen" / name)
    rows = ["Datei;Satz;Sprecherin", "eins.wav;Grüß Gott;Anna", "zwei.wav;Übung;Jörg",
            'drei.mp3;"ja; ""doch""";Anna', "vier.wav;fehlt;Anna"]  # fmt: skip
    write(tmp_path / "Liste.csv", "\r\n".join(rows) + "\r\n", "cp1252")
    result = detected(tmp_path, "table")
    assert texts(result) == {
        "Aufnahmen/eins": "Grüß Gott",
        "Aufnahmen/zwei": "Übung",
        "Aufnahmen/drei": 'ja; "doch"',
    }
    assert {u.speaker for u in result.splits[UNSPLIT]} == {"Anna", "Jörg"}
    assert one(result, "Aufnahmen/zwei").audio == str(tmp_path / "Aufnahmen/zwei.flac")
    (problem,) = result.problems
    assert "vier.wav" in problem
    notes = "\n".join(result.notes)
    assert "cp1252" in notes
    assert "zwei.wav, drei.mp3" in notes


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_and_encodings(delimiter: str, encoding: str, tmp_path: Path) -> None:
    for name in "ab":
        write_audio(tmp_path / f"{name}.wav")
    rows = [("text", "id", "wav_filename"), ("già", "x1", "a.wav"), ("zwölf", "x2", "b.wav")]
    write(tmp_path / "l.csv", "\r".join(map(delimiter.join, rows)), encoding)
    assert texts(detected(tmp_path, "table")) == {"x1": "già", "x2": "zwölf"}


def test_mozillas_lists_are_the_splits(tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        write_audio(tmp_path / f"clips/{name}.wav")
        write(
            tmp_path / f"{name}.csv",
            f"wav_filename,wav_filesize,transcript\nclips/{name}.wav,8044,go to {name}\n",
        )
    result = detected(tmp_path, "table")
    assert {split: [u.text for u in listed] for split, listed in result.splits.items()} == {
        name: [f"go to {name}"] for name in ("train", "dev", "test")
    }


def test_a_list_without_header_by_id_and_by_path(tmp_path: Path) -> None:
    for name in ("x/1001", "x/1002"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "list.txt", "1001 turn it on\n1002 turn it off\n")
    assert texts(detected(tmp_path, "table")) == {"x/1001": "turn it on", "x/1002": "turn it off"}
    write(tmp_path / "list.txt", "x\\1001.wav|turn on|anna\n\nx\\1002.wav|turn off|bob\n")
    result = detected(tmp_path, "table")
    assert texts(result) == {"x/1001": "turn on", "x/1002": "turn off"}


def test_a_split_column_offsets_and_languages(tmp_path: Path) -> None:
    write_audio(tmp_path / "long.wav", 4.0)
    write(
        tmp_path / "l.tsv",
        'audio\tstart\tend\tsentence\tlang\tsplit\nlong.wav\t0\t1.5\tone "a\tde\ttrain\n'
        "long.wav\t1,5\t3\ttwo\tde\tvalidation\nlong.wav\t3\t9\tthree\tfr\ttest\n",
    )
    result = detected(tmp_path, "table")
    found = {split: (u.text, u.offset, u.duration, u.lang) for split, (u,) in result.splits.items()}
    assert found == {
        "train": ('one "a', 0.0, 1.5, "de"),
        "dev": ("two", 1.5, 1.5, "de"),
        "test": ("three", 3.0, 1.0, "fr"),
    }
    assert "5.00 s" in "\n".join(result.notes)


def test_a_list_of_everything_beside_its_splits(tmp_path: Path) -> None:
    for name in "abc":
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "all.csv", "file,text\na.wav,x\nb.wav,y\nc.wav,z\n")
    write(tmp_path / "train.csv", "file,text\na.wav,x\n")
    write(tmp_path / "test.csv", "file,text\nb.wav,y\n")
    result = detected(tmp_path, "table")
    assert {split: len(listed) for split, listed in result.splits.items()} == {
        "train": 1,
        "test": 1,
    }
    assert "1 rows are in no split" in "\n".join(result.notes)


def test_the_same_names_in_several_folders(tmp_path: Path) -> None:
    """A list finds the nearest file, or the one in the folder that its row names; never another."""
    for speaker in ("anna", "bert"):
        for number in ("001", "002"):
            write_audio(tmp_path / "near" / speaker / "wavs" / f"{number}.wav")
            write_audio(tmp_path / "row" / "all" / speaker / f"{number}.wav")
        write(tmp_path / "near" / speaker / "metadata.csv", f"001|{speaker} 1\n002|{speaker} 2\n")
    found = detected(tmp_path / "near", "table")
    assert texts(found)["bert/wavs/001"] == "bert 1"
    assert len(texts(found)) == 4
    rows = [f"{speaker},001.wav,{speaker} one\n" for speaker in ("anna", "bert")]
    write(tmp_path / "row" / "list.csv", "who,file,text\n" + "".join(rows) + "carl,002.wav,two\n")
    found = detected(tmp_path / "row", "table")
    assert texts(found) == {"all/anna/001": "anna one", "all/bert/001": "bert one"}
    (problem,) = found.problems
    assert "all/anna/002.wav and all/bert/002.wav" in problem


@pytest.mark.parametrize(
    ("file", "listed"),
    [("007.wav", "7"), ("007.wav", "7.0"), ("007.wav", "7.wav"), ("a b.wav", "http://x/a%20b.wav"),
     ("a.wav", "/data/upload/1/0a1b2c3d-a.wav"), ("0a1b2c3d-a.wav", "0a1b2c3d-a.wav")],
)  # fmt: skip
def test_names_changed_by_other_programs(file: str, listed: str, tmp_path: Path) -> None:
    """By spreadsheets, browsers and annotation tools."""
    write_audio(tmp_path / "clips" / file)
    write(tmp_path / "l.csv", f"file,text\n{listed},a text\n")
    result = detected(tmp_path, "table")
    assert texts(result) == {f"clips/{Path(file).stem}": "a text"}


def test_splits_by_the_folders_of_lists_or_audio(tmp_path: Path) -> None:
    """transcripts.txt in train/, dev/ and test/, as in MLS; wav/train/, …, as in AISHELL."""
    for split in ("train", "dev", "test"):
        write_audio(tmp_path / "lists" / split / "audio" / f"{split}.wav")
        write(tmp_path / "lists" / split / "transcripts.txt", f"{split}\ta {split} text\n")
        write_audio(tmp_path / "audio" / "wav" / split / "1" / f"{split}.wav")
        write_audio(tmp_path / "nemo" / split / "a.wav")
        write(tmp_path / "nemo" / split / "m.json", '{"audio_filepath": "a.wav", "text": "b"}')
    rows = [f"{split}\ta {split} text\n" for split in ("train", "dev", "test")]
    write(tmp_path / "audio" / "texts.tsv", "".join(rows))
    for name, layout in (("lists", "table"), ("audio", "table"), ("nemo", "nemo")):
        result = detected(tmp_path / name, layout)
        assert {split: len(each) for split, each in result.splits.items()} == {
            "train": 1, "dev": 1, "test": 1,
        }  # fmt: skip


def test_a_list_of_everything_beside_a_test_set(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "all.csv", "file,text\na.wav,one\nb.wav,two\nc.wav,three\n")
    write(tmp_path / "test.csv", "file,text\nb.wav,two\n")
    result = detected(tmp_path, "table")
    assert texts(result) == {"a": "one", "c": "three"}
    assert texts(result, "test") == {"b": "two"}


def test_columns_can_be_stated(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write(tmp_path / "l.csv", "datei,romaji,kana\na.wav,hashi desu,はし です\n")
    assert texts(read_folder(tmp_path, columns={"text": "kana"})[1]) == {"a": "はし です"}
    assert texts(read_folder(tmp_path, columns={"text": "2"})[1]) == {"a": "hashi desu"}
    for wrong in ({"text": "kanji"}, {"txt": "kana"}, {"text": "datei"}):
        with pytest.raises(CorpusError, match="|".join(wrong.values())):
            read_folder(tmp_path, columns=wrong)


def test_other_spellings_of_the_texts(tmp_path: Path) -> None:
    for name in "ab":
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "l.csv", "file,class\na.wav,zero\nb.wav,one\n")
    write(tmp_path / "words.tsv", "class\tarabic\tnote\nzero\tصفر\tx\none\tواحد\t\ntwo\tاثنان\t\n")
    result = detected(tmp_path, "table")
    assert texts(result) == {"a": "zero", "b": "one"}
    assert any("words.tsv:arabic" in note for note in result.notes)
    found = read_folder(tmp_path, columns={"text": "words.tsv:arabic"})[1]
    assert texts(found) == {"a": "صفر", "b": "واحد"}
    with pytest.raises(CorpusError, match=r"words\.tsv:arabic"):
        read_folder(tmp_path, columns={"text": "words.tsv:persian"})


def test_a_byte_order_mark_before_an_older_encoding(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    (tmp_path / "l.csv").write_bytes(
        b"\xef\xbb\xbf" + "Datei;Satz\r\na.wav;Grüße\r\n".encode("cp1252")
    )
    assert texts(detected(tmp_path, "table")) == {"a": "Grüße"}


def test_a_text_is_not_taken_for_a_list() -> None:
    assert parse_table("go to a\nand b, or c\n", lambda cell: cell == "a") is None


@pytest.mark.parametrize(
    ("text", "encoding", "read"),
    [
        ("Ça va être", "cp1252", "Ça va être"),
        ("привет как дела сегодня", "cp1251", "привет как дела сегодня"),
        ("今天天气很好我们出去走走吧", "gb18030", "今天天气很好我们出去走走吧"),
    ],
)
def test_older_encodings_are_guessed_and_reported(
    text: str, encoding: str, read: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(f"{text}\r\n".encode(encoding) * 5)
    found = read_text(file)
    assert found.text.split("\n")[0] == read
    assert found.guessed
    assert found.guessed in str(found.note(file))


def test_a_binary_file_is_not_a_text(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"PK\3\4\0\0\xff\xfe" * 10)
    with pytest.raises(CorpusError):
        read_text(file)


# Other layouts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("top", ["# exported 2024\n", "My list\n\n", "sep=;\n"])
def test_lines_above_the_header_are_skipped(top: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "list.csv", f"{top}file;text\na.wav;the cat\nb.wav;the dog\n")
    found = detected(tmp_path, "table")
    assert texts(found) == {"a": "the cat", "b": "the dog"}
    assert not found.problems


def test_delimiters_in_a_text_without_quotes(tmp_path: Path) -> None:
    for number in range(3):
        write_audio(tmp_path / f"{number}.wav")
    write(tmp_path / "list.csv", "file,text\n0.wav,well, yes, no,,\n1.wav,plain\n2.wav,a, b\n")
    found = detected(tmp_path, "table")
    assert texts(found) == {"0": "well, yes, no", "1": "plain", "2": "a, b"}
    write(tmp_path / "list.csv", '0.wav,well, yes\n1.wav,plain words\n2.wav,"a, b"\n')
    assert texts(detected(tmp_path, "table")) == {"0": "well, yes", "1": "plain words", "2": "a, b"}
    write(tmp_path / "list.csv", "0.wav,well, yes\n1.wav,plain words\n2.wav,so, no\n")
    assert texts(detected(tmp_path, "table")) == {
        "0": "well, yes",
        "1": "plain words",
        "2": "so, no",
    }
    write(tmp_path / "list.csv", "file,text,speaker\n0.wav,a,anna\n1.wav,well, yes,anna\n")
    found = detected(tmp_path, "table")
    assert texts(found) == {"0": "a"}
    (problem,) = found.problems
    assert "list.csv:3" in problem


@pytest.mark.parametrize("last", ["9.wav", "total: 4 files", "9.wav,bye", "9.wav,bye,anna,1,2"])
def test_one_row_of_another_width(last: str, tmp_path: Path) -> None:
    for number in range(10):
        write_audio(tmp_path / f"{number}.wav")
    rows = [f"{number}.wav,hello number {'x' * number},anna,3.5" for number in range(4)]
    write(tmp_path / "list.csv", "\n".join([*rows, last]))
    found = texts(detected(tmp_path, "table"))
    assert {key: found[key] for key in "0123"} == {
        str(number): f"hello number {'x' * number}".strip() for number in range(4)
    }
    assert found.keys() <= {*"0123", *("9" if "bye" in last else "")}


@pytest.mark.parametrize("beyond", [",0.93", ",-1e-3", ",anna", ","])
def test_a_column_without_a_name_is_no_text(beyond: str, tmp_path: Path) -> None:
    for number in range(3):
        write_audio(tmp_path / f"{number}.wav")
    rows = [f"{number}.wav,hello there{beyond}\n" for number in range(3)]
    write(tmp_path / "list.csv", "path,text\n" + "".join(rows))
    assert set(texts(detected(tmp_path, "table")).values()) == {"hello there"}


def test_a_number_after_a_text_is_a_problem_of_its_row(tmp_path: Path) -> None:
    for number in range(3):
        write_audio(tmp_path / f"{number}.wav")
    write(tmp_path / "list.csv", "path,text\n0.wav,one\n1.wav,two\n2.wav,call me,0.5\n")
    found = detected(tmp_path, "table")
    assert texts(found) == {"0": "one", "1": "two"}
    assert "list.csv:4" in found.problems[0]


def test_first_rows_without_a_text_are_problems(tmp_path: Path) -> None:
    for number in range(5):
        write_audio(tmp_path / f"{number}.wav")
    write(tmp_path / "list.csv", "0.wav,\n1.wav,\n2.wav,two\n3.wav,three\n4.wav,four\n")
    found = detected(tmp_path, "table")
    assert texts(found) == {"2": "two", "3": "three", "4": "four"}
    assert [problem.partition(":")[0] for problem in found.problems] == ["0", "1"]


def test_rows_of_two_speakers_are_no_repetition(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write(tmp_path / "list.csv", "file,text,speaker\na.wav,one,anna\na.wav,one,bert\n")
    found = detected(tmp_path, "table")
    assert [u.speaker for u in found.splits[UNSPLIT]] == ["anna", "bert"]


@pytest.mark.parametrize(
    ("header", "first", "second"),
    [
        ("start_ms,end_ms", "0,250", "250,500"),
        ("start [ms],duration [ms]", "0,250", "250,250"),
        ("start_s,end_s", "0,0.25", "0.25,0.5"),
        ("start,end", "00:00:00.000,00:00:00.250", "0:00.25,0:00.5"),
    ],
)
def test_times_in_other_units(header: str, first: str, second: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write(
        tmp_path / "list.csv",
        f"file,{header},items,text\na.wav,{first},1,one\na.wav,{second},2,two\n",
    )
    found = detected(tmp_path, "table")
    times = [(u.text, u.offset, u.duration) for u in found.splits[UNSPLIT]]
    assert times == [("one", 0, 0.25), ("two", 0.25, 0.25)]


def test_rows_that_repeat_others_and_texts_without_times(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "list.csv", "file,text\na.wav,one\nb.wav,two\n")
    write(tmp_path / "list (copy).csv", "file,text\na.wav,one\nb.wav,three\n")
    found = detected(tmp_path, "table")
    assert sorted(u.text for u in found.splits[UNSPLIT]) == ["one", "three", "two"]
    assert any("1 repeat" in note for note in found.notes)
    assert any("b.wav" in note and "--column" in note for note in found.notes)


def test_a_remark_on_all_rows_is_not_the_text(tmp_path: Path) -> None:
    for number in range(3):
        write_audio(tmp_path / f"{number}.wav")
    rows = [
        f"{number}.wav,word {number * 'a'},recorded in the green room today\n"
        for number in range(3)
    ]
    write(tmp_path / "list.csv", "".join(rows))
    assert texts(detected(tmp_path, "table"))["2"] == "word aa"


def test_a_recording_in_two_formats_is_used_once(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "b.ogg"):
        write_audio(tmp_path / name)
    write(tmp_path / "a.txt", "one")
    write(tmp_path / "b.txt", "two")
    found = detected(tmp_path, "sidecar")
    assert texts(found) == {"a": "one", "b": "two"}
    assert one(found, "a").audio.endswith(".flac")
    assert any("a.wav" in note and "better format" in note for note in found.notes)


def test_an_impossible_segment_is_a_problem(tmp_path: Path) -> None:
    write_audio(tmp_path / "data" / "a.wav", 1.0)
    write(tmp_path / "data" / "wav.scp", "r a.wav\n")
    write(tmp_path / "data" / "text", "s1 one\ns2 two\n")
    write(tmp_path / "data" / "segments", "s1 r 0 0.5\ns2 r 0.9 0.5\n")
    found = detected(tmp_path, "kaldi")
    assert texts(found) == {"s1": "one"}
    assert "s2" in found.problems[0]
    write(tmp_path / "data" / "segments", "s2 r 0.9 0.5\n")
    with pytest.raises(CorpusError, match=r"0\.9 0\.5"):
        read_folder(tmp_path)


def test_a_duration_with_a_decimal_comma(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", 1.0)
    write(tmp_path / "metadata.csv", 'file_name,text,duration\na.wav,one,"0,5"\n')
    assert one(detected(tmp_path, "audiofolder"), "a").duration == 0.5


@pytest.mark.parametrize(
    "text",
    [
        '[{"audio": "a.wav", "text": "one, two"}, {"audio": "b.wav", "text": "3 \\"", "n": [1]}]',
        '{"audio": "a.wav", "text": "one, two"}\n{"audio": "b.wav", "text": "3 \\""}\n',
        '{"n": "x", "data": [{"f": "a.wav", "text": "one, two"}, {"f": "b.wav", "text": "3 \\""}]}',
        '{"a.wav": "one, two", "b.wav": "3 \\""}',
    ],
)
def test_json(text: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    for other in ("[1, 2]", "{", '[{"a": 1}]', '[{"audio": "a.wav", "detail": "clipped"}]'):
        write(tmp_path / "data.json", other)
        with pytest.raises(CorpusError):
            read_folder(tmp_path)
    write(tmp_path / "data.json", text)
    assert texts(detected(tmp_path, "table")) == {"a": "one, two", "b": '3 "'}
    write(tmp_path / "list.csv", "file,text\na.wav,five\n")
    assert texts(detected(tmp_path, "table")) == {"a": "five"}


TRANSCRIPT = {"format": "x", "file": "0.wav", "text": "guess", "duration": 1, "words": []}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hyp.jsonl", json.dumps(TRANSCRIPT)),
        ("hyp.jsonl", f"{json.dumps(TRANSCRIPT)}\n{json.dumps(TRANSCRIPT)}"),
        ("hyp.json", '{"0.wav": "a guess", "1.wav": "a guess"}'),
        ("my_prompts", "0 a guess\n1 a guess\n2 a guess\n3 a guess\n"),
    ],
)
def test_lists_of_transcripts_are_not_preferred(name: str, text: str, tmp_path: Path) -> None:
    for number in range(4):
        write_audio(tmp_path / f"{number}.wav")
    write(tmp_path / name, text)
    if name != "hyp.json":
        with pytest.raises(CorpusError):
            read_folder(tmp_path)
    for number in range(4):
        write(tmp_path / f"{number}.txt", f"text {'x' * number}")
    assert texts(detected(tmp_path, "sidecar"))["1"] == "text x"
    for word in ("go", "stop"):
        for number in range(2):
            write_audio(tmp_path / "words" / word / f"{number}.wav")
    write(tmp_path / "words" / name, text.replace("0.wav", "go/0.wav"))
    assert texts(detected(tmp_path / "words", "words"))["go/1"] == "go"


def test_a_third_column_that_is_no_normalised_text(tmp_path: Path) -> None:
    lines = []
    for number in range(4):
        write_audio(tmp_path / "wavs" / f"{number}.wav")
        lines.append(f"{number}|The cat sat on {number}.|anna\n")
    write(tmp_path / "metadata.csv", "".join(lines))
    assert texts(detected(tmp_path, "table"))["wavs/1"] == "The cat sat on 1."


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


def test_common_voice_validated_only_and_two_languages(tmp_path: Path) -> None:
    for lang in ("de", "tw"):
        write_audio(tmp_path / lang / "clips/a.wav")
        row = "x\ta.wav\thallo\t2"
        write(tmp_path / lang / "validated.tsv", f"client_id\tpath\tsentence\tup_votes\n{row}\n")
    assert texts(detected(tmp_path / "de", "commonvoice")) == {"a.wav": "hallo"}
    with pytest.raises(CorpusError, match=r"de, .*tw"):
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
    write(tmp_path / "x_train.json", json.dumps(rows[0]) + '\n{"text": "no audio"}\n')
    with pytest.raises(CorpusError, match=r"x_train.json:2"):
        read_folder(tmp_path)


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


def cut(name: str, source: dict[str, object], **changes: object) -> dict[str, object]:
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
    cuts = [
        cut("c1", good),
        cut("c2", good | {"type": "command", "source": "cat r.wav"}),
        cut("c3", good, type="MixedCut", tracks=[]),
    ]
    data = "\n".join(map(json.dumps, cuts)).encode()
    file = tmp_path / f"cuts_test.{suffix}"
    file.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    result = detected(tmp_path, "lhotse")
    (found,) = result.splits["test"]
    assert (found.id, found.offset, found.duration) == ("c1-s", 0.25, 0.4)
    assert (found.speaker, found.lang) == ("anna", "en")
    assert [problem.partition(":")[0] for problem in result.problems] == ["c2", "c3"]


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
    ("script", "file"),
    [
        ("a b.wav", "a b.wav"),
        ("sph2pipe -f wav -p /d/a.sph |", "/d/a.sph"),
        ("/opt/bin/flac -c -d -s 'my a.flac' |", "my a.flac"),
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


def test_prompts_of_speakers(tmp_path: Path) -> None:
    """VoxForge: SPEAKER/wav/ID.wav and SPEAKER/etc/PROMPTS."""
    for speaker in ("anna", "bert"):
        for number in range(3):
            write_audio(tmp_path / speaker / "wav" / f"{speaker}{number}.wav")
        lines = [f"{speaker}/mfc/{speaker}{n} THE CAT {n}\n" for n in range(3)]
        write(tmp_path / speaker / "etc" / "PROMPTS", "".join(lines))
    found = detected(tmp_path, "table")
    assert texts(found)["bert/wav/bert1"] == "THE CAT 1"
    assert one(found, "bert/wav/bert1").speaker == "bert"


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
        ("A.TXT", "0 46797 She had your suit.\n", {"a": "She had your suit."}),  # TIMIT
        ("a.txt", "10 20 thirty", {"a": "10 20 thirty"}),
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
    ],
    ids=["words", "utterances", "speakers", "long pause"],
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


def test_a_textgrid_without_words_is_a_problem(tmp_path: Path) -> None:
    for name in "ab":
        write_audio(tmp_path / f"{name}.wav", 2.0)
    write(tmp_path / "a.TextGrid", textgrid(2.0, {"phones": [(0, 1, "h"), (1, 2, "i")]}))
    write(tmp_path / "b.TextGrid", textgrid(2.0, {"words": [(0, 1, "b"), (1, 2, "")]}))
    result = detected(tmp_path, "sidecar")
    assert texts(result) == {"b": "b"}
    assert "phones" in result.problems[0]


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


def test_hidden_files_are_skipped(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write(tmp_path / "a.txt", "one")
    write(tmp_path / "._a.wav", "of a Mac")
    write_audio(tmp_path / ".cache/b.wav")
    assert texts(detected(tmp_path, "sidecar")) == {"a": "one"}


# Real corpora ------------------------------------------------------------------------------------

EXPECTED = {  # folder → layout, utterances by split (before missing ones are made), speakers
    "an4": ("an4", {"train": 845, "dev": 103, "test": 130, "train+dev": 948}, 84),
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
