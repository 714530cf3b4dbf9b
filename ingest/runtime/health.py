"""Whether a process is alive and ready, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Health:
    """The conditions that a process must meet to be ready: one per part, each with a reason while it is not met."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._probes: dict[str, Callable[[], str]] = {}

    def waiting(self, part: str, reason: str) -> None:
        """`part` is not ready because of `reason`."""
        self._reasons[part] = reason

    def ready(self, part: str) -> None:
        """`part` is ready."""
        self._reasons.pop(part, None)

    def probe(self, part: str, reason: Callable[[], str]) -> None:
        """Ask `reason()` whenever somebody looks; an empty answer means ready."""
        self._probes[part] = reason

    def reasons(self) -> dict[str, str]:
        """Every part that is not ready, with its reason; empty when all are."""
        probed = {part: reason() for part, reason in self._probes.items()}
        return self._reasons | {part: reason for part, reason in probed.items() if reason}
