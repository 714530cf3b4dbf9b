"""The command line: `tidegate`."""

from compose.cli.main import main

__all__ = ["main"]
