"""What the documents say is so: their commands parse, their names exist, the tree is the tree."""

import ast
import importlib
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.main import get_command

import speechgru
from speechgru.cells import CELLS
from speechgru.cli import app
from speechgru.manifest import read_manifest
from speechgru.recipe import load_recipe

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for file in [
        *sorted(ROOT.glob("*.md")),
        *sorted(
            file
            for folder in ("docs", "recipes", "data/digits")
            for kind in ("*.md", "*.sh")
            for file in (ROOT / folder).rglob(kind)
        ),
    ]
}
README = DOCUMENTS["README.md"]
PLACEHOLDER = "…"
BLOCK = r"^ *```\w*\n(.*?)^ *```"  # of code; in a list it is indented


def helps(command: object, words: str = "speechgru") -> Iterator[tuple[str, str]]:
    """The command with its groups' words, and the example at the end of its --help."""
    yield f"{words} --help", getattr(command, "epilog", None) or ""
    for name, inner in getattr(command, "commands", {}).items():
        yield from helps(inner, f"{words} {name}")


def commands_in(text: str) -> Iterator[str]:
    """Lines of code blocks (of the whole text, in a script) and code in backticks that call us."""
    text = text.replace("\\\n", " ")
    for name, value in re.findall(r'^ *(\w+)="([^"$]+)"', text, re.M):
        text = text.replace(f"${name}", value)
    blocks = re.findall(BLOCK, text, re.S | re.M) or [text]
    inline = re.findall(r"`([^`]+)`", re.sub(BLOCK, "", text, flags=re.S | re.M))
    for line in [line for block in blocks for line in block.splitlines()] + inline:
        if call := re.match(r"\s*(?:taskset -c \S+ )?(speechgru\s+[a-z-].*)", line, re.S):
            yield " ".join(call[1].split())


ORDERS = [
    pytest.param(order, id=f"{place}: {order}")
    for place, text in [*DOCUMENTS.items(), *helps(get_command(app))]
    for order in commands_in(text)
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
    places = {str(param.id).split(":")[0] for param in ORDERS}
    assert places >= {
        *("README.md", "CHANGELOG.md", "docs/results/README.md", "docs/results/probes/run.sh"),
        *("recipes/an4/run.sh", "speechgru --help", "speechgru probe gates --help"),
    }


def variants(values: dict[str, object]) -> Iterator[str]:
    """What `compare` would change in the recipe, change by change."""
    cells, vary = values.get("cells") or "", values.get("vary") or ""
    for setting in (f"model.cell={cells}", str(vary)):
        key, _, listed = setting.partition("=")
        yield from (f"{key}={value}" for value in listed.split(",") if value)


@pytest.mark.parametrize("order", ORDERS)
def test_a_command_in_a_document_is_one(order):
    values = parse(order)
    recipe = str(values.get("recipe"))
    if recipe.startswith("recipes/") and recipe != "recipes/NAME":
        changes = [re.sub(r"=\$\w+$", "=1", text) for text in values.get("overrides") or []]
        for change in [[], *([change] for change in variants(values))]:
            assert load_recipe(ROOT / recipe, [*changes, *change]).model.cell in CELLS


def test_the_check_sees_what_is_wrong():
    for order in (
        "speechgru trian recipes/an4",
        "speechgru score a",
        "speechgru score a b --wurst 3",
    ):
        with pytest.raises(Exception, match=r"trian|Missing|wurst"):
            parse(order)
    text = (
        'a `speechgru info\nruns/a` b\n```\nx="3 y=4"  # why\nspeechgru score a \\\n  $x\n'
        "taskset -c 0 speechgru bench\n```\n"
    )
    assert list(commands_in(text)) == [
        "speechgru score a 3 y=4",
        "speechgru bench",
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


PYTHON = [
    textwrap.dedent(block)
    for block in re.findall(r"^ *```python\n(.*?)^ *```", README, re.S | re.M)
]


@pytest.mark.parametrize("block", PYTHON, ids=range(len(PYTHON)))
def test_the_readme_s_python_imports_what_is_there(block):
    ours = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("speechgru")
        for alias in node.names
    ]
    assert ours
    for module, name in ours:
        assert hasattr(importlib.import_module(module), name), (module, name)
        assert module != "speechgru" or name in speechgru.__all__


def test_the_readme_s_program_writes_a_manifest_that_is_read(tmp_path, monkeypatch):
    (program,) = [block for block in PYTHON if "manifest" in block]
    folder = tmp_path / "my/audio"
    folder.mkdir(parents=True)
    for name, text in (("b", "turn the light on\n"), ("a", " schön\n")):
        soundfile.write(folder / f"{name}.wav", np.zeros(4000), 16000)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {})
    found = read_manifest(tmp_path / "my/all.jsonl")
    assert [(u.audio, u.text, u.duration) for u in found] == [
        (folder / "a.wav", "schön", 0.25),
        (folder / "b.wav", "turn the light on", 0.25),
    ]


@pytest.mark.parametrize("name", speechgru.__all__)
def test_public_names_are_there(name):
    assert getattr(speechgru, name)


FOLDERS = "docs|speechgru|data/digits|recipes|tests|benchmarks|examples"
FILES = (
    rf"`((?:{FOLDERS})/[\w./-]+\.\w+|[A-Z]+\.md)`",
    r"\b(?:python3?|sh) ([\w./-]+\.(?:py|sh))\b",
    r"\bpytest ((?:tests[\w./-]* ?)+)",
)


def files_named_in(text: str) -> set[str]:
    """In backticks, or given to python, sh or pytest."""
    named = {
        name for pattern in FILES for found in re.findall(pattern, text) for name in found.split()
    }
    return named - {"recipes/NAME/recipe.yaml"}


@pytest.mark.parametrize("place", DOCUMENTS)
def test_files_a_document_names_are_there(place):
    named = files_named_in(DOCUMENTS[place])
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_search_for_files_finds_them():
    text = "`docs/a.md`, `B.md`\n```\nsh recipes/x/run.sh Y\npytest tests/a.py tests/b  # c\n```\n"
    assert files_named_in(text) == {
        *("docs/a.md", "B.md", "recipes/x/run.sh", "tests/a.py", "tests/b")
    }


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
