"""The command line in this process, and good files of all four processes, to be spoilt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from click.testing import CliRunner

from compose.cli.main import tidegate
from compose.embedded.credentials import Credentials, make_credentials
from compose.embedded.settings import Places, Spans, analytics_config, api_config, edge_config, listening
from compose.processes.config import AnalyticsProcess, ApiProcess, EdgeProcess, IngestProcess, Process
from ingest.runtime.log.open import LogConfig
from ingest.runtime.observe import ObserveConfig
from ingest.runtime.store.config import StoreConfig
from tests.process_kit import toml

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*arguments: object) -> Result:
    return CliRunner().invoke(tidegate, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """One line or more on stderr, exit code 2, no traceback."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.stderr


class Files:
    """Good files of all four processes in one folder, to be spoilt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.credentials: Credentials = make_credentials(folder / "secrets", "acme", ["north"])
        places, log = Places(folder=str(folder)), LogConfig(path=str(folder / "log.db"))
        store, gateways = StoreConfig(path=str(folder / "store.db")), self.credentials.gateways
        edge = listening(edge_config("acme", "north", places, self.credentials, Spans()))
        self.good: dict[str, Process] = {
            "edge": EdgeProcess(log=log, edge=edge, observe=ObserveConfig()),
            "ingest": IngestProcess(log=log, store=store, gateways=gateways, observe=ObserveConfig()),
            "analytics": AnalyticsProcess(
                log=log,
                gateways=gateways,
                analytics=analytics_config(places, Spans(), self.credentials, [], []),
                observe=ObserveConfig(),
            ),
            "api": ApiProcess(log=log, store=store, gateways=gateways, api=api_config("acme", self.credentials)),
        }

    def write(self, kind: str, changes: dict[str, Any] | None = None) -> Path:
        """`changes`: a setting's path to its value, "" taken out by None."""
        tree = msgspec.to_builtins(self.good[kind])
        for place, value in (changes or {}).items():
            *tables, name = place.split(".")
            table = tree
            for step in tables:
                table = table[int(step)] if isinstance(table, list) else table.setdefault(step, {})
            table[name] = value
        path = self.folder / f"{kind}.toml"
        path.write_text(toml(tree))
        return path
