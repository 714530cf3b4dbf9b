"""The store that a configuration asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ingest.runtime.store.influx import InfluxStore
from ingest.runtime.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from ingest.runtime.store.config import StoreConfig
    from ingest.runtime.store.port import Store


def open_store(config: StoreConfig) -> Store:
    """The store, not yet connected: whether it can be used is what `check` tells.

    Raises ValueError that names the settings which are missing.
    """
    if missing := config.missing():
        raise ValueError(f"store: kind {config.kind} needs {', '.join(missing)}")
    if config.kind == "sqlite":
        return SqliteStore(Path(config.path), timeout_s=config.timeout_s)
    return InfluxStore(config)
