"""What a user may say about the site's own alarms."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ingest.contract.topics import is_name

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_MOST_TEXT = 500


class RuleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule, judged on closed windows of the series that match all four patterns (shell patterns, * by default).

    `threshold` compares the window's `statistic`, `rate` its change per second since the window before; either enters
    beyond `above` (or below `below`) and leaves on the other side of `leave`. `flat`: values that differ by no more than
    `within`, in the window and since the one before. `silence`: the device's lease has run out.
    """

    name: str
    kind: Literal["threshold", "rate", "flat", "silence"] = "threshold"
    metric: str = "*"
    device: str = "*"
    group: str = "*"
    hardware: str = "*"
    statistic: Literal["mean", "min", "max", "last", "sum", "count"] = "mean"
    above: float | None = None
    below: float | None = None
    leave: float | None = None
    """Where the alarm ends; without it, at the value at which it begins."""
    within: float = 0.0
    for_windows: int = 1
    """So many windows in a row must enter before the alarm fires."""
    severity: Literal["info", "warning", "error", "critical"] = "warning"
    message: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if not is_name(self.name):
            raise ValueError(f"name is {self.name!r}, expected letters, digits and _.:@-")
        if len(self.message) > _MOST_TEXT:
            raise ValueError(f"message has {len(self.message)} characters, expected at most {_MOST_TEXT}")
        if self.for_windows < 1:
            raise ValueError(f"for_windows is {self.for_windows}, expected at least 1")
        if not self.within >= 0:
            raise ValueError(f"within is {self.within}, expected at least 0")
        self._check_bounds()

    def _check_bounds(self) -> None:
        bounds = [name for name in ("above", "below") if getattr(self, name) is not None]
        compares = self.kind in ("threshold", "rate")
        if compares and len(bounds) != 1:
            raise ValueError(
                f"a rule of kind {self.kind} needs either above or below, found {' and '.join(bounds) or 'neither'}"
            )
        if not compares and (bounds or self.leave is not None):
            raise ValueError(f"a rule of kind {self.kind} has no above, below or leave: remove them")
        if self.above is not None and self.leave is not None and self.leave > self.above:
            raise ValueError(f"leave is {self.leave}, expected at most above, {self.above}")
        if self.below is not None and self.leave is not None and self.leave < self.below:
            raise ValueError(f"leave is {self.leave}, expected at least below, {self.below}")
        if self.kind == "silence" and (self.metric != "*" or self.for_windows != 1):
            raise ValueError(
                "a rule of kind silence is about whole devices, and its time is edge.lease_s: remove metric and for_windows"
            )


class AlarmWebhookConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver on the site; bodies are signed with HMAC-SHA256 under the secret in `secret_file`."""

    url: str
    secret_file: str
    timeout_s: float = 5.0
    most_wait_s: float = 60.0
    """The longest pause between two tries while the receiver is away."""
    signature_header: str = "X-Tidegate-Signature"
    timestamp_header: str = "X-Tidegate-Timestamp"

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or any(character <= " " for character in self.url):
            raise ValueError(f"url begins with {self.url[:12]!r}, expected for example http://127.0.0.1:9000/alarms")
        for field in ("timeout_s", "most_wait_s"):
            if not getattr(self, field) > 0:
                raise ValueError(f"{field} is {getattr(self, field)}, expected more than 0 seconds")
        for header in (self.signature_header, self.timestamp_header):
            if not _HEADER.fullmatch(header):
                raise ValueError(f"{header!r} cannot be a header's name, expected for example X-Signature")


class AlarmsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who on the site hears of alarms. `mqtt`: retained, at `tidegate/v1/{site}/{device}/alarm`."""

    mqtt: bool = True
    webhook: AlarmWebhookConfig | None = None


def check_rules(rules: list[RuleConfig]) -> None:
    """Raises ValueError when two rules have one name."""
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"more than one rule is called {twice[0]!r}: give each a name of its own")
