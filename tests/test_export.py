"""Manifests in the formats of other tools: read back by our readers, and by those tools."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from speechgru.audio import AudioInfo, read_audio
from speechgru.corpora import read_folder
from speechgru.corpora.export import EXPORTS, export, kaldi_source
from speechgru.corpora.kaldi import file_of
from speechgru.errors import AudioError, CorpusError
from speechgru.manifest import Utterance

RATE = 8000


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Utterance]]:
    """train: two whole files, of the same name, and two parts of a third; test: one file."""
    folder = tmp_path_factory.mktemp("audio files")
    rng = np.random.default_rng(1)
    for name, seconds in {"x/1.wav": 1.0, "y/1.flac": 0.5, "long.wav": 3.0, "t.wav": 0.4}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, 0.1 * rng.standard_normal(round(seconds * RATE)), RATE)

    def utterance(name: str, id_: str, text: str, offset: float, seconds: float) -> Utterance:
        return Utterance(str(folder / name), seconds, text, id_, offset, speaker="an na", lang="de")

    return {
        "train": [
            utterance("x/1.wav", "x/1", "eins  zwei", 0.0, 1.0),
            utterance("y/1.flac", "y/1", 'drei "vier"', 0.0, 0.5),
            utterance("long.wav", "long@0", "fünf", 0.0, 1.25),
            utterance("long.wav", "long@1.5", "sechs, sieben", 1.5, 1.0),
        ],
        "test": [replace(utterance("t.wav", "t", "acht", 0.0, 0.4), speaker=None, lang=None)],
    }


def content(listed: list[Utterance]) -> list[tuple[object, ...]]:
    """What must survive: the audio, the text, and the language."""
    return sorted(
        (" ".join(u.text.split()), u.lang, round(u.duration, 3),
         round(float(np.abs(read_audio(u.audio, None, u.offset, u.duration)).sum()), 2))
        for u in listed
    )  # fmt: skip


@pytest.mark.parametrize("name", EXPORTS)
def test_our_readers_read_what_is_written(
    name: str, sets: dict[str, list[Utterance]], tmp_path: Path
) -> None:
    files = export(name, tmp_path / "out", sets)
    assert all(file.is_file() for file in files)
    found, result = read_folder(tmp_path / "out")
    assert found == name
    assert result.problems == []
    assert {split: content(listed) for split, listed in result.splits.items()} == {
        split: content(listed) for split, listed in sets.items()
    }
    speakers = {u.speaker for u in result.splits["train"]}
    assert speakers in ({"an na"}, {"an_na"})


def test_kaldi_directories_are_sorted_and_consistent(
    sets: dict[str, list[Utterance]], tmp_path: Path
) -> None:
    export("kaldi", tmp_path / "out", sets)
    folder = tmp_path / "out/train"
    tables = {file.name: file.read_bytes().splitlines() for file in folder.iterdir()}
    assert set(tables) == {"wav.scp", "segments", "text", "utt2spk", "spk2utt", "utt2lang"}
    assert all(lines == sorted(lines) for lines in tables.values())
    ids = [line.split()[0].decode() for line in tables["text"]]
    assert ids == ["an_na-long@0", "an_na-long@1.5", "an_na-x/1", "an_na-y/1"]
    assert [line.split()[0].decode() for line in tables["segments"]] == ids
    assert tables["spk2utt"] == [f"an_na {' '.join(ids)}".encode()]
    assert not (tmp_path / "out/test/segments").exists()


@pytest.mark.parametrize(
    "pairs",  # of speaker and id
    [
        [("1", "10-a"), ("10", "1b"), ("10", "lf")],
        [("anna", "x"), ("anna-maria", "a"), ("anna+", "1"), (None, "anna-b")],
        [("a", "a"), ("a", "a-1"), ("a1", "a1-1")],
    ],
)
def test_kaldi_sorts_the_same_by_utterance_and_by_speaker(
    pairs: list[tuple[str | None, str]], sets: dict[str, list[Utterance]], tmp_path: Path
) -> None:
    listed = [replace(sets["train"][0], speaker=speaker, id=id_) for speaker, id_ in pairs]
    export("kaldi", tmp_path / "out", {"train": listed})
    rows = [line.split() for line in (tmp_path / "out/train/utt2spk").read_bytes().splitlines()]
    assert rows == sorted(rows) == sorted(rows, key=lambda row: row[::-1])
    assert len({speaker for _, speaker in rows}) == len({speaker or id_ for speaker, id_ in pairs})


@pytest.mark.parametrize(
    ("file", "container"),
    [("/a b/c.wav", "wav"), ("/a'b.flac", "flac"), ("/x y.sph", "nistsphere"), ("/a b.mp3", "mp3")],
)
def test_our_commands_for_kaldi_are_known_to_our_reader(file: str, container: str) -> None:
    assert file_of(kaldi_source(file, AudioInfo(1.0, RATE, 1, container, "pcm_16"))) == file


def test_a_name_that_is_a_command_is_quoted() -> None:
    source = kaldi_source("/$(touch x).mp3", AudioInfo(1.0, RATE, 1, "mp3", "mpeg_layer_iii"))
    assert "'/$(touch x).mp3'" in source


def test_kaldi_reads_what_is_no_16_bit_wav_through_a_program(tmp_path: Path) -> None:
    listed = []
    for name, container, subtype in (
        ("a.wav", "WAV", "PCM_16"), ("b.wav", "WAV", "PCM_24"), ("c.wav", "WAV", "FLOAT"),
        ("d.wav", "FLAC", "PCM_16"), ("e.flac", "FLAC", "PCM_24"), ("f.wav |", "WAV", "PCM_16"),
    ):  # fmt: skip
        with (tmp_path / name).open("wb") as file:
            soundfile.write(file, np.full(RATE, 0.1), RATE, subtype, format=container)
        listed.append(Utterance(str(tmp_path / name), 1.0, "one", name[0]))
    listed.append(Utterance(str(tmp_path / "gone.wav"), 1.0, "one", "g"))
    export("kaldi", tmp_path / "out", {"train": listed})
    lines = (tmp_path / "out/train/wav.scp").read_text().splitlines()
    programs = [line.split()[1] for line in lines]
    assert programs == [str(tmp_path / "a.wav"), *["ffmpeg"] * 2, "flac", *["ffmpeg"] * 3]


def test_what_cannot_be_written(sets: dict[str, list[Utterance]], tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="wav2vec"):
        export("wav2vec", tmp_path / "out", sets)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a").touch()
    with pytest.raises(CorpusError, match="full"):
        export("nemo", tmp_path / "full", sets)
    gone = [replace(sets["train"][0], audio=str(tmp_path / "gone.wav"))]
    (tmp_path / "empty").mkdir()
    for name in ("gone", "empty"):  # a folder that did not exist, and one that did
        for format_name in ("audiofolder", "commonvoice"):
            with pytest.raises(AudioError, match=r"gone\.wav: cannot be read"):
                export(format_name, tmp_path / name, {"train": sets["train"], "dev": gone})
            assert not list((tmp_path / name).glob("*"))
    assert (tmp_path / "empty").is_dir()
    joined = [replace(u, speaker="an na" if n else "an_na") for n, u in enumerate(sets["train"])]
    with pytest.raises(CorpusError, match="an_na"):
        export("kaldi", tmp_path / "joined", {"train": joined})
    twice = [replace(u, id="a b" if n else "a_b") for n, u in enumerate(sets["train"][:2])]
    with pytest.raises(CorpusError, match="a_b"):
        export("kaldi", tmp_path / "twice", {"train": twice})


def test_names_that_file_systems_do_not_tell_apart(
    sets: dict[str, list[Utterance]], tmp_path: Path
) -> None:
    (one, *_) = sets["train"]
    listed = [replace(one, id=name) for name in ("A/b", "a/B", "../..", "a?b")]
    export("audiofolder", tmp_path / "out", {"train": listed})
    written = {file.name.casefold() for file in (tmp_path / "out/train").glob("*.wav")}
    assert len(written) == 4
    assert sorted(tmp_path.rglob("*.wav")) == sorted((tmp_path / "out/train").glob("*.wav"))


def test_no_set_replaces_another(sets: dict[str, list[Utterance]], tmp_path: Path) -> None:
    first, second = ([replace(u, id="same")] for u in sets["train"][:2])
    for devs in (("dev-clean", "dev-other"), ("dev", "validation")):
        given = {"train": sets["train"], **dict(zip(devs, (first, second), strict=True))}
        out = tmp_path / devs[0]
        assert len(set(export("audiofolder", out, given))) == 3
        found = read_folder(out)[1]
        assert found.problems == []
        assert content(found.splits["dev"]) == content(first + second)


def test_the_command(sets: dict[str, list[Utterance]], tmp_path: Path, speechgru) -> None:
    from speechgru.manifest_writer import write_manifest

    for name, listed in sets.items():
        write_manifest(tmp_path / f"{name}.jsonl", listed)
    manifests = [tmp_path / "train.jsonl", tmp_path / "test.jsonl"]
    result = speechgru("export-data", *manifests, "--to", "nemo", "--out", tmp_path / "nemo")
    assert result.status == 0, result.err
    assert (tmp_path / "nemo/test.json").is_file()
    again = speechgru("export-data", *manifests, "--to", "nemo", "--out", tmp_path / "nemo")
    assert again.status == 2
    same = speechgru("export-data", manifests[0], manifests[0], "--to", "nemo", "--out", "x")
    assert same.status == 2


# Other tools, where they are installed -----------------------------------------------------------


def test_hugging_face_reads_our_audiofolder(
    sets: dict[str, list[Utterance]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    try:
        import torchcodec  # noqa: F401
    except (ImportError, RuntimeError) as reason:  # RuntimeError: no FFmpeg libraries
        pytest.skip(f"datasets needs torchcodec for audio: {reason!s:.60}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    export("audiofolder", tmp_path / "out", {"train": sets["train"], "dev": sets["test"]})
    found = datasets.load_dataset(
        "audiofolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")
    )
    assert set(found) == {"train", "validation"}
    rows = found["train"].cast_column("audio", datasets.Audio(decode=False))
    assert rows["transcription"] == [u.text for u in sets["train"]]
    assert rows["id"] == [u.id for u in sets["train"]]
    assert all(Path(row["path"]).is_file() for row in rows["audio"])


def test_lhotse_reads_our_kaldi_directories(
    sets: dict[str, list[Utterance]], tmp_path: Path
) -> None:
    lhotse_kaldi = pytest.importorskip("lhotse.kaldi")
    wav_only = [u for u in sets["train"] if u.audio.endswith(".wav")]  # it would run flac
    export("kaldi", tmp_path / "out", {"train": wav_only})
    recordings, supervisions, _ = lhotse_kaldi.load_kaldi_data_dir(tmp_path / "out/train", RATE)
    assert {r.id for r in recordings} == {"1", "long"}
    found = {s.text: (s.start, s.duration, s.speaker) for s in supervisions}
    assert found == {" ".join(u.text.split()): (u.offset, u.duration, "an_na") for u in wav_only}


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are not bytes there")
@pytest.mark.parametrize("name", EXPORTS)
def test_a_file_name_that_is_not_utf_8(name: str, tmp_path: Path) -> None:
    audio = tmp_path / os.fsdecode(b"\xe9.wav")
    with audio.open("wb") as file:
        soundfile.write(file, np.full(RATE, 0.1), RATE, format="WAV")
    files = export(name, tmp_path / "out", {"train": [Utterance(str(audio), 1.0, "one", "a")]})
    if name == "kaldi":
        (scp,) = [file for file in files if file.name == "wav.scp"]
        assert os.fsencode(audio) in scp.read_bytes()


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_24", "PCM_16"])
def test_parts_keep_their_bits_and_are_not_clipped(
    subtype: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = (24 if subtype == "FLOAT" else 0.9) * np.sin(np.arange(2 * RATE))
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype)
    part = Utterance(str(tmp_path / "a.wav"), 1.0, "one", "a", offset=0.5)
    export("audiofolder", tmp_path / "out", {"train": [part]})
    written = tmp_path / "out/train/a.flac"
    assert soundfile.info(written).subtype == ("PCM_16" if subtype == "PCM_16" else "PCM_24")
    expected = samples[RATE // 2 :][:RATE] / (np.abs(samples).max() if subtype == "FLOAT" else 1)
    np.testing.assert_allclose(soundfile.read(written)[0], expected, atol=1e-4)
    assert ("full scale" in caplog.text) == (subtype == "FLOAT")


@pytest.mark.parametrize("seconds", [1.0, 0.5])
def test_an_id_too_long_for_a_file_name(seconds: float, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(RATE, 0.1), RATE)
    ids = [letter * 300 + end for letter in "xя" for end in "12"]
    listed = [Utterance(str(tmp_path / "a.wav"), seconds, "one", id_) for id_ in ids]
    export("audiofolder", tmp_path / "out", {"train": listed})
    assert sorted(u.id for u in read_folder(tmp_path / "out")[1].splits["train"]) == ids
