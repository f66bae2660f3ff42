"""The installed command, as a shell runs it."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SPEECHGRU = Path(sys.executable).with_name("speechgru")


class Done(NamedTuple):
    """Exit status, standard output, standard error."""

    status: int
    out: str
    err: str


def start(*words: str | Path, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [SPEECHGRU, *words],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def order(*words: str | Path, cwd: Path) -> Done:
    """Run the command to its end."""
    process = start(*words, cwd=cwd)
    out, err = process.communicate(timeout=300)
    return Done(process.returncode, out, err)
