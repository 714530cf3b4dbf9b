"""The Log port on SQLite: the embedded way."""

from ingest.runtime.log.sqlite.log import SqliteLog

__all__ = ["SqliteLog"]
