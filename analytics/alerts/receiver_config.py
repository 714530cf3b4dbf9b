"""What a user may say about the receivers of alerts."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from analytics.alerts.checks import require_positive, require_url

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


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
    ca_file: str = ""
    proxy: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        require_url(self.url)
        _require_proxy(self.proxy)
        require_positive(timeout_s=self.timeout_s, most_wait_s=self.most_wait_s)
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
    ca_file: str = ""
    proxy: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if not self.urls:
            raise ValueError("urls is empty, expected the address of at least one replica")
        for url in self.urls:
            require_url(url)
        _require_proxy(self.proxy)
        require_positive(timeout_s=self.timeout_s, most_wait_s=self.most_wait_s, resend_s=self.resend_s)


class PagerDutyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An integration of PagerDuty (Events API v2): each alert by itself, its acknowledgement, too."""

    name: str
    routing_key_file: str
    url: str = "https://events.pagerduty.com/v2/enqueue"
    timeout_s: float = 10.0
    most_wait_s: float = 60.0
    ca_file: str = ""
    proxy: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        require_url(self.url)
        _require_proxy(self.proxy)
        require_positive(timeout_s=self.timeout_s, most_wait_s=self.most_wait_s)


class OpsgenieConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Opsgenie (alert API v2): each alert by itself, its acknowledgement, too; `responders` are teams."""

    name: str
    api_key_file: str
    url: str = "https://api.opsgenie.com"
    responders: list[str] = []
    timeout_s: float = 10.0
    most_wait_s: float = 60.0
    ca_file: str = ""
    proxy: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        require_url(self.url)
        _require_proxy(self.proxy)
        require_positive(timeout_s=self.timeout_s, most_wait_s=self.most_wait_s)


class MailConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mails through an SMTP server: over TLS from the first byte (`tls`), from STARTTLS on, or not at all (`none`)."""

    name: str
    host: str
    sender: str
    recipients: list[str]
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    timeout_s: float = 20.0
    most_wait_s: float = 300.0

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        require_positive(timeout_s=self.timeout_s, most_wait_s=self.most_wait_s)
        for address in (self.sender, *self.recipients):
            if "@" not in address or any(character <= " " for character in address):
                raise ValueError(f"{address!r} is no address, expected somebody@example.org")
        if not self.recipients:
            raise ValueError("recipients is empty, expected at least one address")
        if not 0 < self.port <= 65_535:  # noqa: PLR2004 - the highest TCP port
            raise ValueError(f"port is {self.port}, expected 1 to 65535")
        if bool(self.username) is not bool(self.password_file):
            raise ValueError("username and password_file: expected both or neither")
        if self.username and self.security == "none":
            raise ValueError("security is 'none': a password is never sent without TLS")


class ChatConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Chats through apprise: a line of `urls_file` for each (`slack://…`, `tgram://…`, `ntfys://…`); a secret."""

    name: str
    urls_file: str
    timeout_s: float = 30.0
    most_wait_s: float = 300.0

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        require_positive(timeout_s=self.timeout_s, most_wait_s=self.most_wait_s)


class HeartbeatConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dead man's switch: `url` gets a POST every `every_s` for as long as alerts are taken and delivered."""

    url: str
    every_s: float = 60.0
    timeout_s: float = 10.0
    ca_file: str = ""
    proxy: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        require_url(self.url)
        _require_proxy(self.proxy)
        require_positive(every_s=self.every_s, timeout_s=self.timeout_s)


ReceiverConfig = WebhookConfig | AlertmanagerConfig | PagerDutyConfig | OpsgenieConfig | MailConfig | ChatConfig


def _require_proxy(proxy: str) -> None:
    if proxy:
        require_url(proxy)
