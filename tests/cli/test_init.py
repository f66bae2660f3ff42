"""`speechgru init`: from recordings to a recipe that trains."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import RATE, say

from speechgru.corpora import LAYOUTS
from speechgru.manifest import read_manifest
from speechgru.recipe_file import load_recipe

TEXTS = ["am mo", "oa", "ma am oa", "mo ma"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spreadsheet's list of recordings in the language of tones, by six speakers."""
    folder = tmp_path_factory.mktemp("init") / "my tones"
    folder.mkdir()
    rows = ["Datei;Satz;Sprecher"]
    for number in range(24):
        text = TEXTS[number % 4]
        name = f"{number}.{('wav', 'flac', 'ogg')[number % 3]}"
        soundfile.write(folder / name, say(text, number), RATE)
        stated = f"{number}.mp3" if number < 3 else name
        rows.append(f"{stated};{text};Jörg {number % 6}")
    (folder / "liste.csv").write_bytes(("\r\n".join(rows) + "\r\n").encode("cp1252"))
    return folder


def test_init_writes_what_train_reads(recordings, tmp_path, monkeypatch, speechgru):
    monkeypatch.chdir(tmp_path)
    before = sorted(recordings.rglob("*"))
    result = speechgru("init", recordings, "--no-estimate")
    assert result.status == 0, result.err
    assert sorted(recordings.rglob("*")) == before
    recipe = load_recipe("my tones.yaml")
    sets = {
        name: read_manifest(f"my tones-manifests/{name}.jsonl") for name in ("train", "dev", "test")
    }
    assert sum(map(len, sets.values())) == 24
    speakers = [{u.speaker for u in listed} for listed in sets.values()]
    assert set.union(*speakers) == {f"Jörg {n}" for n in range(6)}
    assert sum(map(len, speakers)) == 6
    assert recipe.features.sample_rate == 8000
    assert "speechgru train 'my tones.yaml' --out 'runs/my tones'" in result.out
    tiny = ["training.epochs=1", "model.hidden_size=8", "model.conv_channels=2"]
    done = speechgru("train", "my tones.yaml", *tiny, "--out", "run")
    assert done.status == 0, done.err
    assert Path("run/model.safetensors").exists()


def test_init_proposes_to_fine_tune_a_model(recordings, tmp_path, monkeypatch, speechgru, tone_run):
    monkeypatch.chdir(tmp_path)
    result = speechgru("init", recordings, "--model", tone_run)
    assert result.status == 0, result.err
    assert f"speechgru train 'my tones.yaml' --init {tone_run} --out" in result.out
    tuning = "training.epochs=1", "--init", tone_run, "--out", "run"
    done = speechgru("train", "my tones.yaml", *tuning)
    assert done.status == 0, done.err
    assert "before training" in done.err
    missing = speechgru("init", recordings, "--model", "none", "--force")
    assert missing.status == 2
    assert "none" in missing.err


def test_init_names_why_a_model_does_not_fit(recordings, tmp_path, speechgru, tone_run):
    folder = tmp_path / "fast"
    shutil.copytree(recordings, folder)
    for file in folder.glob("*.wav"):
        soundfile.write(file, soundfile.read(file)[0], 2 * RATE)
    for file in [*folder.glob("*.flac"), *folder.glob("*.ogg")]:
        soundfile.write(file, soundfile.read(file)[0], 2 * RATE)
    result = speechgru("init", folder, "--out", tmp_path, "--model", tone_run, "--no-estimate")
    assert result.status == 0, result.err
    assert f"{2 * RATE} Hz" in result.err
    assert "--init" not in result.out
    assert load_recipe(tmp_path / "fast.yaml").features.sample_rate == 2 * RATE


def test_init_overwrites_a_recipe_only_when_asked(recordings, tmp_path, speechgru):
    assert speechgru("init", recordings, "--out", tmp_path, "--no-estimate").status == 0
    file = tmp_path / "my tones.yaml"
    file.write_text("# mine\n")
    result = speechgru("init", recordings, "--out", tmp_path, "--no-estimate")
    assert result.status == 2
    assert str(file) in result.err
    assert file.read_text() == "# mine\n"
    assert speechgru("init", recordings, "--out", tmp_path, "--no-estimate", "--force").status == 0
    assert load_recipe(file).data.train == [str(tmp_path / "my tones-manifests/train.jsonl")]


def test_init_names_why_too_little_is_left_to_split(tmp_path, speechgru):
    file = tmp_path / "in/a.wav"
    file.parent.mkdir()
    soundfile.write(file, say(TEXTS[0], 0), RATE)
    begins = [0, *(2.1 + number for number in range(8))]
    rows = [f"a.wav,{begin},{begin + 1},{TEXTS[0]}\n" for begin in begins]
    (tmp_path / "in/list.csv").write_text("".join(["file,start,end,text\n", *rows]))
    result = speechgru("init", tmp_path / "in", "--out", tmp_path)
    assert result.status == 2
    assert "8 are excluded" in result.err
    assert "from 2.1 to" in result.err  # seconds, at which the second begins


def test_init_names_the_sets_that_it_no_longer_has(tmp_path, speechgru):
    rows = {"train": range(4), "dev": range(4, 6), "test": range(6, 8)}
    for number in range(8):
        file = tmp_path / f"in/{number}.wav"
        file.parent.mkdir(exist_ok=True)
        soundfile.write(file, say(TEXTS[number % 4], number), RATE)
    for name, numbers in rows.items():
        lines = [f"{number}.wav,{TEXTS[number % 4]}\n" for number in numbers]
        (tmp_path / f"in/{name}.csv").write_text("".join(lines))
    command = ("init", tmp_path / "in", "--out", tmp_path, "--no-estimate")
    assert "earlier run" not in speechgru(*command).err
    (tmp_path / "in/test.csv").rename(tmp_path / "in/train-2.csv")
    result = speechgru(*command, "--force")
    assert "in-manifests/test.jsonl: from an earlier run" in result.err, result.err


def test_init_reads_the_recordings_again_not_what_it_wrote_before(
    tmp_path, monkeypatch, speechgru, tone_run
):
    folder = tmp_path / "tones"

    def record(numbers):
        for number in numbers:
            file = folder / f"{number % 6}/{number}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, say(TEXTS[number % 4], number), RATE)
            file.with_suffix(".txt").write_text(TEXTS[number % 4])

    def texts():
        files = Path("tones-manifests").glob("*.jsonl")
        return {int(u.id.rpartition("/")[2]): u.text for f in files for u in read_manifest(f)}

    record(range(18))
    monkeypatch.chdir(folder)
    assert speechgru("init", ".", "--no-estimate").status == 0
    results = ("--out", "runs/mine/results/train")
    done = speechgru("evaluate", "tones-manifests/train.jsonl", "--model", tone_run, *results)
    assert done.status == 0, done.err
    record(range(18, 24))
    (folder / "0/0.txt").write_text("ma")
    again = speechgru("init", ".", "--no-estimate", "--force")
    assert again.status == 0, again.err
    assert "tones-manifests" in again.out
    assert "results/train" in again.out
    assert texts() == {n: TEXTS[n % 4] for n in range(24)} | {0: "ma"}


def test_init_names_what_it_excludes_and_what_is_not_spoken(recordings, tmp_path, speechgru):
    folder = tmp_path / "data"
    shutil.copytree(recordings, folder)
    (folder / "7.flac").write_bytes(b"")
    soundfile.write(folder / "9.wav", np.zeros(RATE), RATE)
    text = (folder / "liste.csv").read_bytes().replace(b"8.ogg;am mo", b"8.ogg;am 5 mo")
    (folder / "liste.csv").write_bytes(text)
    result = speechgru("init", folder, "--out", tmp_path, "--no-estimate")
    assert result.status == 1
    assert "7.flac" in result.err
    assert "am 5 mo" in result.err
    assert "(silent): 9" in result.err
    assert "2 utterances excluded" in result.err.splitlines()[-1]
    ids = [
        u.id for file in (tmp_path / "data-manifests").glob("*.jsonl") for u in read_manifest(file)
    ]
    assert sorted(ids, key=int) == [str(n) for n in range(24) if n not in (7, 9)]
    report = json.loads((tmp_path / "data-manifests/audit.json").read_text())
    assert "silent" in report["kinds"]


def test_init_estimates_time_and_memory(recordings, tmp_path, speechgru):
    options = ("--out", tmp_path, "--column", "text=2")
    result = speechgru("init", recordings, *options)
    assert result.status == 0, result.err
    assert "steps" in result.out.splitlines()[-2]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--layout", "kaldy"], "kaldy"),
        (["--layout", "kaldi"], "wav.scp"),
        (["--column", "text"], "ROLE=NAME"),
        (["--column", "text=Wort"], "Wort"),
    ],
)
def test_wrong_use(words, named, recordings, tmp_path, speechgru):
    result = speechgru("init", recordings, "--out", tmp_path, *words)
    assert result.status == 2
    assert named in result.err
    assert list(tmp_path.iterdir()) == []


def test_the_help_lists_every_layout(speechgru):
    words = speechgru("init", "--help").out.replace(",", " ").split()
    assert set(LAYOUTS) <= set(words)


def test_an_unusable_utterance_excludes_no_other_set_s_of_its_id(tmp_path, speechgru):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("train", "dev", "test"):
        rows = ["file,text,id"]
        for number in range(2):
            silent = name == "test" and number == 0
            samples = np.zeros(RATE) if silent else say(TEXTS[number], number)
            soundfile.write(folder / f"{name}{number}.wav", samples, RATE)
            rows.append(f"{name}{number}.wav,{TEXTS[number]},{number}")
        (folder / f"{name}.csv").write_text("\n".join(rows))
    assert speechgru("init", folder, "--out", tmp_path, "--no-estimate").status == 1
    found = {
        name: [u.id for u in read_manifest(tmp_path / f"data-manifests/{name}.jsonl")]
        for name in ("train", "dev", "test")
    }
    assert found == {"train": ["0", "1"], "dev": ["0", "1"], "test": ["1"]}
