"""What the documents say is so: their commands parse, their names exist, the tree is the tree."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

import speechgru
from speechgru.cli import app
from speechgru.recipe import load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("recipes/*/README.md")),
    *sorted(ROOT.glob("recipes/*/run.sh")),
    ROOT / "data/digits/README.md",
]
PLACEHOLDER = "…"
BLOCK = r"^ *```\w*\n(.*?)^ *```"  # of code; in a list it is indented


def commands_in(text: str) -> Iterator[str]:
    """Lines of code blocks (of the whole text, in a script) and code in backticks that call us."""
    text = text.replace("\\\n", " ")
    blocks = re.findall(BLOCK, text, re.S | re.M) or [text]
    inline = re.findall(r"`([^`]+)`", re.sub(BLOCK, "", text, flags=re.S | re.M))
    for line in [line for block in blocks for line in block.splitlines()] + inline:
        if re.match(r"\s*speechgru [a-z-]", line):
            yield " ".join(line.split())


ORDERS = [
    pytest.param(order, id=f"{file.relative_to(ROOT)}: {order}")
    for file in DOCUMENTS
    for order in commands_in(file.read_text(encoding="utf-8"))
]


def parse(order: str) -> dict[str, object]:
    """The options as the command line reads them; raises click's UsageError."""
    words = [word for word in shlex.split(order, comments=True) if PLACEHOLDER not in word][1:]
    command = get_command(app)
    while hasattr(command, "commands") and words:
        words = words[1:] if words[0] == "--debug" else words
        if words[0] == "COMMAND":
            return {}
        assert words[0] in command.commands, f"no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    if not words or words == ["--help"]:
        return {}
    return command.make_context(order, words).params


def test_there_are_orders_to_check():
    assert len(ORDERS) > 15


@pytest.mark.parametrize("order", ORDERS)
def test_a_command_in_a_document_is_one(order):
    values = parse(order)
    recipe = str(values.get("recipe"))
    if recipe.startswith("recipes/") and recipe != "recipes/NAME":
        changes = [re.sub(r"=\$\w+$", "=1", text) for text in values.get("overrides") or []]
        load_recipe(ROOT / recipe, changes)


def test_the_check_sees_what_is_wrong():
    for order in (
        "speechgru trian recipes/an4",
        "speechgru score a",
        "speechgru score a b --wurst 3",
    ):
        with pytest.raises(Exception, match=r"trian|Missing|wurst"):
            parse(order)
    assert list(
        commands_in("a `speechgru info\nruns/a` b\n```\nspeechgru score a \\\n  b\n```\n")
    ) == [
        "speechgru score a b",
        "speechgru info runs/a",
    ]


# The table of commands ----------------------------------------------------------------------------

TABLE = re.findall(r"^\| `([a-z-]+)([^`]*)` \| (.+) \|$", README, re.M)


def test_the_table_has_every_command_and_no_other():
    assert sorted(name for name, _, _ in TABLE) == sorted(get_command(app).commands)


@pytest.mark.parametrize(("name", "usage"), [row[:2] for row in TABLE])
def test_the_table_s_options_are_real(name, usage):
    known = {flag for p in get_command(app).commands[name].params for flag in p.opts}
    for flag in re.findall(r"--[a-z-]+", usage):
        assert flag in known


# Names --------------------------------------------------------------------------------------------


def test_make_targets_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z]+)", README.split("## The house")[0]):
        if target not in ("it", "of"):
            assert f"\n{target}:" in makefile, target


def test_python_in_the_readme_is_python_and_its_names_are_public():
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", README, re.S | re.M)
    assert blocks
    for block in blocks:
        compile(textwrap.dedent(block), "README.md", "exec")
        for names in re.findall(r"from speechgru import (.+)", block):
            assert set(re.split(r",\s*", names.strip())) <= set(speechgru.__all__)


@pytest.mark.parametrize("name", speechgru.__all__)
def test_public_names_are_there(name):
    assert getattr(speechgru, name)


def test_files_the_readme_names_are_there():
    named = set(re.findall(r"`((?:docs|speechgru|data/digits)/[\w./-]+\.\w+|[A-Z]+\.md)`", README))
    assert {"docs/architecture.md", "speechgru/recipe.py"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_changelog_has_this_version():
    assert f"\n## {speechgru.__version__} " in (ROOT / "CHANGELOG.md").read_text()


# The tree -----------------------------------------------------------------------------------------

HOUSE = README.split("## The house")[1].split("```")[1]
ROOMS = dict(re.findall(r"^  ([\w./]+)\s+(\S.*)$", HOUSE, re.M))


def test_the_tree_names_every_module_and_no_other():
    package = ROOT / "speechgru"
    modules = {file.name for file in package.glob("*.py")} - {"__init__.py"}
    folders = {f"{init.parent.name}/" for init in package.glob("*/__init__.py")}
    assert sorted(ROOMS) == sorted(modules | folders)


def test_a_room_is_told_in_eight_words():
    assert {name: told for name, told in ROOMS.items() if len(told.split()) > 8} == {}


def test_the_folders_below_the_tree_are_there():
    for folder in ("recipes", "data/digits", "tests", "benchmarks", "docs", "examples"):
        assert folder in HOUSE
        assert (ROOT / folder).is_dir()
