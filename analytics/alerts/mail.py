"""Mails over SMTP: one for each group, its Message-ID made of the group's key, so that a mail again is known as the same."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from analytics.alerts.network import ForbiddenAddressError, Network
from analytics.alerts.notifier import GROUP_MOST, PermanentlyRefusedError, TemporarilyRefusedError
from analytics.alerts.telling import text, title

if TYPE_CHECKING:
    from analytics.alerts.notifier import Notification
    from analytics.alerts.receiver_config import MailConfig
    from ingest.runtime.clock import Clock

_FOR_GOOD = 500


class Mail:
    """Delivers to one list of people through one server."""

    def __init__(self, config: MailConfig, password: str, clock: Clock, network: Network | None = None) -> None:
        self.name, self.most_wait_s = config.name, config.most_wait_s
        self.group_most, self.is_tracker = GROUP_MOST, False
        self._config, self._password, self._clock = config, password, clock
        self._network = network or Network()

    async def send(self, notification: Notification) -> None:
        """One mail. Raises TemporarilyRefusedError, PermanentlyRefusedError."""
        message = self._message(notification)
        try:
            # The library waits in its own thread; each step of it is limited by the time-out.
            await asyncio.to_thread(self._deliver, message)
        except smtplib.SMTPRecipientsRefused as error:
            raise _refusal(max(code for code, _ in error.recipients.values()), str(error)) from error
        except smtplib.SMTPAuthenticationError as error:
            raise TemporarilyRefusedError(f"the server takes neither user nor password: {error.smtp_code}") from error
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, _said(error)) from error
        except ForbiddenAddressError as error:
            raise TemporarilyRefusedError(str(error)) from error
        except (smtplib.SMTPException, OSError) as error:
            raise TemporarilyRefusedError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Nothing is kept open."""

    def _deliver(self, message: EmailMessage) -> None:
        config = self._config
        trusted = ssl.create_default_context(cafile=config.ca_file or None)
        with self._connected(trusted) as server:
            if config.security == "starttls":
                server.starttls(context=trusted)
            if config.username:
                server.login(config.username, self._password)
            server.send_message(message)

    def _connected(self, trusted: ssl.SSLContext) -> smtplib.SMTP:
        config, network = self._config, self._network
        if config.security == "tls":
            return _GuardedTls(network, config.host, config.port, timeout=config.timeout_s, context=trusted)
        return _Guarded(network, config.host, config.port, timeout=config.timeout_s)

    def _message(self, notification: Notification) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = title(notification)
        message["From"], message["To"] = self._config.sender, ", ".join(self._config.recipients)
        message["Date"] = format_datetime(datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC))
        message["Message-ID"] = f"<{''.join(c if c.isalnum() else '-' for c in notification.key)}@tidegate>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Tidegate-Key"] = notification.key
        message.set_content(text(notification))
        return message


class _Guarded(smtplib.SMTP):
    """Contacts allowed addresses only; TLS still asks for the certificate of the name."""

    def __init__(self, network: Network, *args: Any, **more: Any) -> None:
        self._network = network
        super().__init__(*args, **more)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        # The library's seam for connections; a test fails should it move.
        failure = OSError(f"{host} has no address")
        for address in self._network.allowed(host, socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)):
            try:
                return super()._get_socket(address, port, timeout)  # type: ignore[misc, no-any-return]  # not in the stubs
            except OSError as error:
                failure = error
        raise failure


class _GuardedTls(_Guarded, smtplib.SMTP_SSL):
    """The same, over TLS from the first byte."""


def _refusal(code: int, said: str) -> Exception:
    kind = PermanentlyRefusedError if code >= _FOR_GOOD else TemporarilyRefusedError
    return kind(f"answered {code}: {said}"[:200])


def _said(error: smtplib.SMTPResponseException) -> str:
    return error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
