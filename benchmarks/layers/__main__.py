"""`python -m benchmarks.layers --help`, from the repository."""

from benchmarks.layers.commands import app
from speechgru.cli.main import run

run(app, "python -m benchmarks.layers")
