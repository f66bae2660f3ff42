"""Recipes: every key, every error in one line, nothing built by YAML."""

import runpy
import typing
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from speechgru.cells import CELLS
from speechgru.errors import RecipeError
from speechgru.features import FeatureExtractor
from speechgru.model import RecurrentCTC
from speechgru.recipe import Recipe, make_recipe
from speechgru.recipe_file import load_recipe

REPOSITORY = Path(__file__).parents[1]
SHIPPED = sorted((REPOSITORY / "recipes").glob("*/recipe.yaml"))
KEYS = [
    (section, key)
    for section, field in Recipe.model_fields.items()
    for key in typing.cast(type[BaseModel], field.annotation).model_fields
]


def write(folder: Path, text: str) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def refused(folder: Path, text: str, *overrides: str) -> str:
    """The message of loading `text`: one line that names the file."""
    file = write(folder, text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_has_a_default_that_loads_from_a_file(tmp_path, section, key):
    value = Recipe().model_dump(mode="json")[section][key]
    file = write(tmp_path, yaml.safe_dump({section: {key: value}}))
    assert load_recipe(file) == Recipe()


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_misspelt_key_is_answered_with_the_nearest_one(tmp_path, section, key):
    message = refused(tmp_path, f"{section}: {{{key}x: 1}}")
    assert f"unknown key '{section}.{key}x'" in message
    assert f"did you mean '{section}.{key}'" in message


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("model.width", "3", "renamed to 'model.hidden_size'"),
        ("model.residual", "false", "removed"),
        ("model.projection", "0", "removed"),
        ("training.optimiser", "adamw", "AdamW"),
    ],
)
def test_a_former_key_is_answered_with_what_to_do(tmp_path, key, value, named):
    """In a file, such as the recipe.yaml of an old run, and in an override."""
    section, _, name = key.partition(".")
    for message in (
        refused(tmp_path, f"{section}: {{{name}: {value}}}"),
        refused(tmp_path, "", f"{key}={value}"),
    ):
        assert f"unknown key '{key}': " in message
        assert named in message


def test_an_unknown_section_is_answered_too(tmp_path):
    assert "did you mean 'model'" in refused(tmp_path, "modell: {width: 3}")
    assert "expected one of data, text, features" in refused(tmp_path, "zzz: 1")


def test_a_key_like_no_other_gets_the_list(tmp_path):
    assert "expected one of case, punctuation" in refused(tmp_path, "text: {zzz: 1}")


@pytest.mark.parametrize(
    "text",
    [
        "model: !!python/object:os.system {}",
        "model: !!python/object/apply:os.system ['touch built']",
        "model: {hidden_size: !!python/name:os.getcwd }",
        "!!python/module:os",
        "model: !new:torch.nn.GRU {}",
        "model: !include other.yaml",
    ],
)
def test_tags_that_would_build_objects_are_refused(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    assert "not a plain YAML file" in refused(tmp_path, text)
    assert not (tmp_path / "built").exists()


WRONG = [
    ("model: {hidden_size: wide}", "model.hidden_size"),
    ("model: {hidden_size: 0}", "model.hidden_size"),
    ("model: {hidden_size: 1.5}", "model.hidden_size"),
    ("model: {hidden_size: null}", "model.hidden_size"),
    ("model: {hidden_size: [1]}", "model.hidden_size"),
    ("model: {dropout: 1.0}", "model.dropout"),
    ("model: {factor: 5}", "model.factor"),
    ("model: {subsampling: pool}", "model.subsampling"),
    ("model: {bidirectional: maybe}", "model.bidirectional"),
    ("model: [1, 2]", "model"),
    ("model: 3", "model"),
    ("text: {case: title}", "text.case"),
    ("features: {hop_ms: 0}", "features.hop_ms"),
    ("features: {hop_ms: 30}", "hop_ms 30.0"),
    ("features: {hop_ms: 0.01}", "hop_ms"),
    ("features: {window_ms: .nan}", "features.window_ms"),
    ("features: {low_hz: .inf}", "features.low_hz"),
    ("features: {high_hz: 9000}", "high_hz 9000.0"),
    ("features: {high_hz: 10, low_hz: 20}", "high_hz 10.0"),
    ("features: {low_hz: 9000}", "low_hz"),
    ("features: {kind: mfcc, mels: 8, cepstra: 13}", "cepstra 13"),
    ("augment: {speed: []}", "augment.speed"),
    ("augment: {speed: [3]}", "[3.0]"),
    ("augment: {speed: [.nan]}", "speed"),
    ("augment: {noise_snr_db: [20, 5]}", "[20.0, 5.0]"),
    ("augment: {noise_snr_db: [5]}", "augment.noise_snr_db"),
    ("augment: {noise_snr_db: [.nan, .nan]}", "augment.noise_snr_db"),
    ("data: {train: []}", "data.train"),
    ("training: {learning_rate: 0}", "training.learning_rate"),
    ("training: {learning_rate: .inf}", "training.learning_rate"),
    ("training: {learning_rate: .nan}", "training.learning_rate"),
    ("training: {clip_norm: .nan}", "training.clip_norm"),
    ("training: {weight_decay: .inf}", "training.weight_decay"),
    ("training: {batch_seconds: .inf}", "training.batch_seconds"),
    ("training: {warmup: 1}", "training.warmup"),
    ("training: {seed: -1}", "training.seed"),
    ("training: {seed: 99999999999999999999}", "training.seed"),
    ("training: {optimiser: sgd}", "training.optimiser"),
]


@pytest.mark.parametrize(("text", "named"), WRONG)
def test_wrong_values_are_named(tmp_path, text, named):
    message = refused(tmp_path, text)
    assert str(tmp_path / "recipe.yaml") in message
    assert named in message


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.layers=99", "a whole number from 1 to 16, found 99"),
        ("model.layers=", "a whole number from 1 to 16, found nothing"),
        ("training.epochs=0", "a whole number of at least 1, found 0"),
        ("training.learning_rate=0", "a number above 0, found 0"),
        ("features.hop_ms=0", "a number above 0 and up to 100, found 0"),
        ("features.high_hz=x", "a number or null, found 'x'"),
        ("model.dropout=1", "a number of at least 0 and below 1, found 1"),
        ("model.factor=5", "1, 2, 3 or 4, found 5"),
        ("features.kind=fbank", "logmel or mfcc, found 'fbank'"),
        ("model.bidirectional=2", "true or false, found 2"),
        ("augment.gain_db=[6]", "two numbers, [lowest, highest], found [6]"),
        ("augment.speed=1.1", "a list of numbers, such as [0.9, 1.1], found 1.1"),
        ("training.patience=true", "a whole number of at least 0, found True"),
        ("data.train=", "paths, such as [a, b], found nothing"),
    ],
)
def test_a_wrong_value_is_answered_with_the_values_allowed(tmp_path, override, expected):
    key = override.partition("=")[0]
    assert refused(tmp_path, "", override).endswith(f": {key}: expected {expected}")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("model: {layers: 010}", "model.layers", 10),  # 8 in YAML 1.1
        ("training: {learning_rate: 1e-3}", "training.learning_rate", 0.001),  # text in YAML 1.1
        ("training: {batch_seconds: 1e2}", "training.batch_seconds", 100.0),
        ("data: {dev: 2024-01-01}", "data.dev", "2024-01-01"),  # a date
        ("data: {dev: no}", "data.dev", "no"),  # false
        ("data: {dev: 1:30}", "data.dev", "1:30"),  # 90
        ("data: {dev: 0x1F}", "data.dev", "0x1F"),  # 31
        ("model: {bidirectional: no}", "model.bidirectional", False),
    ],
)
def test_values_are_what_they_look_like(tmp_path, text, key, value):
    section, _, name = key.partition(".")
    assert getattr(getattr(load_recipe(write(tmp_path, text)), section), name) == value


@pytest.mark.parametrize(
    ("text", "key"),
    [("training: {epochs: 1:30}", "'1:30'"), ("training: {patience: off}", "'off'"),
     ("text: {case: no}", "'no'"), ("training: {patience: true}", "True"),
     ("augment: {speed: [true]}", "[True]"), ("augment: {gain_db: [false, 1]}", "[False, 1]"),
     ("model: {bidirectional: 1}", "found 1"), ("augment: {join_pause: [-1, 2]}", "-1.0")],
)  # fmt: skip
def test_no_value_is_taken_for_another(tmp_path, text, key):
    assert key in refused(tmp_path, text)


@pytest.mark.parametrize("path", ["08", "1e3", "no", "1:30", "2024-01-01", "0o7", "~", ".5", "+1."])
def test_paths_like_numbers_are_read_as_they_were_written(tmp_path, path):
    recipe = make_recipe({"data": {"dev": path}})
    assert load_recipe(write(tmp_path, recipe.to_yaml())) == recipe


def test_a_key_in_the_wrong_section_is_answered_with_the_right_one(tmp_path):
    for text in ("layers: 2", "training: {layers: 2}", "model.layers: 2"):
        assert "'layers' is a setting of the section 'model'" in refused(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "a: b: c",
        "- 1\n- 2",
        "just words",
        "\x00",
        "1: 2",
        "? [1, 2]\n: 3",
        "model: {hidden_size: 2024-99-99}",  # YAML takes it for a date
        "model: {hidden_size: " + "9" * 5000 + "}",
        "[" * 5000,
        "model: &a [1, *a]",
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_line(tmp_path, text):
    assert "recipe.yaml" in refused(tmp_path, text)


def test_aliases_that_multiply_do_not_fill_the_memory(tmp_path):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert len(refused(tmp_path, "\n".join([*lines, "model: {hidden_size: *a11}"]))) < 1000
    assert len(refused(tmp_path, "model: {hidden_size: &a [1, 2]}\ntext: {case: *a}")) < 1000
    nested = "".join(f"- &b{i} [{', '.join([f'*b{i - 1}'] * 9 or ['x'])}]\n" for i in range(1, 12))
    assert len(refused(tmp_path, "- &b0 [x]\n" + nested)) < 1000


def test_a_key_given_twice_is_refused(tmp_path):
    assert "twice" in refused(tmp_path, "model: {hidden_size: 3}\nmodel: {layers: 1}")
    assert "twice" in refused(tmp_path, "model: {hidden_size: 3, hidden_size: 4}")


def test_a_huge_file_is_not_read(tmp_path):
    assert "1,000,001" in refused(tmp_path, "#" * 1_000_001)


def test_missing_files(tmp_path):
    for path in (tmp_path / "no.yaml", tmp_path, tmp_path / "recipes" / "nothing"):
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_a_section_without_keys_changes_nothing(tmp_path):
    assert load_recipe(write(tmp_path, "model:\ntext: null\n")) == Recipe()


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "recipe.yaml").write_bytes(b"model: {cell: \xff\xfe}")
    with pytest.raises(RecipeError, match="not a plain YAML file"):
        load_recipe(tmp_path)


# Overrides --------------------------------------------------------------------------------------


def test_overrides_win_over_the_file_and_the_later_over_the_earlier(tmp_path):
    file = write(tmp_path, "model: {hidden_size: 3, layers: 1}")
    recipe = load_recipe(
        file,
        [
            "model.hidden_size=4",
            "model.hidden_size=5",
            "training.epochs=7",
            "augment.speed=[0.9, 1.1]",
        ],
    )
    assert (recipe.model.hidden_size, recipe.model.layers, recipe.training.epochs) == (5, 1, 7)
    assert recipe.augment.speed == [0.9, 1.1]


PATHS = [
    "my recordings/a.jsonl",
    "take #1/a.jsonl",
    "a: b/a.jsonl",
    "[raw] x/a.jsonl",
    "x=1/a.jsonl",
]
PATHS += ["50%/a.jsonl", "@me/a", "it's/a", "{a}/a", "*star/a", "ümlaut/a", "2024-01-05", "-dash/a"]
PATHS += [
    "2024",
    "no",
    "1e3",
    "!x/a",
    "&x/a",
    "|x",
    ">x",
    "`x`",
    "a,b",
    "~/a.jsonl",
    "~",
    "? x",
    "- x",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_in_an_override_is_taken_as_it_is(tmp_path, path):
    file = tmp_path / "r.yaml"
    file.write_text("")
    recipe = load_recipe(
        file, [f"data.train={path}", f"data.dev= {path} ", f"augment.noise_manifest={path}"]
    )
    assert (recipe.data.train, recipe.data.dev) == ([path], path)
    assert recipe.augment.noise_manifest == path


def test_quotes_lists_and_null_keep_their_meaning_in_an_override(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("augment: {noise_manifest: n.jsonl}")
    overrides = [
        "data.train=[a.jsonl, 'b #2.jsonl']",
        'data.dev="c d.jsonl"',
        "augment.noise_manifest=null",
    ]
    recipe = load_recipe(file, overrides)
    assert recipe.data.train == ["a.jsonl", "b #2.jsonl"]
    assert recipe.data.dev == "c d.jsonl"
    assert recipe.augment.noise_manifest is None


def test_overrides_of_a_section_that_the_file_does_not_have(tmp_path):
    assert load_recipe(write(tmp_path, "model:\n"), ["model.hidden_size=4"]).model.hidden_size == 4
    assert load_recipe(write(tmp_path, ""), ["model.hidden_size=4"]).model.hidden_size == 4


@pytest.mark.parametrize(
    "text", ["model.hidden_size", "hidden_size=3", "=3", ".layers=3", "model.=3", ""]
)
def test_an_override_of_another_form_is_explained(tmp_path, text):
    assert "expected section.key=value" in refused(tmp_path, "", text)


def test_an_override_without_its_section_is_answered_with_the_section(tmp_path):
    assert "training.epochs=3" in refused(tmp_path, "", "epochs=3")


@pytest.mark.parametrize("given", ["mine", "mine.yml", "mine/"])
def test_the_recipe_of_almost_that_name_is_named(tmp_path, given):
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "mine").mkdir()  # the recordings that init has written it for
    with pytest.raises(RecipeError, match=r"mine\.yaml"):
        load_recipe(f"{tmp_path}/{given}")


def test_a_manifest_in_place_of_a_recipe_is_named_as_one(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"audio_filepath": "a.wav"}\n{"text": "b"}\n')
    with pytest.raises(RecipeError, match=r"data\.train"):
        load_recipe(tmp_path / "train.jsonl")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("model.hidden_siz=3", "did you mean 'model.hidden_size'"),
        ("modle.hidden_size=3", "did you mean 'model'"),
        ("model.hidden_size=wide", "model.hidden_size"),
        ("model.hidden_size=", "model.hidden_size"),
        ("model.hidden_size=!!python/name:os.getcwd", "YAML"),
        ("model.hidden_size=[", "YAML"),
        ("model.hidden_size=!!bool maybe", "YAML"),
        ("model.hidden_size=!!timestamp abc", "YAML"),
        ("model.hidden_size=2024-99-99", "'2024-99-99'"),
        ("model.hidden_size=" + "[" * 5000, "YAML"),
        ("model.hidden_size.more=3", "model.hidden_size.more"),
    ],
)
def test_a_wrong_override_is_named(tmp_path, override, named):
    assert named in refused(tmp_path, "", override)


@pytest.mark.parametrize(
    "override",
    [
        "model.hidden_siz=3",
        "modle.hidden_size=3",
        "augment.speed=[9]",
        "features.hop_ms=90",  # longer than the file's window
    ],
)
def test_an_error_names_the_override_or_the_file_that_it_is_in(tmp_path, override):
    text = "features: {window_ms: 30}\ntraining: {seed: 1}"
    assert refused(tmp_path, text, override).startswith(f"override {override!r}: ")
    assert refused(tmp_path, text.replace("seed: 1", "seed: -1"), override).startswith(
        f"{tmp_path}/recipe.yaml: training.seed: "
    )


def test_a_single_value_for_a_list_is_answered_with_how_to_write_one(tmp_path):
    message = refused(tmp_path, "", "augment.speed=1.1")
    assert "[0.9, 1.1]" in message
    assert "1.1" in message


def test_one_training_manifest_needs_no_brackets(tmp_path):
    (tmp_path / "recipe.yaml").write_text("")
    loaded = load_recipe(tmp_path, ["data.train=a b.jsonl"])
    assert loaded.data.train == ["a b.jsonl"]


def test_overriding_a_section_that_is_no_mapping(tmp_path):
    assert "recipe.yaml: model: " in refused(tmp_path, "model: [1]", "model.hidden_size=3")


# Round trips ------------------------------------------------------------------------------------


def values_of(key: str, default: object) -> st.SearchStrategy[object]:
    """Valid values of a key."""
    choices = {
        "kind": ["logmel", "mfcc"], "case": ["lower", "upper", "keep"],
        "unit": ["character", "bpe", "word"],
        "punctuation": ["remove", "keep"], "normalise": ["speech", "running", "none"],
        "subsampling": ["stack", "conv"], "schedule": ["one-cycle", "cosine", "constant"],
        "precision": ["auto", "float32", "bfloat16"], "deltas": [0, 1, 2], "factor": [1, 2, 3, 4],
        "lookahead": [0],  # others need bidirectional: false
    }  # fmt: skip
    paths = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    if key in choices:
        return st.sampled_from(choices[key])
    if key == "high_hz":
        return st.none() | st.floats(1000, 8000)
    if key == "noise_manifest":
        return st.none() | paths
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, int):
        return st.integers(default, default + 3)
    if isinstance(default, float):
        return st.floats(default, default * 1.01)
    if key == "speed":
        return st.lists(st.floats(0.5, 2), min_size=1, max_size=4)
    if key in ("noise_snr_db", "gain_db", "background_db", "join_pause"):
        low, high = sorted(default)
        below = 0.0 if key == "join_pause" else low - 1
        return st.tuples(st.floats(below, low), st.floats(high, high + 1)).map(list)
    if isinstance(default, list):
        return st.lists(paths, min_size=1, max_size=3)
    return paths


DEFAULTS = Recipe().model_dump(mode="json")
RECIPES = st.fixed_dictionaries(
    {
        section: st.fixed_dictionaries(
            {}, optional={key: values_of(key, default) for key, default in keys.items()}
        )
        for section, keys in DEFAULTS.items()
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECIPES)
@example({"data": {"dev": "\x85\u2028ü"}})
def test_what_is_written_is_read_back(tmp_path_factory, values):
    recipe = make_recipe(values)
    file = write(tmp_path_factory.mktemp("recipe"), recipe.to_yaml())
    assert load_recipe(file) == recipe


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_loads_or_is_refused_with_a_message(tmp_path_factory, text):
    file = write(tmp_path_factory.mktemp("recipe"), text)
    for overrides in ([], [text], [f"model.hidden_size={text}"]):
        message = ""
        try:
            load_recipe(file, overrides)
        except RecipeError as error:
            message = str(error)
        assert "\n" not in message


# Documentation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_setting_is_documented(section, key):
    field = typing.cast(type[BaseModel], Recipe.model_fields[section].annotation).model_fields[key]
    assert len((field.description or "").split()) >= 3
    assert f"| `{section}.{key}` |" in (REPOSITORY / "docs/recipe.md").read_text()


def test_the_documentation_is_up_to_date():
    """If not, run `python docs/write_recipe.py`."""
    generated = runpy.run_path(str(REPOSITORY / "docs/write_recipe.py"))["to_markdown"]()
    assert (REPOSITORY / "docs/recipe.md").read_text(encoding="utf-8") == generated


# Recipes of the package -------------------------------------------------------------------------


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.parent.name)
def test_the_model_of_a_shipped_recipe_can_be_built_with_any_cell(file):
    recipe = load_recipe(file.parent)
    extract = FeatureExtractor(recipe.features)
    for cell in CELLS:
        section = recipe.model.model_copy(update={"cell": cell})
        RecurrentCTC(section, extract.size, 30)


def test_an_unknown_recipe_name_is_answered_with_the_known_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [file.parent.name for file in SHIPPED]
    with pytest.raises(RecipeError, match=", ".join(names)):
        load_recipe("recipes/nothing")
    with pytest.raises(RecipeError, match=f"runs/{names[0]}"):
        load_recipe(f"runs/{names[0]}")  # another folder of the same name is not the recipe
