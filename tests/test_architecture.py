"""The laws of the house that a machine can check: who imports whom, and when torch is loaded."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "speechgru").rglob("*.py"))
HEAVY = ("torch", "torchaudio", "numba", "librosa", "jiwer", "av", "soundfile", "tensorboard")


def in_a_new_process(program: str) -> object:
    """What `program` prints last, as JSON."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_imports_go_down_the_layers():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_help_loads_torch():
    """Nor anything else that takes long: help is asked for at a prompt."""
    program = f"""
import contextlib, io, json, sys
from typer.main import get_command
from speechgru.cli import app

def helps(command, words):
    yield words
    for name, inner in getattr(command, "commands", {{}}).items():
        yield from helps(inner, [*words, name])

shown = 0
for words in helps(get_command(app), []):
    with contextlib.redirect_stdout(io.StringIO()) as text:
        app([*words, "--help"], standalone_mode=False)
    shown += "Usage" in text.getvalue()
loaded = [name for name in {HEAVY} if name in sys.modules]
print(json.dumps([shown, loaded]))
"""
    shown, loaded = in_a_new_process(program)
    assert shown > 10
    assert loaded == []


def test_the_package_alone_loads_nothing_of_itself():
    program = (
        "import json, sys, speechgru\n"
        "print(json.dumps([n for n in sys.modules if n.startswith('speechgru.')]))"
    )
    assert in_a_new_process(program) == []


def test_a_training_step_is_few_files():
    """How much of ours a newcomer must read to have seen one; cells count as the one in use."""
    program = """
import json, sys
import speechgru.training
print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "speechgru"
                  and n.split(".")[1:2] != ["cells"]]))
"""
    files = [Path(name) for name in in_a_new_process(program)]
    assert len(files) <= 30
    assert sum(len(file.read_text().splitlines()) for file in files) <= 4500


def calls_and_imports(tree: ast.AST) -> set[str]:
    """Modules imported, and functions called by name: "torch.load", "eval"."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Call):
            found.add(ast.unparse(node.func))
            if any(word.arg == "shell" for word in node.keywords):
                found.add("shell=")
    return found


FORBIDDEN = {
    *("pickle", "marshal", "shelve", "dill", "joblib", "torch.load", "torch.save"),
    *("eval", "exec", "os.system", "os.popen", "shell=", "yaml.unsafe_load", "yaml.full_load"),
}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_is_unpickled_evaluated_or_given_to_a_shell(file):
    assert not FORBIDDEN & calls_and_imports(ast.parse(file.read_text()))


def test_the_search_for_forbidden_calls_finds_them():
    program = "import pickle\nfrom shelve import open\ntorch.load(f)\nrun('x', shell=True)\neval(s)"
    found = calls_and_imports(ast.parse(program))
    assert found >= {"pickle", "shelve", "torch.load", "shell=", "eval"}


def test_no_class_is_more_than_one_step_from_its_base():
    """Of ours: a class may have a parent of ours, but no grandparent."""
    parents = {}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                parents[node.name] = [ast.unparse(base) for base in node.bases]
    deep = [
        name
        for name, bases in parents.items()
        if any(grand in parents for base in bases for grand in parents.get(base, []))
    ]
    assert [name for name in deep if name != "Diverged"] == []  # an error, caught as its parents
