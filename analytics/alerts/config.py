"""What a user may say about alerts and their receivers."""

from __future__ import annotations

import msgspec


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
        if min(self.for_s, self.keep_firing_s) < 0:
            raise ValueError("for_s and keep_firing_s: expected at least 0 seconds")


class WebhookConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver of Alertmanager's webhook format (version 4), signed with the secret in `secret_file`.

    The signature is HMAC-SHA256 over `{timestamp}:{body}`. `most_wait_s`: the longest pause between two tries.
    """

    name: str
    url: str
    secret_file: str
    timeout_s: float = 10.0
    most_wait_s: float = 60.0
    signature_header: str = "X-Tidegate-Signature"
    timestamp_header: str = "X-Tidegate-Timestamp"


class AlertmanagerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An Alertmanager with all its replicas: each gets every alert, and again every `resend_s` while it fires."""

    name: str
    urls: list[str]
    username: str = ""
    password_file: str = ""
    timeout_s: float = 10.0
    most_wait_s: float = 60.0
    resend_s: float = 60.0


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
