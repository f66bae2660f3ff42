"""The shipped recipes: all have the same three files, load, run and state a measured result."""

import re
import subprocess
from pathlib import Path

import pytest

from speechgru.recipe_file import load_recipe, shipped_recipes

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path for path in (ROOT / "recipes").iterdir() if path.is_dir())
every_recipe = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def test_every_folder_is_a_shipped_recipe():
    assert [folder.name for folder in FOLDERS] == shipped_recipes()


@every_recipe
def test_every_recipe_has_the_same_three_files(folder):
    assert {path.name for path in folder.iterdir()} >= {"README.md", "recipe.yaml", "run.sh"}


@every_recipe
def test_it_loads_from_anywhere_and_begins_with_a_comment(folder, tmp_path, monkeypatch):
    recipe = load_recipe(folder)
    assert (folder / "recipe.yaml").read_text().startswith("# ")
    monkeypatch.chdir(tmp_path)
    assert load_recipe(f"recipes/{folder.name}") == recipe


@every_recipe
def test_the_script_is_short_valid_and_uses_the_recipe(folder):
    script = folder / "run.sh"
    text = script.read_text()
    assert len(text.splitlines()) <= 15
    assert "set -eu" in text
    subprocess.run(["sh", "-n", script], check=True)
    for command in ("train", "evaluate"):
        assert f"speechgru {command} " in text
    assert f"speechgru train recipes/{folder.name} " in text


def measured(text: str) -> list[str]:
    """Test WERs: in table columns of that name, and in running text."""
    rates = re.findall(r"\btest WER (\d+\.\d+) %", text)
    for table in re.findall(r"(?:^ *\|.*\n)+", text, re.M):
        head, _, *rows = [[cell.strip() for cell in row.split("|")] for row in table.splitlines()]
        for column, name in enumerate(head):
            if name.startswith("test WER %"):
                rates += [row[column] for row in rows if re.match(r"\d+\.\d", row[column])]
    return rates


@every_recipe
def test_the_readme_states_a_measured_result_and_its_command(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert measured(text)
    assert re.search(rf"`sh recipes/{folder.name}/run\.sh|`make demo`", text)


def test_a_readme_without_a_result_is_noticed():
    table = "| seed | test WER % |\n|---|---|\n| 1.5 | {} |\n"
    assert measured(table.format("7.89, 8.28")) == ["7.89, 8.28"]
    assert measured("test WER 3.19 % (28 errors)") == ["3.19"]
    assert measured(table.format("")) == measured("WER: `run.sh` ends in 3 hours") == []
