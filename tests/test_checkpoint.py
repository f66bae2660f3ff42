"""Model files: complete, checked, of two formats; or refused in one line with the reason."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from speechgru.cells import CELLS
from speechgru.checkpoint import (
    MODEL_FILE,
    Checkpoint,
    ModelConfig,
    average_weights,
    load_model,
    new_checkpoint,
    read_tensors,
    save_model,
    write_tensors,
)
from speechgru.errors import CheckpointError
from speechgru.features import NEED_STATISTICS
from speechgru.model_file import FORMAT, read_model_file
from speechgru.recipe import FeatureRecipe, ModelRecipe, TextRecipe
from speechgru.text import Vocabulary

OLD_MODEL = Path(__file__).parent / "assets/model-format-1.safetensors"
WAVE = torch.randn(8000, generator=torch.Generator().manual_seed(0)).numpy()


def make(normalise: str = "utterance", **model: object) -> Checkpoint:
    torch.manual_seed(1)
    config = ModelConfig(
        text=TextRecipe(case="upper"),
        features=FeatureRecipe(sample_rate=8000, mels=12, normalise=normalise),
        model=ModelRecipe(**({"hidden_size": 6, "layers": 1, "conv_channels": 2} | model)),
    )
    made = new_checkpoint(config, Vocabulary.from_texts(["ÄB ' ç"]), {"epoch": 3, "seed": 1})
    if normalise in NEED_STATISTICS:
        made.extract.fit([WAVE])
    made.model.eval()
    return made


def outputs(checkpoint: Checkpoint) -> torch.Tensor:
    frames = checkpoint.extract(WAVE)
    checkpoint.model.eval()
    with torch.inference_mode():
        log_probs: torch.Tensor = checkpoint.model(frames[None], torch.tensor([len(frames)]))[0]
    return log_probs


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(tmp_path / MODEL_FILE, make())
    return tmp_path / MODEL_FILE


def error(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


def rewrite(file: Path, **changes: object) -> Path:
    """The same tensors with other details and a correct checksum."""
    _, tensors, details = read_tensors(file, FORMAT)
    write_tensors(file, tensors, FORMAT, details | changes)
    return file


# Round trips ------------------------------------------------------------------------------------


@pytest.mark.parametrize("subsampling", ["stack", "conv"])
@pytest.mark.parametrize("normalise", ["running", "global", "none"])
@pytest.mark.parametrize("cell", CELLS)
def test_what_is_saved_is_loaded(tmp_path, cell, normalise, subsampling):
    made = make(normalise, cell=cell, subsampling=subsampling, layer_norm=True)
    with torch.no_grad():
        for buffer in made.model.buffers():  # what is measured in training is part of a model
            buffer.add_(0.5)
    save_model(tmp_path / MODEL_FILE, made)
    for source in (tmp_path, tmp_path / MODEL_FILE, str(tmp_path)):
        loaded = load_model(source)
        assert loaded.config == made.config
        assert loaded.vocabulary == made.vocabulary
        assert loaded.metadata == made.metadata
        assert torch.equal(outputs(loaded), outputs(made))
        assert all(p.dtype == torch.float32 and not p.is_meta for p in loaded.model.parameters())


def test_other_weights_can_be_saved_instead_of_the_model_s_own(tmp_path):
    made = make()
    doubled = {name: 2 * tensor for name, tensor in made.model.state_dict().items()}
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    save_model(tmp_path / MODEL_FILE, made, doubled)
    loaded = load_model(tmp_path).model.state_dict()
    for name, tensor in before.items():
        assert torch.equal(loaded[name], 2 * tensor)
        assert torch.equal(made.model.state_dict()[name], tensor)


def test_a_loaded_model_can_be_trained_and_saved_again(saved):
    loaded = load_model(saved)
    loaded.model.train()
    frames = loaded.extract(WAVE)
    loaded.model(frames[None], torch.tensor([len(frames)]))[0].sum().backward()
    assert all(p.grad is not None for p in loaded.model.parameters())
    save_model(saved, loaded)
    assert torch.equal(outputs(load_model(saved)), outputs(make()))


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.sampled_from([
            torch.tensor(3.5), torch.zeros(0, 3), torch.arange(6).reshape(2, 3),
            torch.randn(4, 3).T, torch.tensor([True]), torch.randn(3).half(),
        ]),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=3),
)  # fmt: skip
def test_any_tensors_and_details_come_back(tmp_path_factory, tensors, details):
    file = tmp_path_factory.mktemp("any") / "a.safetensors"
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    write_tensors(file, tensors, "kind", details)
    kind, found, again = read_tensors(file, "another", "kind")
    assert kind == "kind"
    assert again == details
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_any_safetensors_reader_reads_it(saved):
    with safe_open(str(saved), framework="np") as file:
        details = json.loads(file.metadata()["details"])
        assert details["config"]["model"]["hidden_size"] == 6
        assert file.get_tensor("head.weight").shape == (len(make().vocabulary), 12)


def test_the_mean_of_states():
    states = [{"a": torch.tensor([1.0, 1e8]), "b": torch.tensor(1)}]
    states.append({"a": torch.tensor([2.0, 1e8]), "b": torch.tensor(3)})
    states.append({"a": torch.tensor([6.0, 1e8]), "b": torch.tensor(5)})
    mean = average_weights(states)
    assert mean["a"].tolist() == [3.0, 1e8]
    assert mean["a"].dtype == torch.float32
    assert mean["b"] == 3
    assert states[0]["a"][0] == 1


# Formats ----------------------------------------------------------------------------------------

# What commit 306a60a, which wrote the file, computed for WAVE_1: every tenth frame.
WAVE_1 = np.sin(np.arange(4000) ** 1.5 / 50).astype(np.float32)
LOG_PROBS_1 = [
    [-2.302927, -0.885242, -3.019244, -1.840935, -2.272257, -1.732548],
    [-1.299514, -1.701601, -1.790807, -1.859153, -1.930224, -2.561375],
    [-1.557216, -0.954097, -2.441244, -2.166756, -2.162582, -2.436238],
]


def test_a_model_of_format_1_is_loaded():
    loaded = load_model(OLD_MODEL)
    frames = loaded.extract(WAVE_1)
    loaded.model.eval()
    with torch.inference_mode():
        log_probs = loaded.model(frames[None], torch.tensor([len(frames)]))[0][0]
    torch.testing.assert_close(log_probs[::10], torch.tensor(LOG_PROBS_1), atol=1e-4, rtol=1e-4)
    assert loaded.config.model == ModelRecipe(
        cell="lstm", hidden_size=6, layers=2, conv_channels=2, forget_bias=0.0
    )
    assert loaded.config.text.case == "upper"
    assert loaded.vocabulary == make().vocabulary
    assert loaded.metadata == {"epoch": 3, "dev_wer": 0.25, "weights": "epoch 3"}


def test_a_model_of_format_1_is_saved_in_the_current_format(tmp_path):
    save_model(tmp_path / MODEL_FILE, load_model(OLD_MODEL))
    _, tensors, _ = read_tensors(tmp_path / MODEL_FILE, FORMAT)
    old = read_tensors(OLD_MODEL, "speechgru-1")[1]
    assert tensors.keys() == old.keys()
    assert all(torch.equal(tensors[name], old[name]) for name in old)


def test_a_model_of_format_2_has_no_look_ahead(tmp_path, saved):
    _, tensors, details = read_tensors(saved, FORMAT)
    assert details["config"]["model"].pop("lookahead") == 0
    write_tensors(tmp_path / MODEL_FILE, tensors, "speechgru-2", details)
    assert load_model(tmp_path).config.model.lookahead == 0


@pytest.mark.parametrize("stated", [False, True])
def test_a_model_of_format_3_spells_no_numbers(tmp_path, saved, stated):
    """Nor do its first files say so."""
    _, tensors, details = read_tensors(saved, FORMAT)
    if not stated:
        assert details["config"]["text"].pop("spell_numbers") is None
    write_tensors(tmp_path / MODEL_FILE, tensors, "speechgru-3", details)
    assert load_model(tmp_path).config.text.spell_numbers is None


def test_a_model_of_format_4_writes_characters(tmp_path, saved):
    _, tensors, details = read_tensors(saved, FORMAT)
    for key in ("unit", "pieces"):
        details["config"]["text"].pop(key)
    write_tensors(tmp_path / MODEL_FILE, tensors, "speechgru-4", details)
    assert load_model(tmp_path).config.text.unit == "character"
    assert load_model(tmp_path).vocabulary.kind == "characters"


@pytest.mark.parametrize(
    "changes", [{"projection": 4}, {"residual": True}, {"secret": 1}, {"width": None}]
)
def test_what_a_model_of_format_1_cannot_mean_any_more_is_refused(tmp_path, changes):
    _, tensors, details = read_tensors(OLD_MODEL, "speechgru-1")
    details["blueprint"]["model"] |= changes
    write_tensors(tmp_path / MODEL_FILE, tensors, "speechgru-1", details)
    assert str(tmp_path) in error(tmp_path)


@pytest.mark.parametrize("section", ["text", "features", "model"])
def test_a_file_that_leaves_a_setting_to_its_default_is_refused(saved, section):
    """Each key of the schema: a new one needs a new format and a migration."""
    config = make().config.model_dump(mode="json")
    for key in config[section]:
        values = {name: value for name, value in config[section].items() if name != key}
        assert f"{section}.{key}" in error(rewrite(saved, config=config | {section: values}))


def test_a_model_file_is_read_without_torch(saved):
    program = f"""
import sys
from speechgru.model_file import read_model_file
file = read_model_file({str(saved)!r})
print("torch" in sys.modules, file.config.model.hidden_size, file.arrays["head.weight"].shape)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == f"False 6 ({len(make().vocabulary)}, 12)", done.stderr
    arrays = read_model_file(saved).arrays
    for name, tensor in make().model.state_dict().items():
        assert np.array_equal(arrays[name], tensor.numpy())


# Damaged and foreign files ----------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_flipped_bit_anywhere_is_noticed(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("flipped") / MODEL_FILE
    save_model(file, make())
    content = bytearray(file.read_bytes())
    # Half of the flips in the header, which is the smaller part.
    header = 8 + int.from_bytes(content[:8], "little")
    last = data.draw(st.sampled_from([header, len(content)])) - 1
    place, bit = data.draw(st.integers(0, last)), data.draw(st.integers(0, 7))
    content[place] ^= 1 << bit
    file.write_bytes(content)
    try:
        loaded = load_model(file)
    except CheckpointError as refused:
        text = str(refused)
    else:
        # A space between JSON's words or the checksum's own name: nothing that is used changed.
        text = ""
        assert place < header
        assert torch.equal(outputs(loaded), outputs(make()))
        assert (loaded.config, loaded.metadata) == (make().config, make().metadata)
        assert loaded.vocabulary == make().vocabulary
    assert "\n" not in text


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused(tmp_path_factory, share):
    file = tmp_path_factory.mktemp("cut") / MODEL_FILE
    save_model(file, make())
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert str(file) in error(file)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"hello", b"\x00" * 100, b"\xff" * 8 + b"{}", b"\x80\x04K\x01.",
        b"PK\x03\x04" + b"\x00" * 64, (2**62).to_bytes(8, "little") + b"{}",
        (10**8).to_bytes(8, "little") + b"{" * 1000,
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / MODEL_FILE).write_bytes(content)
    assert str(tmp_path) in error(tmp_path)


def test_a_safetensors_file_of_another_program_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / MODEL_FILE)
    assert repr(FORMAT) in error(tmp_path)
    save_file({"a": torch.zeros(2)}, tmp_path / MODEL_FILE, {"format": "pt"})
    assert "found 'pt'" in error(tmp_path)
    save_file({"a": torch.zeros(2)}, tmp_path / MODEL_FILE, {"format": FORMAT})
    assert str(tmp_path) in error(tmp_path)
    write_tensors(tmp_path / MODEL_FILE, {}, "speechgru-state-3", {})
    assert "found 'speechgru-state-3'" in error(tmp_path)
    assert "newer version" not in error(tmp_path)


def test_a_model_of_a_newer_version_is_named_as_such(tmp_path):
    write_tensors(tmp_path / MODEL_FILE, {}, "speechgru-99", {})
    assert "newer version" in error(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    assert "no such file" in error(tmp_path)
    assert "no such file" in error(tmp_path / "nothing")
    assert "two\\nlines" in error(tmp_path / "two\nlines")


@pytest.mark.parametrize(
    "changes",
    [
        {"config": None},
        {"config": {}},
        {"config": [1]},
        {"vocabulary": {"kind": "words"}},
        {"vocabulary": {"kind": "characters", "tokens": ["a", "b"]}},
        {"vocabulary": None},
        {"metadata": "text"},
        {"metadata": 3},
        {"metadata": None},
    ],
)
def test_metadata_that_cannot_be_used_is_explained(saved, changes):
    assert f"{saved}: its metadata cannot be used" in error(rewrite(saved, **changes))


@pytest.mark.parametrize("token", ["\x1b", "\x07", "\n", "\x7f", "\x9b"])
def test_a_token_that_would_act_on_a_terminal_is_refused(saved, token):
    """A model from elsewhere must not be able to send control characters to a terminal."""
    tokens = [*make().vocabulary.tokens[:-1], token]
    message = error(rewrite(saved, vocabulary={"kind": "characters", "tokens": tokens}))
    assert f"token {len(tokens) - 1} " in message
    assert repr(token) in message


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("model", {"cell": "transformer"}),
        ("model", {"cell": "__import__"}),
        ("model", {"hidden_size": -1}),
        ("model", {"secret": 1}),
        ("features", {"mels": 256}),
        ("features", {"sample_rate": 10**9}),
        ("features", {"hop_ms": 0.0001}),
    ],
)
def test_a_config_that_cannot_be_built_is_explained(saved, section, values):
    config = make().config.model_dump(mode="json")
    config[section] |= values
    assert f"{saved}: its metadata cannot be used" in error(rewrite(saved, config=config))


def test_deeply_nested_metadata_is_refused(tmp_path):
    metadata = {"format": FORMAT, "details": "[" * 100_000}
    save_file({"a": torch.zeros(2)}, tmp_path / MODEL_FILE, metadata)
    assert str(tmp_path) in error(tmp_path)


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_are_explained(saved, change):
    _, tensors, details = read_tensors(saved, FORMAT)
    if change == "missing":
        del tensors["head.bias"]
    elif change == "extra":
        tensors["head.more"] = torch.zeros(2)
    else:
        tensors["head.bias"] = torch.zeros(2)
    write_tensors(saved, tensors, FORMAT, details)
    assert "head." in error(saved)


@pytest.mark.parametrize("change", ["missing", "shape", "type"])
def test_global_statistics_that_do_not_fit_are_explained(tmp_path, change):
    save_model(tmp_path / MODEL_FILE, make("global"))
    _, tensors, details = read_tensors(tmp_path / MODEL_FILE, FORMAT)
    if change == "missing":
        del tensors["features.std"]
    elif change == "shape":
        tensors["features.std"] = torch.ones(5)
    else:
        tensors["features.std"] = torch.ones(12, dtype=torch.int64)
    write_tensors(tmp_path / MODEL_FILE, tensors, FORMAT, details)
    assert "no mean and std of 12 features" in error(tmp_path)


def test_a_model_claimed_to_be_huge_costs_no_memory(saved):
    """16 bidirectional layers of 4096 units would take 19 GB."""
    config = make().config.model_dump(mode="json")
    config["model"] |= {"hidden_size": 4096, "layers": 16, "cell": "lstm"}
    rewrite(saved, config=config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert str(saved) in error(saved)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


# Writing ----------------------------------------------------------------------------------------


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt, Interrupted])
@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
def test_a_failure_at_any_step_leaves_the_old_model(saved, monkeypatch, step, kind):
    old = saved.read_bytes()
    real_open = open

    def fail(*_: object, **__: object) -> None:
        raise kind(28, "No space left on device")

    def broken_open(*arguments: object, **options: object):
        file = real_open(*arguments, **options)

        class Full(contextlib.AbstractContextManager):
            write = fail

            def __exit__(self, *_: object) -> None:
                file.close()

        return Full()

    if step == "open":
        monkeypatch.setattr("builtins.open", fail)
    elif step == "write":
        monkeypatch.setattr("builtins.open", broken_open)
    else:
        monkeypatch.setattr(os, step, fail)
    expected = CheckpointError if kind is OSError else kind
    with pytest.raises(expected):
        save_model(saved, make(cell="lstm"))
    monkeypatch.undo()
    assert saved.read_bytes() == old
    assert list(saved.parent.iterdir()) == [saved]
    assert load_model(saved).config.model.cell == "gru"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file/model\.safetensors: cannot be written"):
        save_model(tmp_path / "file" / MODEL_FILE, make())


# No code in data --------------------------------------------------------------------------------


def test_a_pickled_model_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "unpickled"),)

    torch.save({"weights": torch.zeros(2), "trap": Trap()}, tmp_path / MODEL_FILE)
    assert str(tmp_path) in error(tmp_path)
    assert not (tmp_path / "unpickled").exists()
