"""The package works where Linux's own modules and functions do not exist."""

import subprocess
import sys

import pytest
from typer.main import get_command

from speechgru.cli.main import app

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]

WITHOUT_LINUX = """
import os, sys
sys.modules["fcntl"] = None
for name in ("sched_getaffinity", "sched_setaffinity", "mkfifo", "getuid"):
    if hasattr(os, name):
        delattr(os, name)
"""


def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_LINUX + code, *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_package_and_its_foundations_are_imported() -> None:
    done = run(
        "import speechgru, speechgru.audio, speechgru.corpora, speechgru.files, "
        "speechgru.recipe, speechgru.scoring, speechgru.text"
    )
    assert done.returncode == 0, done.stderr


def test_a_folder_is_locked_and_written_to(tmp_path: object) -> None:
    done = run(
        "from pathlib import Path\n"
        "from speechgru.files import atomic_write, exclusive_lock\n"
        "folder = Path(sys.argv[1])\n"
        "with exclusive_lock(folder, 'speechgru train'):\n"
        "    atomic_write(folder / 'a.txt', 'text')\n"
        "print((folder / 'a.txt').read_text())",
        str(tmp_path),
    )
    assert (done.returncode, done.stdout) == (0, "text\n"), done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command: str) -> None:
    done = run("from speechgru.cli import main; main()", command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"speechgru {command}" in done.stdout.replace("-c ", "speechgru ")
