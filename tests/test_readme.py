"""The documents are true: their commands parse, the files they name exist, the tree is complete."""

import ast
import importlib
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

import speechgru
from benchmarks.layers.commands import app as layers
from benchmarks.transcription import app as transcription
from research.probes.commands import app as probes
from speechgru.cells import CELLS
from speechgru.cli import app
from speechgru.recipe_file import load_recipe

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
PROGRAMS = {
    "speechgru": get_command(app),
    "python -m research.probes": get_command(probes),
    "python -m benchmarks.layers": get_command(layers),
    "python -m benchmarks.transcription": get_command(transcription),
}
PLACEHOLDER = "…"
BLOCK = r"^ *```\w*\n(.*?)^ *```"  # of code; indented in lists
CALL = rf"\s*(?:taskset -c \S+ |\w+=\S+ )*((?:{'|'.join(map(re.escape, PROGRAMS))})\s+[a-z-].*)"

# Commands -----------------------------------------------------------------------------------------


def helps(command: object, words: str) -> Iterator[tuple[str, str]]:
    """Each command with its groups' names, and the example at the end of its --help."""
    yield f"{words} --help", getattr(command, "epilog", None) or ""
    for name, inner in getattr(command, "commands", {}).items():
        yield from helps(inner, f"{words} {name}")


def commands_in(text: str) -> Iterator[str]:
    """Calls of our programs in code blocks (in the whole text, if a script) and in backticks."""
    text = text.replace("\\\n", " ")
    for name, value in re.findall(r'^ *(\w+)="([^"$]+)"', text, re.M):
        text = text.replace(f"${name}", value)
    blocks = re.findall(BLOCK, text, re.S | re.M) or [text]
    inline = re.findall(r"`([^`]+)`", re.sub(BLOCK, "", text, flags=re.S | re.M))
    for line in [line for block in blocks for line in block.splitlines()] + inline:
        if call := re.match(CALL, line, re.S):
            yield " ".join(call[1].split())


ALL_HELP = [pair for words, command in PROGRAMS.items() for pair in helps(command, words)]
COMMANDS = [
    pytest.param(command, id=f"{place}: {command}")
    for place, text in [*DOCUMENTS.items(), *ALL_HELP]
    if place != "CHANGELOG.md"  # it names commands of the past
    for command in commands_in(text)
]


def parse(line: str) -> dict[str, object]:
    """The options as the command line reads them; raises click's UsageError."""
    program = next(name for name in PROGRAMS if line.startswith(name))
    command = PROGRAMS[program]
    words = [
        word
        for word in shlex.split(line.removeprefix(program), comments=True)
        if PLACEHOLDER not in word and word != "$@"
    ]
    while hasattr(command, "commands") and words:
        words = words[1:] if words[0] == "--debug" else words
        if words[0] in ("COMMAND", "NAME", "--help", "--version"):
            return {}
        assert words[0] in command.commands, f"no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    if not words or words == ["--help"]:
        return {}
    return command.make_context(line, words).params


def test_commands_are_found_where_they_are():
    places = {str(param.id).split(":")[0] for param in COMMANDS}
    assert places >= {
        *("README.md", "docs/results/README.md", "docs/performance.md", "recipes/an4/run.sh"),
        *("docs/results/probes/run.sh", "python -m research.probes gates --help"),
        *("speechgru --help", "speechgru train --help", "python -m benchmarks.layers --help"),
    }


def variants(values: dict[str, object]) -> Iterator[str]:
    """The recipe overrides of a comparison, one by one."""
    cells, vary = values.get("cells") or "", values.get("vary") or ""
    for setting in (f"model.cell={cells}", str(vary)):
        key, _, listed = setting.partition("=")
        yield from (f"{key}={value}" for value in listed.split(",") if value)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_a_document_is_valid(command):
    values = parse(command)
    recipe = str(values.get("recipe"))
    if recipe.startswith("recipes/") and recipe != "recipes/NAME":
        changes = [re.sub(r"=\$\w+$", "=1", text) for text in values.get("overrides") or []]
        for change in [[], *([change] for change in variants(values))]:
            assert load_recipe(ROOT / recipe, [*changes, *change]).model.cell in CELLS


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("speechgru trian recipes/an4", "trian"),
        ("speechgru score a", "Missing"),
        ("speechgru score a b --wurst 3", "wurst"),
        ("python -m research.probes memroy", "memroy"),
        ("python -m benchmarks.layers --hiden 3", "hiden"),
    ],
)
def test_wrong_commands_fail(command, wrong):
    with pytest.raises(Exception, match=wrong):
        parse(command)


def test_commands_are_found_in_text():
    text = (
        'a `speechgru info\nruns/a` b\n```\nx="3 y=4"  # why\nspeechgru score a \\\n  $x\n'
        "OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.layers --quick\n```\n"
    )
    assert list(commands_in(text)) == [
        "speechgru score a 3 y=4",
        "python -m benchmarks.layers --quick",
        "speechgru info runs/a",
    ]


TABLE = re.findall(r"^\| `([a-z-]+)([^`]*)` \| (.+) \|$", README, re.M)


def test_the_table_lists_every_command():
    assert sorted(name for name, _, _ in TABLE) == sorted(PROGRAMS["speechgru"].commands)


@pytest.mark.parametrize(("name", "usage"), [row[:2] for row in TABLE])
def test_the_options_in_the_table_exist(name, usage):
    known = {flag for p in PROGRAMS["speechgru"].commands[name].params for flag in p.opts}
    assert set(re.findall(r"--[a-z-]+", usage)) <= known


@pytest.mark.parametrize("place", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(place):
    makefile = (ROOT / "Makefile").read_text()
    code = re.findall(r"`([^`]+)`|^ *(make .*)$", DOCUMENTS[place], re.M)
    targets = [t for pair in code for t in re.findall(r"\bmake ([a-z]+)", " ".join(pair))]
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


# Python -------------------------------------------------------------------------------------------

PYTHON = [
    pytest.param(textwrap.dedent(block), id=f"{place}-{number}")
    for place, text in DOCUMENTS.items()
    for number, block in enumerate(re.findall(r"^ *```python\n(.*?)^ *```", text, re.S | re.M))
]


@pytest.mark.parametrize("block", PYTHON)
def test_imports_in_documents_work(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("speechgru"):
            for alias in node.names:
                assert hasattr(importlib.import_module(node.module), alias.name)
                assert node.module != "speechgru" or alias.name in speechgru.__all__


@pytest.mark.parametrize("name", speechgru.__all__)
def test_public_names_exist(name):
    assert getattr(speechgru, name)


# Files --------------------------------------------------------------------------------------------

FOLDERS = "docs|speechgru|data/digits|recipes|tests|benchmarks|research|examples"
FILES = (
    rf"`((?:{FOLDERS})/[\w./-]+\.\w+|[A-Z]+\.md)`",
    r"\]\(((?!http)[^)#]+)\)",  # links
    r"\b(?:python3?|sh) ([\w./-]+\.(?:py|sh))\b",
    r"\bpytest ((?:tests[\w./-]* ?)+)",
)


def files_named_in(text: str) -> set[str]:
    """In backticks, as links, or given to python, sh or pytest."""
    named = {
        name for pattern in FILES for found in re.findall(pattern, text) for name in found.split()
    }
    return named - {"recipes/NAME/recipe.yaml"}


@pytest.mark.parametrize("place", DOCUMENTS)
def test_files_named_in_documents_exist(place):
    folders = (ROOT, (ROOT / place).parent)  # links are relative to the document
    missing = [
        name
        for name in sorted(files_named_in(DOCUMENTS[place]))
        if not any((folder / name).exists() for folder in folders)
    ]
    assert missing == []


def test_file_names_are_found_in_text():
    text = (
        "`docs/a.md`, `B.md`, [c](c.md), [d](https://d.md)\n"
        "```\nsh recipes/x/run.sh Y\npytest tests/a.py tests/b  # c\n```\n"
    )
    assert files_named_in(text) == {
        *("docs/a.md", "B.md", "c.md", "recipes/x/run.sh", "tests/a.py", "tests/b")
    }


def test_the_changelog_has_this_version():
    assert f"\n## {speechgru.__version__} " in DOCUMENTS["CHANGELOG.md"]


TREE = README.split("## Source tree")[1].split("```")[1]


def test_the_tree_lists_every_module():
    package = ROOT / "speechgru"
    modules = {file.name for file in package.glob("*.py")} - {"__init__.py"}
    folders = {f"{init.parent.name}/" for init in package.glob("*/__init__.py")}
    listed = [name for names in re.findall(r"^  (\S.*?)  ", TREE, re.M) for name in names.split()]
    assert sorted(listed) == sorted(modules | folders)


def test_the_layers_in_the_document_are_those_of_the_contract():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [name for layer in contract["contracts"][0]["layers"] for name in layer.split(" | ")]
    text = (ROOT / "docs/architecture.md").read_text().split("## Layers")[1].split("```")[1]
    listed = [name for line in text.split("\n") for name in line.split("  ")[0].split(" · ")]
    assert sorted(filter(None, listed)) == sorted(layers)


def test_the_folders_in_the_tree_exist():
    folders = re.findall(r"(?<!\S)([\w/]+)/(?=\s)", re.sub(r"^  .*$", "", TREE, flags=re.M))
    assert len(folders) > 5
    assert [name for name in folders if not (ROOT / name.removesuffix("/NAME")).is_dir()] == []
