"""The command line."""

from speechgru.cli.main import app, main

__all__ = ["app", "main"]
