"""`python -m compose.cli` is `tidegate`."""

from compose.cli.main import main

main()
