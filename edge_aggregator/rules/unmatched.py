"""Rules that match nothing that the gateway has seen so far: perhaps a slip of the pen, perhaps what is yet to come."""

from __future__ import annotations

import difflib
import fnmatch
from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import msgspec

from edge_aggregator.devices.record import Record
from edge_aggregator.state import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from edge_aggregator.rules.config import RuleConfig


def unmatched(rules: Sequence[RuleConfig], data_dir: Path) -> Iterator[str]:
    """A line for each pattern that matches nothing, with its path and what was perhaps meant; none before the first run."""
    path = data_dir / FILE_NAME
    try:
        found = _seen(path) if rules and path.exists() else {}
    except (apsw.Error, msgspec.DecodeError):
        return
    for index, rule in enumerate(rules if any(found.values()) else ()):
        for field, names in found.items():
            pattern = getattr(rule, field)
            if pattern != "*" and not fnmatch.filter(names, pattern):
                yield f"edge.rules[{index}].{field}: {pattern!r} matches nothing seen so far{_meant(pattern, names)}"


def _seen(path: Path) -> dict[str, list[str]]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    with closing(db), db:
        devices = [(str(name), data) for name, data in db.execute("SELECT name, record FROM devices")]
        metrics = [str(row[0]) for row in db.execute("SELECT DISTINCT metric FROM series")]
    records = [msgspec.msgpack.decode(bytes(data), type=Record) for _, data in devices if data is not None]
    return {
        "metric": metrics,
        "device": [name for name, _ in devices],
        "group": _texts(record.attributes.group for record in records),
        "hardware": _texts(record.attributes.hardware for record in records),
    }


def _texts(texts: Iterable[str]) -> list[str]:
    return sorted({text for text in texts if text})


def _meant(pattern: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(pattern, names, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""
