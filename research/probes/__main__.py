"""`python -m research.probes --help`, from the repository."""

from research.probes.commands import app
from speechgru.cli.main import run

run(app, "python -m research.probes")
