"""The newest changes, numbered: a reader who lost the connection is told what it missed, or that this is not known any more."""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboards.api.projection import Subject

MOST = 20_000
"""Changes of all tenants: what about 3 MB hold."""


class Remembered:
    """At most `most` changes. A mark names one moment of one process, for one tenant and the kinds that were asked for."""

    def __init__(self, most: int = MOST) -> None:
        self._life = secrets.token_hex(4)
        self._changes: deque[Subject] = deque(maxlen=most)
        self.number = 0
        """How many changes there were."""

    def note(self, subject: Subject) -> None:
        """Something changed."""
        self.number += 1
        self._changes.append(subject)

    def mark(self, tenant: str, kinds: frozenset[str], number: int) -> str:
        """What a reader shows who was told everything up to the change of this number."""
        return f"{self._life}-{number}-{_asked(tenant, kinds)}"

    def since(self, tenant: str, kinds: frozenset[str], mark: str) -> list[Subject] | None:
        """The tenant's changes after the mark; None when they are not known: too old, of another process, or for something else."""
        life, _, rest = mark.partition("-")
        number, _, asked = rest.partition("-")
        if life != self._life or asked != _asked(tenant, kinds) or not (number.isascii() and number.isdecimal()):
            return None
        missed = self.number - int(number[:20])
        if not 0 <= missed <= len(self._changes):
            return None
        later = islice(self._changes, len(self._changes) - missed, None)
        return [subject for subject in later if subject.tenant == tenant]


def _asked(tenant: str, kinds: frozenset[str]) -> str:
    return hashlib.blake2b("\n".join([tenant, *sorted(kinds)]).encode(), digest_size=4).hexdigest()
