"""What a rule says of the world: a condition with its labels, numbers and words."""

from __future__ import annotations

import hashlib

import msgspec


class Order(msgspec.Struct, frozen=True):
    """The place of an event in the order of its source: numbers of one source rise. Without a source there is none."""

    source: str = ""
    number: int = 0

    def follows(self, known: Order) -> bool:
        """Whether this is news after `known`; False for what its source has said before and the log holds twice."""
        return not self.source or self.source != known.source or self.number > known.number


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that may be wrong. `labels` name it; `numbers` and `summary` say how bad it is; `trace` is its cause's.

    `unknown`: nothing is heard of it, neither that it holds nor that it is over. `withdrawn`: nothing will be said of it any more.
    `severity`: its own, if it has one. `about`: what else is known of whom it concerns, for scopes, silences and words.
    People are told again of what fires already when `revision` has risen. `notes`: what else is to be said, as annotations.
    `evidence`: the series that shows it, as an alert event has it.
    """

    rule: str
    tenant: str
    labels: dict[str, str]
    active: bool
    numbers: dict[str, float] = {}
    summary: str = ""
    trace: str = ""
    order: Order = Order()
    unknown: bool = False
    withdrawn: bool = False
    about: dict[str, str] = {}
    severity: str = ""
    revision: int = 0
    notes: dict[str, str] = {}
    evidence: dict[str, str] = {}

    def fingerprint(self) -> str:
        """Equal for the same rule, tenant and labels: 16 hexadecimal digits of their SHA-256."""
        name = msgspec.json.encode([self.rule, self.tenant, sorted(self.labels.items())])
        return hashlib.sha256(name).hexdigest()[:16]
