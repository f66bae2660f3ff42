"""examples/sequence_classification.py."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch

SCRIPT = Path(__file__).parent.parent / "examples" / "sequence_classification.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sequence_classification", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sequence_classification"] = module
    spec.loader.exec_module(module)
    return module


def test_the_data_are_the_articles(example: ModuleType) -> None:
    rows, classes = example.random_sequences(1000, seed=1)
    assert len(rows) == 1000
    assert rows[0].shape == (10, 64)
    assert set(classes.tolist()) == {0, 1}


def test_random_labels_are_memorised_without_any_benefit_on_others(example: ModuleType) -> None:
    rows, classes = example.random_sequences(400, seed=2)
    torch.manual_seed(1)
    model = example.Classifier("gru", 64, 2)
    example.fit(model, (rows[:200], classes[:200]), 25, 5e-3)
    assert example.accuracy(model, (rows[:200], classes[:200])) > 0.9
    low, high = example.chance_range(0.5, 200)
    assert low - 0.05 < example.accuracy(model, (rows[200:], classes[200:])) < high + 0.05


def test_the_state_after_the_last_frame_is_used_not_after_the_padding(example: ModuleType) -> None:
    torch.manual_seed(2)
    model = example.Classifier("lstm", 3, 2)
    x = torch.randn(2, 7, 3)
    x[1, 4:] = 0
    together = model(x, torch.tensor([7, 4]))
    torch.testing.assert_close(together[1:], model(x[1:, :4], torch.tensor([4])))


def test_the_range_of_guessing(example: ModuleType) -> None:
    assert example.chance_range(0.5, 100) == (pytest.approx(0.402), pytest.approx(0.598))


def test_digits_are_skipped_with_a_note(
    example: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    example.main(["--epochs", "1"])
    output = capsys.readouterr().out
    assert "--fsdd" in output
    assert output.count("no better than guessing") == 2


def test_a_folder_without_recordings_is_named(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        example.main(["--fsdd", str(tmp_path)])
    assert f"--fsdd {tmp_path}" in capsys.readouterr().err


def test_digits_are_split_officially(example: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    for digit, index in [(0, 0), (3, 4), (3, 5), (9, 49)]:
        wave = 0.1 * np.random.default_rng(digit).standard_normal(9000)
        soundfile.write(tmp_path / "recordings" / f"{digit}_ann_{index}.wav", wave, 8000)
    train, test = example.spoken_digits(tmp_path)
    assert train[1].tolist() == [3, 9]
    assert test[1].tolist() == [0, 3]
    assert train[0][0].shape == (97, 40)  # one second of 10 ms hops, windows whole
