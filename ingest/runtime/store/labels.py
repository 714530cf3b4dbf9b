"""Which labels tell one series from another: the same in every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Labels = tuple[tuple[str, str], ...]


def effective_labels(labels: Iterable[tuple[str, str]]) -> Labels:
    """Sorted by name, the last of a name, without the empty ones: an empty label is no label (as in Prometheus)."""
    return tuple(sorted((name, value) for name, value in dict(labels).items() if name and value))
