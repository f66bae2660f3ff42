"""Lists of files and texts: CSV, TSV and the like, and JSON, in any encoding."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from folders import RATE, detected, one, texts, write, write_audio

from speechgru.corpora import UNSPLIT, read_folder
from speechgru.corpora.as_rows import is_wav2letter
from speechgru.corpora.columns import parse_table
from speechgru.corpora.encoding import read_text
from speechgru.errors import CorpusError


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


def test_a_colon_after_the_name(tmp_path: Path) -> None:
    for name in ("BASIC5000_0001", "BASIC5000_0002"):
        write_audio(tmp_path / f"wav/{name}.wav")
    rows = ["BASIC5000_0001:水を買わなくてはならないのです。", 'BASIC5000_0002:時間: 10:30 "です']
    write(tmp_path / "transcript_utf8.txt", "\n".join(rows))
    assert list(texts(detected(tmp_path, "table")).values()) == [row[15:] for row in rows]
    write_audio(tmp_path / "0.wav")
    for other in ("00:01 a time\n00:02 is no name\n", "C:\\wav\\0.wav\nC:\\wav\\1.wav\n"):
        write(tmp_path / "transcript_utf8.txt", other)
        with pytest.raises(CorpusError):
            read_folder(tmp_path)


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
    for split in ("train", "test"):
        write_audio(tmp_path / "set" / "audio" / split / "001.wav")
        write(tmp_path / "set" / f"{split}.tsv", f"001.wav\tin {split}\n")
    found = detected(tmp_path / "set", "table")
    assert texts(found, "test") == {"audio/test/001": "in test"}


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


def test_other_sentences_of_a_list_without_header_are_named(tmp_path: Path) -> None:
    """KSS has the text twice, then in single letters of Hangul, and its translation."""
    rows = []
    for number, word in enumerate(("하나", "둘", "셋")):
        write_audio(tmp_path / f"1/{number}.wav")
        text = f"이것은 {word}"
        rows.append(f"1/{number}.wav|{text}|{text}|{number}.5|this is the number {number}\n")
    write(tmp_path / "transcript.txt", "".join(rows))
    (note,) = [n for n in detected(tmp_path, "table").notes if n.startswith("text:")]
    assert "column 5" in note
    assert "in column 2; " in note
    _, stated = read_folder(tmp_path, columns={"text": "2"})
    assert texts(stated)["1/1"] == "이것은 둘"
    assert not any(n.startswith("text:") for n in stated.notes)
    write(tmp_path / "transcript.txt", "file|korean|again|length|text\n" + "".join(rows))
    assert not any(n.startswith("text:") for n in detected(tmp_path, "table").notes)


def test_a_damaged_line_of_ljspeech_is_a_problem(tmp_path: Path) -> None:
    for number in range(30):
        write_audio(tmp_path / f"wavs/{number}.wav")
    lines = [f"{number}|take {number}" for number in range(30)]
    write(tmp_path / "metadata.csv", "\n".join([*lines[:25], "25 take", *lines[26:]]))
    found = detected(tmp_path, "ljspeech")
    assert len(texts(found)) == 29
    assert [problem.partition(": ")[0] for problem in found.problems] == ["metadata.csv:26"]


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
    assert found.guessed in str(found.notes(file))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    ["привет как дела", "привет", "hello\nyou", "c'est déjà l’été", "नमस्ते दुनिया", "안녕 hello"],
)
def test_utf_16_without_a_mark(text: str, encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(text.encode(encoding))
    found = read_text(file)
    assert (found.text, found.guessed) == (text, encoding)


@pytest.mark.parametrize(
    "text", ["a\nb\nc\nd\n", "привет\x1a", "one\x0b\ntwo\x0c\n\x1a", "one\x00two"]
)
def test_control_characters_in_utf_8(text: str, tmp_path: Path) -> None:
    write(tmp_path / "a.txt", text)
    assert read_text(tmp_path / "a.txt").text == text


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_in_another_encoding(end: str, tmp_path: Path) -> None:
    for number in range(6):
        write_audio(tmp_path / f"{number}.wav")
    lines = ["file,text", "0.wav,hello", *(f"{n}.wav,schöne grüße {n}" for n in range(1, 5))]
    data = end.join(lines).encode() + f"{end}5.wav,café am see{end}".encode("cp1252")
    (tmp_path / "list.csv").write_bytes(data)
    found = detected(tmp_path, "table")
    assert texts(found) == {
        "0": "hello", "5": "café am see", **{str(n): f"schöne grüße {n}" for n in range(1, 5)},
    }  # fmt: skip
    (note,) = [note for note in found.notes if note.startswith("encoding")]
    assert "cp1252" in note
    assert "in line 7;" in note
    assert "café" in note
    assert "grüße" not in note
    (tmp_path / "list.csv").unlink()
    rows = [json.dumps({"audio": f"{n}.wav", "text": "grüße"}, ensure_ascii=False) for n in "123"]
    data = end.join([*rows, '{"audio": "4.wav", "text": "caf']).encode() + b'\xe9"}'
    (tmp_path / "list.json").write_bytes(data)
    assert texts(detected(tmp_path, "table"))["4"] == "café"


def test_a_binary_file_is_not_a_text(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"PK\3\4\0\0\xff\xfe" * 10)
    with pytest.raises(CorpusError):
        read_text(file)


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


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("order", ["audio, text", "text, audio"])
def test_a_quote_that_is_not_closed(order: str, delimiter: str, tmp_path: Path) -> None:
    """It is literal; other rows are as without it."""
    cells = []
    for number, text in enumerate(["one", '"two', '"three"', 'the "fourth"', '"five', "six"]):
        cells.append((write_audio(tmp_path / f"{number}.wav").name, text))
    rows = [("file", "text"), *cells, ("5.wav", '"a last')]
    if order == "text, audio":
        rows = [row[::-1] for row in rows]
    write(tmp_path / "list.csv", "".join(delimiter.join(row) + "\n" for row in rows))
    found = [u.text.strip('"') for u in detected(tmp_path, "table").splits[UNSPLIT]]
    assert found == ["one", "two", "three", 'the "fourth', "five", "six", "a last"]


def test_a_quote_before_a_megabyte(tmp_path: Path) -> None:
    rows = [f"{number}.wav,number {number}\n" for number in range(50_000)]
    rows[0] = '0.wav,"zero\n'
    table = parse_table("".join(rows), lambda cell: cell.endswith(".wav"))
    assert table is not None
    assert (len(table.rows), table.rows[0]) == (50_000, (1, ["0.wav", '"zero']))


def test_texts_of_several_lines(tmp_path: Path) -> None:
    for number in range(3):
        write_audio(tmp_path / f"{number}.wav")
    write(
        tmp_path / "list.csv",
        'file,text,speaker\n0.wav,"to be,\nor ""not, to""\n1\n\nbe",anna\n1.wav,a,bert\n'
        '2.wav,"b\n2 or 3",anna\n',
    )
    found = detected(tmp_path, "table").splits[UNSPLIT]
    assert [" ".join(u.text.split()) for u in found] == [
        'to be, or "not, to" 1 be',
        "a",
        "b 2 or 3",
    ]
    assert [u.speaker for u in found] == ["anna", "bert", "anna"]


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


@pytest.mark.parametrize("factor", [1000, RATE])
def test_times_in_samples_without_a_unit_are_refused(factor: int, tmp_path: Path) -> None:
    """A part that begins at 0 would become the whole file."""
    rows = ["file,start,end,text"]
    for name in "abcd":
        write_audio(tmp_path / f"{name}.wav", 1.0)
        for start in (0.0, 0.25, 0.5):
            begin, end = round(start * factor), round((start + 0.25) * factor)
            rows.append(f"{name}.wav,{begin},{end},{name} {start}")
    write(tmp_path / "list.csv", "\n".join(rows))
    with pytest.raises(CorpusError, match=r"8 of 8 .*a\.wav.* 1\.00 s"):
        read_folder(tmp_path)


def test_one_time_in_another_unit_is_a_problem_of_its_row(tmp_path: Path) -> None:
    rows = ["file,start,end,text", "a.wav,16000,24000,late"]
    for name in "abcd":
        write_audio(tmp_path / f"{name}.wav", 1.0)
        rows.append(f"{name}.wav,0,1,{name}")
    write(tmp_path / "list.csv", "\n".join(rows))
    _, prepared = read_folder(tmp_path)
    assert len(prepared.splits[UNSPLIT]) == 4
    assert len(prepared.problems) == 1


@pytest.mark.parametrize("stated", [{}, {"offset": "2", "end": "3"}])
@pytest.mark.parametrize(
    ("start", "end"),
    [("-0.02", "0.2"), ("NA", "NA"), ("?", "0.2"), ("0.2", "n/a"), ("0.2", "0.1"), ("0.2", "0.2")],
)
def test_a_wrong_time_is_a_problem_of_its_row(
    start: str, end: str, stated: dict[str, str], tmp_path: Path
) -> None:
    for split in ("train", "test"):
        write_audio(tmp_path / "wav" / split / f"{split}.wav")
    rows = ["train.wav,0.1,0.2,one", "test.wav,0.25,0.5,two", f"train.wav,{start},{end},three",
            "train.wav,0.2,,four"]  # fmt: skip
    write(tmp_path / "list.csv", "file,start,end,text\n" + "\n".join(rows))
    found = read_folder(tmp_path, columns=stated)[1]
    times = {u.text: (u.offset, u.duration) for listed in found.splits.values() for u in listed}
    assert times == {"one": (0.1, 0.1), "two": (0.25, 0.25), "four": (0.2, 0.3)}
    assert {split: len(listed) for split, listed in found.splits.items()} == {"train": 2, "test": 1}
    (problem,) = found.problems
    assert problem.startswith("list.csv:4")


def test_a_wrong_duration_is_a_problem_beside_an_offset(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    rows = ["a.wav,0.1,0.2,one", "a.wav,0.25,0.2,two", "a.wav,0.3,unknown,three", "a.wav,0.3,0,x"]
    write(tmp_path / "list.csv", "file,start,duration,text\n" + "\n".join(rows))
    found = detected(tmp_path, "table")
    assert list(texts(found).values()) == ["one", "two"]
    assert [problem[:10] for problem in found.problems] == ["list.csv:4", "list.csv:5"]
    write(tmp_path / "list.csv", "file,duration,text\na.wav,unknown,one\n")
    assert texts(detected(tmp_path, "table")) == {"a": "one"}


def test_rows_that_repeat_others_and_texts_without_times(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "list.csv", "file,text\na.wav,one\nb.wav,two\n")
    write(tmp_path / "list (copy).csv", "file,text\na.wav,one\nb.wav,three\n")
    found = detected(tmp_path, "table")
    assert sorted(u.text for u in found.splits[UNSPLIT]) == ["one", "three", "two"]
    assert any("1 repeat" in note for note in found.notes)
    assert any("b.wav" in note and "--column" in note for note in found.notes)


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        (["it 's what we 'll do", "I don 't"], ["it's what we'll do", "I don't"]),
        (["it 's what we 'll do", "we 'll see, you'll see"], None),
        (["'s avonds in 't donker", "da 's goed"], None),
    ],
)
def test_contractions_in_two_parts_are_joined(
    spoken: list[str], expected: list[str] | None, tmp_path: Path
) -> None:
    """As TED-LIUM has them; not what Dutch writes so."""
    for name in "ab":
        write_audio(tmp_path / f"{name}.wav")
    rows = [f"{name} 1 anna 0.0 0.4 {text}\n" for name, text in zip("ab", spoken, strict=True)]
    write(tmp_path / "t.stm", "".join(rows))
    found = detected(tmp_path, "table")
    assert list(texts(found).values()) == (expected or spoken)
    assert any("contractions" in note for note in found.notes) == bool(expected)


@pytest.mark.parametrize(("channels", "excluded"), [(2, ["t@0.3", "t@0.7"]), (1, [])])
def test_what_another_channel_is_mixed_with_is_a_problem(
    channels: int, excluded: list[str], tmp_path: Path
) -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal((12_000, channels))
    soundfile.write(tmp_path / "t.wav", noise, 8000)
    times = [("A", 0.0, 0.3, "one"), ("A", 0.3, 0.9, "two"), ("B", 0.7, 1.2, "three"),
             ("B", 1.15, 1.4, "four")]  # fmt: skip
    rows = [f"t {channel} x {start} {end} {text}\n" for channel, start, end, text in times]
    write(tmp_path / "calls.stm", "".join(rows))
    result = detected(tmp_path, "table")
    assert [problem.partition(":")[0] for problem in result.problems] == excluded
    assert len(texts(result)) == 4 - len(excluded)


def test_a_text_in_single_letters_is_not_preferred(tmp_path: Path) -> None:
    """FLEURS has the text as it was read, its normal form, and that in letters."""
    rows = []
    for name in "ab":
        write_audio(tmp_path / f"{name}.wav")
        rows.append(
            f"7\t{name}.wav\tOh, {name}\toh well {name}\to h | w e l l | {name} |\t8000\tMALE\n"
        )
    write(tmp_path / "train.tsv", "".join(rows))
    assert texts(detected(tmp_path, "table"), "train") == {"a": "oh well a", "b": "oh well b"}
    write(tmp_path / "train.tsv", "a.wav\t而 对 楼 市\nb.wav\t的 限 购\n")
    assert texts(detected(tmp_path, "table"), "train") == {"a": "而 对 楼 市", "b": "的 限 购"}


@pytest.mark.parametrize(
    ("header", "row", "text"),
    [
        ("Datei;Gesprochener Text;Label", "{n}.wav;eins und {n};male", "eins und 1"),
        ("file;who;label;said", "{n}.wav;anna maria;male;this is {n}", "this is 1"),
        ("file;place;word", "{n}.wav;New York;go", "go"),
        ("file;remark;prompt", "{n}.wav;the take {n} of that;say number {n}", "say number 1"),
        ("file;code;digit;label", "{n}.wav;abcdefgh{n}jklmn;{n};{n}", "1"),
        ("file;label;text", "{n}.wav;this is {n};go", "go"),
    ],
)
def test_a_class_or_a_text(header: str, row: str, text: str, tmp_path: Path) -> None:
    """A column called label or so is the text unless it has words where another has sentences."""
    for number in range(4):
        write_audio(tmp_path / f"{number}.wav")
    rows = [row.format(n=number) for number in range(4)]
    write(tmp_path / "list.csv", "\n".join([header, *rows]))
    assert texts(detected(tmp_path, "table"))["1"] == text


def test_addresses_are_no_texts(tmp_path: Path) -> None:
    """Multilingual LibriSpeech lists where its audio comes from."""
    write_audio(tmp_path / "audio/1_2_3.wav")
    write(tmp_path / "segments.txt", "1_2_3\thttp://example.org/a_64kb.mp3\t401.76\t417.57\n")
    write(tmp_path / "transcripts.txt", "1_2_3\tein text\n")
    assert texts(detected(tmp_path, "table")) == {"audio/1_2_3": "ein text"}


@pytest.mark.parametrize("header", ["", "wav,txt\n"])
def test_names_of_text_files_are_no_texts(header: str, tmp_path: Path) -> None:
    """As in manifests of deepspeech.pytorch; the texts are beside the recordings."""
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
        write(tmp_path / f"{name}.txt", f"text {name}")
    write(tmp_path / "list.csv", f"{header}/data/a.wav,/data/a.txt\n/data/b.wav,/data/b.txt\n")
    assert texts(detected(tmp_path, "sidecar")) == {"a": "text a", "b": "text b"}
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").unlink()
    with pytest.raises(CorpusError, match=r"list\.csv: names recordings"):
        read_folder(tmp_path)


def test_a_list_that_is_named_by_its_columns(tmp_path: Path) -> None:
    """As in OpenSLR 53, where folders are the beginnings of names, not speakers."""
    for name in ("0a/0a1", "0a/0a2", "0b/0b1", "0b/0b2"):
        write_audio(tmp_path / "data" / f"{name}.flac")
    rows = "0a1\tx\tone\n0a2\ty\ttwo\n0b1\tx\tthree\n0b2\tz\tfour\n"
    write(tmp_path / "utt_spk_text.tsv", rows)
    found = detected(tmp_path, "table").splits[UNSPLIT]
    assert [(u.id, u.speaker) for u in found][:3] == [("0a1", "x"), ("0a2", "y"), ("0b1", "x")]


def test_a_remark_on_all_rows_is_not_the_text(tmp_path: Path) -> None:
    for number in range(3):
        write_audio(tmp_path / f"{number}.wav")
    rows = [
        f"{number}.wav,word {number * 'a'},recorded in the green room today\n"
        for number in range(3)
    ]
    write(tmp_path / "list.csv", "".join(rows))
    assert texts(detected(tmp_path, "table"))["2"] == "word aa"


@pytest.mark.parametrize(
    "text",
    [
        '[{"audio": "a.wav", "text": "one, two"}, {"audio": "b.wav", "text": "3 \\"", "n": [1]}]',
        '{"audio": "a.wav", "text": "one, two"}\n{"audio": "b.wav", "text": "3 \\""}\n',
        '{"n": "x", "data": [{"f": "a.wav", "text": "one, two"}, {"f": "b.wav", "text": "3 \\""}]}',
        '{"a.wav": "one, two", "b.wav": "3 \\""}',
        '[{"audio": {"path": "a.wav", "bytes": null}, "sentence": "one, two"},'
        ' {"audio": {"path": "b.wav"}, "sentence": "3 \\""}]',
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


@pytest.mark.parametrize(
    ("header", "columns", "expected"),
    [
        ("path,duration", {}, ("hello there", 0.0, 0.5)),  # the text is in the column without name
        ("path,text", {"offset": "2", "text": "3"}, ("hello there", 0.25, 0.25)),
        ("path", {"offset": "2"}, ("hello there", 0.25, 0.25)),
    ],
)
def test_columns_beyond_the_header(
    header: str, columns: dict[str, str], expected: tuple[str, float, float], tmp_path: Path
) -> None:
    for number in range(3):
        write_audio(tmp_path / f"{number}.wav")
    rows = [f"{number}.wav,0.25,hello there\n" for number in range(3)]
    write(tmp_path / "list.csv", f"{header}\n" + "".join(rows))
    found = read_folder(tmp_path, columns=columns)[1].splits[UNSPLIT]
    assert {(u.text, u.offset, u.duration) for u in found} == {expected}


def test_texts_of_json_with_what_separates_columns(tmp_path: Path) -> None:
    rows = [{"text": f"one; {name}", "audio": f"{name}.wav"} for name in "ab"]
    for row in rows:
        write_audio(tmp_path / row["audio"])
    write(tmp_path / "list.json", json.dumps(rows))
    found = detected(tmp_path, "table")
    assert texts(found) == {"a": "one; a", "b": "one; b"}
    assert not any("separated" in note for note in found.notes)


def test_keys_of_json_are_no_row_even_if_recordings_have_their_names(tmp_path: Path) -> None:
    rows = [{"file": "a.wav", "text": "one two"}, {"file": "text.wav", "text": "three"}]
    for row in rows:
        write_audio(tmp_path / row["file"])
    write(tmp_path / "list.json", json.dumps(rows))
    found = detected(tmp_path, "table")
    assert texts(found) == {"a": "one two", "text": "three"}
    assert not found.problems


@pytest.mark.parametrize("value", [["one"], "one \ud800"])
def test_a_value_of_json_that_is_no_text_is_a_problem_of_its_row(
    value: object, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    rows = [{"audio": "a.wav", "text": value}, {"audio": "b.wav", "text": "two"}]
    write(tmp_path / "list.json", json.dumps(rows))
    found = detected(tmp_path, "table")
    assert texts(found) == {"b": "two"}
    assert found.problems[0].startswith("a:")


def test_a_number_after_an_id_is_a_new_one(tmp_path: Path) -> None:
    for number in range(3):
        write_audio(tmp_path / f"{number}.wav")
    write(tmp_path / "list.csv", "file,text,id\n0.wav,x,a\n1.wav,y,a\n2.wav,z,a#2\n")
    assert texts(detected(tmp_path, "table")) == {"a": "x", "a#3": "y", "a#2": "z"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("refs.trn", "one (a)\ntwo (b)\n"),
        ("etc/txt.done.data", '( a "one" )\n( b "two" )\n'),
        ("data.list", '{"key": "x", "wav": "a.wav", "txt": "one"}\n'
         '{"key": "y", "wav": "b.wav", "txt": "two"}\n'),
        ("all.json", '{"x": {"wav": "{data_root}/a.wav", "words": "one"},'
         ' "y": {"wav": "{data_root}/b.wav", "words": "two"}}'),
        ("all.json", '{"a.wav": {"text": "one"}, "b.wav": {"text": "two"}}'),
        ("text", "a one\nb two\n"),
        ("dev.lst", "x /data/a.wav 512.5 one\ny /data/b.wav 500 two\n"),
        ("dev.lst", "x /data/a.wav 512 one\ny /data/b.wav 500.5 two\n"),
        ("dev.lst", "x\ta.wav\t0.5\tanna\tone\ny\tb.wav\t0.5\tanna\ttwo\n"),
        ("all.csv", 'wav,answer,wrd\na.wav,accept,one\nb.wav,accept,two\nb.wav,reject,three\n'),
    ],
)  # fmt: skip
def test_lists_of_other_programs(file: str, text: str, tmp_path: Path) -> None:
    """NIST, Festival, WeNet, SpeechBrain, Kaldi, wav2letter, Prodigy."""
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / file, text)
    (listed,) = detected(tmp_path, "table").splits.values()
    assert [u.text for u in listed] == ["one", "two"]


def test_a_text_that_begins_with_a_number_is_not_wav2letter_s(tmp_path: Path) -> None:
    for name in ("rec 0", "rec 1"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "list.csv", "rec 0.wav ; 2 cats\nrec 1.wav ; 3 dogs\n")
    assert sorted(texts(detected(tmp_path, "table")).values()) == ["2 cats", "3 dogs"]
    assert not is_wav2letter("x a.wav 2 cats\ny b.wav 3 dogs\nz c.wav 2.5 mice\n")


def test_a_name_of_columns_does_not_make_files_speakers(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "speaker_text.tsv", "a.wav\tone\nb.wav\ttwo\n")
    (listed,) = detected(tmp_path, "table").splits.values()
    assert [u.speaker for u in listed] == [None, None]


def test_the_speaker_decides_between_files_in_the_folder_of_the_list_s_name(tmp_path: Path) -> None:
    for speaker in ("A", "B"):
        write_audio(tmp_path / "train" / speaker / "0.wav")
    write(tmp_path / "train.tsv", "path\tspeaker\ttext\n0.wav\tA\tone\n0.wav\tB\ttwo\n")
    (listed,) = detected(tmp_path, "table").splits.values()
    assert {Path(u.audio).parent.name: u.text for u in listed} == {"A": "one", "B": "two"}


def test_a_column_named_text_with_names_of_files_is_not_the_text(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    rows = "a.wav,x/a.txt,yes we can\nb.wav,x/b.txt,no we cannot\n"
    write(tmp_path / "list.csv", "audio,text,transcript\n" + rows)
    assert sorted(texts(detected(tmp_path, "table")).values()) == ["no we cannot", "yes we can"]


def test_keys_with_line_breaks(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write_audio(tmp_path / "b.wav")
    rows = [{"audio": f"{n}.wav", "text": f"one {n}", "x\ny": 1} for n in "ab"]
    write(tmp_path / "list.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    (listed,) = detected(tmp_path, "table").splits.values()
    assert [u.text for u in listed] == ["one a", "one b"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("t.stm", ";; a comment\nt 1 anna 0.00 0.30 <o,f0> one\nt 1 anna 0.30 0.45 two\n"
         "t 1 anna 0.45 0.50 <o> ignore_time_segment_in_scoring\n"),
        ("x.json", '{"name": "x", "audios": [{"path": "t.wav", "segments": [{"begin_time": 0, '
         '"end_time": 0.3, "text_tn": "one", "speaker": "anna"}, {"begin_time": 0.3, '
         '"end_time": 0.45, "text_tn": "two", "speaker": "N/A"}]}]}'),
    ],
)  # fmt: skip
def test_lists_with_segments(file: str, text: str, tmp_path: Path) -> None:
    """TEDLIUM and GigaSpeech."""
    write_audio(tmp_path / "t.wav")
    write(tmp_path / file, text)
    first, second = detected(tmp_path, "table").splits[UNSPLIT]
    assert (first.text, first.offset, first.duration) == ("one", 0.0, 0.3)
    assert (second.text, second.offset, second.duration) == ("two", 0.3, 0.15)
    assert first.speaker == "anna"
    assert second.speaker == ("anna" if file == "t.stm" else None)


@pytest.mark.parametrize(
    ("file", "line"),
    [("t.stm", "t 1 anna 0 0.3 one"), ("refs.trn", "one (t)"), ("a.data", '( t "one" )')],
)
def test_a_line_of_another_form_is_a_problem(file: str, line: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "t.wav")
    write(tmp_path / file, f"{line}\n{line.replace('one', 'two')}\n\nt 1 anna\n")
    found = detected(tmp_path, "table")
    assert list(texts(found).values()) == ["one", "two"]
    assert [problem.partition(": ")[0] for problem in found.problems] == [f"{file}:4"]


@pytest.mark.parametrize(
    ("file", "text", "place"),
    [
        ("l.csv", 'file,text\na.wav,"a\nb"\n\ngone.wav,"c\nd"\n', "l.csv:5"),
        ("metadata.csv", 'file_name,text\na.wav,"a\nb"\n\ngone.wav,c\n', "metadata.csv:5"),
        (
            "metadata.jsonl",
            '{"file_name": "a.wav", "text": "a"}\n\n{"file_name": "gone.wav", "text": "b"}\n',
            "metadata.jsonl:3",
        ),
        (
            "l.jsonl",
            '{"file": "a.wav", "text": "a\\nb"}\n\n{"file": "gone.wav", "text": "c"}\n',
            "l.jsonl:3",
        ),
        (
            "l.json",
            '[{"file": "a.wav", "text": "a"},\n{"file": "gone.wav", "text": "b"}]',
            "l.json",
        ),
        ("l.stm", ";; x\na 1 s 0 0.3 a\n\ngone.wav 1 s 0 0.3 b\n", "l.stm:4"),
    ],
)
def test_the_line_of_a_row_without_audio(file: str, text: str, place: str, tmp_path: Path) -> None:
    """In the file, not in what it was converted to."""
    write_audio(tmp_path / "a.wav")
    write(tmp_path / file, text)
    (problem,) = read_folder(tmp_path)[1].problems
    assert problem.startswith(f"{place} gone.wav: ")


@pytest.mark.parametrize("header", ["speaker_name", "SpeakerID", "spk", "worker_id", "ID_speaker"])
def test_headers_of_speakers(header: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav")
    write(tmp_path / "l.csv", f"file,speaker_age,{header},text\na.wav,30,anna,x\nb.wav,40,none,y\n")
    result = detected(tmp_path, "table")
    assert (one(result, "a").speaker, one(result, "b").speaker) == ("anna", None)


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        (["texts.xlsx"], "CSV"),
        (["long.eaf"], "TextGrid"),
        (["anna/0.json", "anna/1.json", "bert/0.json", "bert/1.json"], "srt"),
        (["anna/0.docx", "anna/1.docx", "bert/0.docx", "bert/1.docx"], "plain text"),
        (["train.parquet"], "Hugging Face"),
        (["list.csv"], "list.csv: names none"),
    ],
)
def test_texts_in_files_that_are_not_read(files: list[str], advice: str, tmp_path: Path) -> None:
    """Named with what to do; the folders' names are not taken for words then."""
    for name in ("anna/0", "anna/1", "bert/0", "bert/1"):
        write_audio(tmp_path / f"{name}.wav")
    for file in files:
        write(tmp_path / file, "name;text\n" + 3 * "2,024E+13;hello\n")
    with pytest.raises(CorpusError, match=advice):
        read_folder(tmp_path)
