"""The recipes that ship: every one has the same files, and its story is short and runs."""

import subprocess
from pathlib import Path

import pytest

from speechgru.recipe import load_recipe, shipped_recipes

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path for path in (ROOT / "recipes").iterdir() if path.is_dir())
every_recipe = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def test_every_folder_is_a_recipe_that_users_are_told_of():
    assert [folder.name for folder in FOLDERS] == shipped_recipes()


@every_recipe
def test_the_files_are_the_same_everywhere(folder):
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["README.md", "recipe.yaml", "run.sh"]


@every_recipe
def test_it_loads_and_says_what_it_is_for(folder, tmp_path, monkeypatch):
    recipe = load_recipe(folder)
    assert (folder / "recipe.yaml").read_text().startswith("# ")
    monkeypatch.chdir(tmp_path)
    assert load_recipe(f"recipes/{folder.name}") == recipe


@every_recipe
def test_the_story_is_short_and_a_shell_reads_it(folder):
    script = folder / "run.sh"
    text = script.read_text()
    assert len(text.splitlines()) <= 15
    assert "set -eu" in text
    subprocess.run(["sh", "-n", script], check=True)
    for command in ("train", "evaluate"):
        assert f"speechgru {command} " in text
    assert f"speechgru train recipes/{folder.name} " in text


@every_recipe
def test_the_readme_tells_a_measured_result_and_its_command(folder):
    text = (folder / "README.md").read_text()
    assert "WER" in text
    assert "run.sh" in text
    assert any(character.isdigit() for character in text)
