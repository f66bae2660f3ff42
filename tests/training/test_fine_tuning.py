"""Fine-tuning: what is taken over from a model, what is not, and what is refused."""

import json
import shutil
from pathlib import Path
from unicodedata import normalize

import pytest
import torch
import yaml
from tones import NO_ACOUSTICS, say
from trainings import Stopper, check_same_run, long_recipe, tensors_of, train_from

from speechgru.checkpoint import load_model, new_checkpoint
from speechgru.errors import RecipeError, TrainingError
from speechgru.recipe import Recipe, TextRecipe, make_recipe
from speechgru.recipe_file import override
from speechgru.text.units import make_vocabulary
from speechgru.training.fine_tuning import LEARNING_RATE, adapted, initialise, read_initial
from speechgru.training.state import STATE_FORMAT, RunFolder


def stated(folder: Path, **training: object) -> Recipe:
    """A recipe that states data, augmentation and training only."""
    return make_recipe(
        {
            "data": {"train": [str(folder / "train.jsonl")], "dev": str(folder / "dev.jsonl")},
            "augment": dict(NO_ACOUSTICS),
            "training": {"epochs": 2, "batch_seconds": 1.5, **training},
        }
    )


@pytest.fixture(scope="module")
def tuned(few: Path, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`whole`, fine-tuned for two epochs with its lowest layer frozen."""
    return train_from(tmp_path_factory.mktemp("tuned") / "run", stated(few, freeze=1), init=whole)


def test_what_a_recipe_does_not_state_is_the_models(few: Path, whole: Path) -> None:
    initial = read_initial(whole)
    recipe = adapted(stated(few), initial)
    assert (recipe.features, recipe.model, recipe.text) == (
        initial.checkpoint.config.features,
        initial.checkpoint.config.model,
        initial.checkpoint.config.text,
    )
    assert recipe.training.learning_rate == LEARNING_RATE
    for learning_rate in (0.123, Recipe().training.learning_rate):
        own = override(stated(few), [f"training.learning_rate={learning_rate}"])
        assert adapted(own, initial).training.learning_rate == learning_rate


@pytest.mark.parametrize(
    "key", ["features.mels=33", "features.sample_rate=16000", "model.layers=3"]
)
def test_other_features_or_another_architecture_are_refused(
    few: Path, whole: Path, tmp_path: Path, key: str
) -> None:
    recipe = override(stated(few), [key, "model.dropout=0.3"])
    with pytest.raises(TrainingError) as caught:
        train_from(tmp_path / "run", recipe, init=whole)
    assert key.split("=")[0] in str(caught.value)
    assert "dropout" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_frozen_layers_keep_their_weights_and_others_change(whole: Path, tuned: Path) -> None:
    before, after = load_model(whole).model.state_dict(), load_model(tuned).model.state_dict()
    frozen = {name for name in before if name.startswith(("subsampling.", "blocks.0."))}
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    last = tensors_of(tuned / "last.safetensors", STATE_FORMAT)
    assert all(torch.equal(last[f"model.{name}"], before[name]) for name in frozen)
    assert not torch.equal(last["model.head.weight"], before["head.weight"])


def test_it_starts_where_the_initial_model_is(few: Path, whole: Path, tmp_path: Path) -> None:
    run = train_from(tmp_path / "run", stated(few, epochs=1, learning_rate=1e-12), init=whole)
    saved, initial = load_model(run), load_model(whole)
    assert saved.metadata["dev_wer"] == initial.metadata["dev_wer"]
    assert saved.metadata["initial_model"] == read_initial(whole).fingerprint
    assert saved.extract.mean is not None
    assert torch.equal(saved.extract.mean, initial.extract.mean)
    samples = say("am mo", 3)
    lengths = torch.tensor([len(initial.extract(samples))])
    with torch.no_grad():
        one, other = (
            each.model.eval()(each.extract(samples)[None], lengths)[0] for each in (saved, initial)
        )
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_the_initial_model_is_no_epoch_to_average(few: Path, whole: Path, tmp_path: Path) -> None:
    run = train_from(tmp_path / "run", stated(few, epochs=2, average=5), init=whole)
    assert sorted(epoch for *_, epoch in RunFolder(run).load_state()[0].kept) == [1, 2]


def test_output_rows_are_copied_by_character(whole: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "speechgru")
    initial = load_model(whole)
    vocabulary = make_vocabulary(["bao"], TextRecipe(), initial.vocabulary)
    assert vocabulary.tokens == ("<blank>", " ", "a", "b", "m", "o")
    checkpoint = new_checkpoint(initial.config, vocabulary, {})
    first = checkpoint.model.head.weight.detach().clone()
    initialise(checkpoint, initial)
    assert caplog.messages[-1].endswith("initial model does not have: 'b'")
    for number, token in enumerate(vocabulary.tokens):
        row = checkpoint.model.head.weight[number]
        if token == "b":
            assert torch.equal(row, first[number])
        else:
            old = initial.vocabulary.tokens.index(token)
            assert torch.equal(row, initial.model.head.weight[old])
            assert checkpoint.model.head.bias[number] == initial.model.head.bias[old]


def test_new_characters_are_learned(few: Path, whole: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (few / "train.jsonl").read_text().splitlines()]
    for line in lines:
        line["text"] = line["text"].replace("am", "xy")
        line["audio_filepath"] = str(few / line["audio_filepath"])
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recipe = override(stated(few, epochs=1), [f"data.train={tmp_path / 'train.jsonl'}"])
    run = train_from(tmp_path / "run", recipe, init=whole)
    assert load_model(run).vocabulary.tokens == ("<blank>", " ", "a", "m", "o", "x", "y")


def test_resuming_takes_the_same_steps(few: Path, whole: Path, tuned: Path, tmp_path: Path) -> None:
    recipe = stated(few, freeze=1)
    train_from(tmp_path / "run", recipe, init=whole, on_progress=Stopper(3))
    assert RunFolder(tmp_path / "run").load_state()[0].step == 3
    train_from(tmp_path / "run", recipe, init=whole, resume=True)
    check_same_run(tmp_path / "run", tuned)


def test_resuming_from_another_model_is_refused(few: Path, whole: Path, tuned: Path) -> None:
    with pytest.raises(TrainingError, match="initial model"):
        train_from(tuned, stated(few, freeze=1), init=tuned, resume=True)
    with pytest.raises(TrainingError, match="initial model"):
        train_from(whole, long_recipe(few), init=whole, resume=True)
    with pytest.raises(TrainingError, match=r"the recipe changed .*--init"):
        train_from(tuned, stated(few, freeze=1), resume=True)


def test_freezing_needs_an_initial_model_and_that_many_layers(
    few: Path, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="freeze"):
        train_from(tmp_path / "run", stated(few, freeze=1))
    with pytest.raises(RecipeError, match="freeze"):
        train_from(tmp_path / "run", stated(few, freeze=3), init=whole)


def test_the_command(speechgru, few: Path, whole: Path, tmp_path: Path) -> None:
    values = stated(few, epochs=1).model_dump(mode="json", exclude_unset=True)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    ended = speechgru("train", tmp_path, "--init", whole, "--out", tmp_path / "run", "--threads", 1)
    assert ended.status == 0
    assert "before training: dev WER" in ended.err
    assert load_model(tmp_path / "run").metadata["initial_model"]


def test_a_model_is_found_in_the_other_unicode_form(
    speechgru, few: Path, whole: Path, tmp_path: Path
) -> None:
    """As typed, é is one character; some file systems store two. The settings beside it count."""
    stored, typed = (tmp_path / normalize(form, "modèle") for form in ("NFD", "NFC"))
    shutil.copytree(whole, stored)
    (stored / "decoding.yaml").write_text("beam: none\n")
    values = stated(few, epochs=1).model_dump(mode="json", exclude_unset=True)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    ended = speechgru("train", tmp_path, "--init", typed, "--out", tmp_path / "run", "--threads", 1)
    assert ended.status == 0
    ended = speechgru("evaluate", few / "dev.jsonl", "--model", typed)
    assert ended.status == 2
    assert "decoding.yaml" in ended.err
