"""The installed command, run as from a shell."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SPEECHGRU = Path(sys.executable).with_name("speechgru")


class Result(NamedTuple):
    """Exit status, standard output, standard error."""

    status: int
    out: str
    err: str


def start(*words: str | Path, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [SPEECHGRU, *words],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(*words: str | Path, cwd: Path) -> Result:
    """Run the command to its end."""
    process = start(*words, cwd=cwd)
    out, err = process.communicate(timeout=300)
    return Result(process.returncode, out, err)
