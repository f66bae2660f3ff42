"""The figures of `info`, compared with what the model does."""

import numpy as np
import pytest
import torch
import yaml

from speechgru.checkpoint import ModelConfig, new_checkpoint, save_model
from speechgru.cli.info import show_info
from speechgru.errors import SpeechgruError
from speechgru.info import describe, look_ahead
from speechgru.model import parameter_count
from speechgru.recipe import FeatureRecipe, ModelRecipe, TextRecipe
from speechgru.text import Vocabulary


def checkpoint(features: FeatureRecipe, model: ModelRecipe):
    torch.manual_seed(1)
    config = ModelConfig(text=TextRecipe(), features=features, model=model)
    made = new_checkpoint(config, Vocabulary.from_texts(["ab"]), {"epoch": 3})
    made.extract.fit([np.random.default_rng(1).standard_normal(4000).astype(np.float32)])
    made.model.eval()
    return made


@pytest.mark.parametrize(("deltas", "lookahead"), [(0, 0), (1, 0), (2, 0), (0, 3), (1, 1)])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("subsampling", ["stack", "conv"])
def test_the_look_ahead_is_what_a_changed_sample_shows(subsampling, factor, deltas, lookahead):
    """The last sample that can change a model frame, found by changing one after the other."""
    features = FeatureRecipe(
        sample_rate=8000, window_ms=32, hop_ms=10, mels=8, normalise="none", deltas=deltas
    )
    recipe = ModelRecipe(
        layers=1, hidden_size=4, bidirectional=False, subsampling=subsampling, factor=factor,
        lookahead=lookahead,
    )  # fmt: skip
    made = checkpoint(features, recipe)
    wave = np.random.default_rng(0).standard_normal(8000).astype(np.float32)

    def outputs(samples: np.ndarray) -> torch.Tensor:
        frames = made.extract(samples)
        with torch.inference_mode():
            return made.model(frames[None], torch.tensor([len(frames)]))[0][0]

    expected = outputs(wave)
    frame = 5
    begin = frame * factor * made.extract.hop
    reach = round(look_ahead(made) * 8000)  # samples

    def matters(sample: int) -> bool:
        changed = wave.copy()
        changed[sample] += 30.0
        return not torch.equal(outputs(changed)[frame], expected[frame])

    # The window's last samples have almost no weight: look a little inside, and well beyond.
    assert matters(begin + reach - 20)
    assert not any(matters(sample) for sample in range(begin + reach, begin + reach + 200, 7))


@pytest.mark.parametrize("factor", [1, 2])
def test_a_frame_is_complete_when_its_look_ahead_is_and_no_sooner(factor):
    """25 ms at 16 kHz are 400 samples in the middle of 512, and the frame needs them all."""
    features = FeatureRecipe(sample_rate=16000, window_ms=25, hop_ms=10, normalise="none")
    recipe = ModelRecipe(
        layers=1, hidden_size=4, bidirectional=False, subsampling="stack", factor=factor
    )
    made = checkpoint(features, recipe)
    frame = 5
    end = frame * factor * 160 + round(look_ahead(made) * 16000)
    wave = np.random.default_rng(0).standard_normal(end).astype(np.float32)
    assert len(made.extract(wave)) == (frame + 1) * factor
    assert len(made.extract(wave[:-1])) == (frame + 1) * factor - 1


@pytest.mark.parametrize(
    ("model", "features", "expected"),
    [
        ({"bidirectional": True}, {"normalise": "global"}, None),
        ({"bidirectional": False}, {}, None),  # normalised over the utterance
        ({"bidirectional": False, "factor": 2, "subsampling": "stack"}, {"normalise": "global"},
         0.042),
        ({"bidirectional": False, "factor": 1, "subsampling": "stack"},
         {"normalise": "global", "window_ms": 25, "hop_ms": 10, "sample_rate": 16000}, 0.032),
    ],
)  # fmt: skip
def test_look_ahead_of_models_that_can_stream(tmp_path, capsys, model, features, expected):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump({"model": model, "features": features}))
    info = describe(str(file))
    assert info.look_ahead == (None if expected is None else pytest.approx(expected))
    show_info(info)
    latency = "the whole utterance" if expected is None else f"{1000 * expected:g} ms"
    assert f"latency     {latency} " in capsys.readouterr().out


# One unidirectional GRU layer of hidden size 500 on eight mel bands; a hundred frames per second,
# halved; a head of four outputs: blank, space, a and b. Layer normalisation around the layer.
COUNTED = {
    "stack": (
        # layer 3·500·(16 + 500 + 2), norms 2·16 + 2·500, head 4·500 + 4
        780_036,
        # 50 times per second: layer 3·500·(16 + 500), head 4·500
        50 * (3 * 500 * (16 + 500) + 4 * 500),
    ),
    "conv": (
        # 30 maps of 3 × 3: 30·(9 + 1) + 30·(30·9 + 1); layer 3·500·(60 + 502), norms 120 + 1000
        854_554,
        # 50 times per second: 4 bands · 30·9 + 2 bands · 30·30·9, layer 3·500·560, head 4·500
        50 * (4 * 30 * 9 + 2 * 30 * 30 * 9 + 3 * 500 * 560 + 4 * 500),
    ),
}


@pytest.mark.parametrize("subsampling", COUNTED)
def test_size_and_compute_are_those_counted_by_hand(tmp_path, capsys, subsampling):
    recipe = ModelRecipe(
        cell="gru", layers=1, hidden_size=500, bidirectional=False,
        subsampling=subsampling, factor=2, conv_channels=30,
    )  # fmt: skip
    save_model(tmp_path / "model.safetensors", checkpoint(FeatureRecipe(mels=8), recipe))
    info = describe(str(tmp_path))
    parameters, macs = COUNTED[subsampling]
    assert (info.parameters, info.macs) == (parameters, pytest.approx(macs))
    show_info(info)
    out = capsys.readouterr().out
    assert f" {parameters:,} ({4 * parameters / 1e6:.1f} MB" in out
    assert f" {macs / 1e6:.1f} million" in out


@pytest.mark.parametrize(
    ("sample_rate", "factor", "expected"),
    [
        (16000, 4, 0.040),
        # a hop of 10 ms is 110 samples, rounded from 110.25: 11025 / 110 frames per second
        (11025, 1, 110 / 11025),
        (11025, 3, 330 / 11025),
    ],
)
def test_the_frame_rate_is_that_of_whole_samples(tmp_path, sample_rate, factor, expected):
    (tmp_path / "recipe.yaml").write_text("model: {layers: 1}")
    overrides = [f"features.sample_rate={sample_rate}", f"model.factor={factor}"]
    assert describe(str(tmp_path), overrides).seconds_per_frame == pytest.approx(expected)


def test_figures_of_a_run_are_those_of_its_model(tmp_path, capsys):
    made = checkpoint(FeatureRecipe(), ModelRecipe(hidden_size=16))
    save_model(tmp_path / "model.safetensors", made)
    for source in (tmp_path, tmp_path / "model.safetensors"):
        info = describe(str(source))
        assert info.trained
        assert info.parameters == parameter_count(made.model)
        assert info.checkpoint.vocabulary == made.vocabulary
        show_info(info)
        assert "epoch 3" in capsys.readouterr().out


def test_a_model_file_may_have_any_name(tmp_path):
    file = tmp_path / "best.bin"
    save_model(file, checkpoint(FeatureRecipe(), ModelRecipe(hidden_size=16)))
    assert describe(str(file)).trained


def test_a_recipe_is_described_with_its_overrides(tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text("model: {hidden_size: 32}")
    info = describe(str(tmp_path), ["model.cell=lstm", "model.factor=4"])
    assert not info.trained
    assert info.seconds_per_frame == pytest.approx(0.04)
    show_info(info)
    out = capsys.readouterr().out
    for part in (" 32 ", "lstm", "×4", " 25.0 "):
        assert part in out


def test_overrides_of_a_trained_model_are_refused_not_ignored(tmp_path):
    save_model(
        tmp_path / "model.safetensors", checkpoint(FeatureRecipe(), ModelRecipe(hidden_size=16))
    )
    with pytest.raises(SpeechgruError, match="trained"):
        describe(str(tmp_path), ["model.hidden_size=256"])
