"""Checkpoints: the whole of a model in one file, or one line that says why not."""

import contextlib
import json
import os
import resource
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from speechgru.cells import CELLS
from speechgru.checkpoint import (
    FORMAT,
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
from speechgru.recipe import FeatureRecipe, ModelRecipe, TextRecipe
from speechgru.text import Vocabulary

WAVE = torch.randn(8000, generator=torch.Generator().manual_seed(0)).numpy()


def make(normalise: str = "utterance", **model: object) -> Checkpoint:
    torch.manual_seed(1)
    config = ModelConfig(
        text=TextRecipe(case="upper"),
        features=FeatureRecipe(sample_rate=8000, mels=12, normalise=normalise),
        model=ModelRecipe(**({"hidden_size": 6, "layers": 1, "conv_channels": 2} | model)),
    )
    made = new_checkpoint(config, Vocabulary.from_texts(["ÄB ' ç"]), {"epoch": 3, "seed": 1})
    if normalise == "global":
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


def fault(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


def rewrite(file: Path, **changes: object) -> Path:
    """The same tensors with other details, by somebody who knows the format."""
    tensors, details = read_tensors(file, FORMAT)
    write_tensors(file, tensors, FORMAT, details | changes)
    return file


# Round trips ------------------------------------------------------------------------------------


@pytest.mark.parametrize("subsampling", ["stack", "conv"])
@pytest.mark.parametrize("normalise", ["utterance", "global", "none"])
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
        assert loaded.about == made.about
        assert torch.equal(outputs(loaded), outputs(made))
        assert all(p.dtype == torch.float32 and not p.is_meta for p in loaded.model.parameters())


def test_other_weights_can_be_saved_in_a_model_s_place(tmp_path):
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
            torch.randn(4, 3).T, torch.tensor([True]), torch.randn(3).bfloat16(),
        ]),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=3),
)  # fmt: skip
def test_any_tensors_and_details_come_back(tmp_path_factory, tensors, details):
    file = tmp_path_factory.mktemp("any") / "a.safetensors"
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    write_tensors(file, tensors, "kind", details)
    found, again = read_tensors(file, "kind")
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
        assert (loaded.config, loaded.about) == (make().config, make().about)
        assert loaded.vocabulary == make().vocabulary
    assert "\n" not in text


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused(tmp_path_factory, share):
    file = tmp_path_factory.mktemp("cut") / MODEL_FILE
    save_model(file, make())
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert "not a whole speechgru checkpoint" in fault(file)


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
    assert str(tmp_path) in fault(tmp_path)


def test_a_safetensors_file_of_another_program_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / MODEL_FILE)
    assert f"expected format '{FORMAT}', found 'none'" in fault(tmp_path)
    save_file({"a": torch.zeros(2)}, tmp_path / MODEL_FILE, {"format": "pt"})
    assert "found 'pt'" in fault(tmp_path)
    save_file({"a": torch.zeros(2)}, tmp_path / MODEL_FILE, {"format": FORMAT})
    assert "not a whole speechgru checkpoint" in fault(tmp_path)
    write_tensors(tmp_path / MODEL_FILE, {}, "speechgru-state-2", {})
    assert "found 'speechgru-state-2'" in fault(tmp_path)


def test_what_is_not_there_is_named(tmp_path):
    assert "no such file" in fault(tmp_path)
    assert "no such file" in fault(tmp_path / "nothing")
    assert "two\\nlines" in fault(tmp_path / "two\nlines")


@pytest.mark.parametrize(
    "changes",
    [
        {"config": None},
        {"config": {}},
        {"config": [1]},
        {"vocabulary": {"kind": "words"}},
        {"vocabulary": {"kind": "characters", "tokens": ["a", "b"]}},
        {"vocabulary": None},
        {"about": "text"},
        {"about": 3},
        {"about": None},
    ],
)
def test_metadata_that_cannot_be_used_is_explained(saved, changes):
    assert f"{saved}: its metadata cannot be used" in fault(rewrite(saved, **changes))


@pytest.mark.parametrize("token", ["\x1b", "\x07", "\n", "\x7f", "\x9b"])
def test_a_token_that_would_act_on_a_terminal_is_refused(saved, token):
    """Whoever transcribes with somebody's model sees what it writes."""
    tokens = [*make().vocabulary.tokens[:-1], token]
    said = fault(rewrite(saved, vocabulary={"kind": "characters", "tokens": tokens}))
    assert f"token {len(tokens) - 1} must be" in said
    assert repr(token) in said


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
def test_a_blueprint_that_cannot_be_built_is_explained(saved, section, values):
    config = make().config.model_dump(mode="json")
    config[section] |= values
    assert f"{saved}: its metadata cannot be used" in fault(rewrite(saved, config=config))


def test_deeply_nested_metadata_is_refused(tmp_path):
    metadata = {"format": FORMAT, "details": "[" * 100_000}
    save_file({"a": torch.zeros(2)}, tmp_path / MODEL_FILE, metadata)
    assert "not a whole speechgru checkpoint" in fault(tmp_path)


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_are_explained(saved, change):
    tensors, details = read_tensors(saved, FORMAT)
    if change == "missing":
        del tensors["head.bias"]
    elif change == "extra":
        tensors["head.more"] = torch.zeros(2)
    else:
        tensors["head.bias"] = torch.zeros(2)
    write_tensors(saved, tensors, FORMAT, details)
    assert "weights do not fit its recipe" in fault(saved)


@pytest.mark.parametrize("change", ["missing", "shape", "type"])
def test_global_statistics_that_do_not_fit_are_explained(tmp_path, change):
    save_model(tmp_path / MODEL_FILE, make("global"))
    tensors, details = read_tensors(tmp_path / MODEL_FILE, FORMAT)
    if change == "missing":
        del tensors["features.std"]
    elif change == "shape":
        tensors["features.std"] = torch.ones(5)
    else:
        tensors["features.std"] = torch.ones(12, dtype=torch.int64)
    write_tensors(tmp_path / MODEL_FILE, tensors, FORMAT, details)
    assert "no mean and std of 12 features" in fault(tmp_path)


def test_a_model_claimed_to_be_huge_costs_no_memory(saved):
    """16 layers of 4096 units both ways would take 19 GB."""
    config = make().config.model_dump(mode="json")
    config["model"] |= {"hidden_size": 4096, "layers": 16, "cell": "lstm"}
    rewrite(saved, config=config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "weights do not fit" in fault(saved)
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
    assert "not a whole speechgru checkpoint" in fault(tmp_path)
    assert not (tmp_path / "unpickled").exists()
