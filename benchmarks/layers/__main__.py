"""`python -m benchmarks.layers`, from the repository."""

from benchmarks.layers.commands import app
from speechgru.cli.main import run

run(app, "python -m benchmarks.layers")
