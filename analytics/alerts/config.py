"""What a user may say about alerts and their receivers."""

from __future__ import annotations

import math
import re
from urllib.parse import urlsplit

import msgspec

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _require_durations(**durations: float) -> None:
    for name, seconds in durations.items():
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"{name} is {seconds}, expected at least 0 seconds")


def _require_positive(**durations: float) -> None:
    for name, seconds in durations.items():
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(f"{name} is {seconds}, expected more than 0 seconds")


def _require_url(url: str) -> None:
    # The address may hold a secret: the message names no more of it than its beginning.
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character <= " " for character in url):
        raise ValueError(f"{url[:12]!r}… is no address, expected http://… or https://…")


class RuleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`for_s`: how long a condition must last before it fires; `keep_firing_s`: how long it must be over to resolve."""

    severity: str = "warning"
    for_s: float = 0.0
    keep_firing_s: float = 0.0
    enabled: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if self.severity not in {"critical", "error", "warning", "info"}:
            raise ValueError(f"severity is {self.severity!r}, expected critical, error, warning or info")
        _require_durations(for_s=self.for_s, keep_firing_s=self.keep_firing_s)


class WebhookConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver of Alertmanager's webhook format (version 4), signed with the secret in `secret_file`.

    The signature is HMAC-SHA256 over `{timestamp}:{body}`. `most_wait_s`: the longest pause between two tries, unless
    the receiver asks for a longer one (`Retry-After`, at most an hour).
    """

    name: str
    url: str
    secret_file: str
    timeout_s: float = 10.0
    most_wait_s: float = 60.0
    signature_header: str = "X-Tidegate-Signature"
    timestamp_header: str = "X-Tidegate-Timestamp"

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        _require_url(self.url)
        _require_positive(timeout_s=self.timeout_s, most_wait_s=self.most_wait_s)
        for header in (self.signature_header, self.timestamp_header):
            if not _HEADER.fullmatch(header):
                raise ValueError(f"{header!r} cannot be a header's name, expected for example X-Signature")


class AlertmanagerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An Alertmanager with all its replicas: each gets every alert, and again every `resend_s` while it fires."""

    name: str
    urls: list[str]
    username: str = ""
    password_file: str = ""
    timeout_s: float = 10.0
    most_wait_s: float = 60.0
    resend_s: float = 60.0

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if not self.urls:
            raise ValueError("urls is empty, expected the address of at least one replica")
        for url in self.urls:
            _require_url(url)
        _require_positive(timeout_s=self.timeout_s, most_wait_s=self.most_wait_s, resend_s=self.resend_s)


class AlertsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules and who is told. Durations in seconds.

    `site_dark_s`: a gateway unheard for so long makes its site dark. `group_wait_s`: alerts of one name that come within
    this time travel together. `forget_s`: how long what ended is remembered. `link`: the console's address, for links.
    """

    webhooks: list[WebhookConfig] = []
    alertmanagers: list[AlertmanagerConfig] = []
    metric_anomaly: RuleConfig = RuleConfig(severity="warning")
    device_silent: RuleConfig = RuleConfig(severity="warning")
    site_dark: RuleConfig = RuleConfig(severity="critical")
    rollout_failed: RuleConfig = RuleConfig(severity="critical")
    ledger_breach: RuleConfig = RuleConfig(severity="error", for_s=60.0)
    site_dark_s: float = 60.0
    group_wait_s: float = 1.0
    forget_s: float = 7 * 86_400.0
    link: str = ""
    member: str = "alerts-0"
    tick_s: float = 0.2

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        _require_durations(group_wait_s=self.group_wait_s)
        _require_positive(site_dark_s=self.site_dark_s, forget_s=self.forget_s, tick_s=self.tick_s)
        names = [webhook.name for webhook in self.webhooks] + [manager.name for manager in self.alertmanagers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"more than one receiver is called {twice[0]!r}: give each a name of its own")
