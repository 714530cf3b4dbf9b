"""Chats (Slack, Teams, Telegram, ntfy and a hundred more) through apprise, which is not installed unless it is asked for."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from analytics.alerts.network import ForbiddenAddressError, Network
from analytics.alerts.notifier import GROUP_MOST, TemporarilyRefusedError
from analytics.alerts.telling import text, title
from ingest.contract.events import AlertState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.alerts.notifier import Notification
    from analytics.alerts.receiver_config import ChatConfig


_SERVICES = frozenset({"cloud", "official", "t2bot"})
"""apprise's modes in which an address may name a host, and this one names none."""


class ChatError(ValueError):
    """A chat that cannot be used: apprise is not there, or does not know the address."""


class Chat:
    """Delivers to all addresses of one file; `urls` are secrets, no error repeats more than the name of a host.

    apprise makes its own connections: the names of hosts are looked at just before, and no redirect is followed.
    """

    def __init__(self, config: ChatConfig, urls: Sequence[str], network: Network | None = None) -> None:
        self.name, self.most_wait_s = config.name, config.most_wait_s
        self.group_most, self.is_tracker = GROUP_MOST, False
        self._timeout_s, self._network = config.timeout_s, network or Network()
        self._apprise = _apprise()
        self._asset = self._apprise.AppriseAsset(http_redirects=False)
        self._chats = []
        for number, url in enumerate(urls, 1):
            chat = self._apprise.Apprise.instantiate(url, asset=self._asset)
            if chat is None:
                raise ChatError(f"{config.urls_file}: line {number} is no address that apprise knows")
            self._chats.append(chat)

    async def send(self, notification: Notification) -> None:
        """To all of them. Raises TemporarilyRefusedError unless all took it."""
        resolved = notification.alerts[0].state is AlertState.RESOLVED
        kind = self._apprise.NotifyType.SUCCESS if resolved else self._apprise.NotifyType.FAILURE
        sender = self._apprise.Apprise(self._chats, asset=self._asset)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._require_allowed()
                taken = await sender.async_notify(
                    body=text(notification), title=title(notification), notify_type=kind, interpret_escapes=False
                )
        except TimeoutError as error:
            raise TemporarilyRefusedError("the chat did not take it in time") from error
        except ForbiddenAddressError as error:
            raise TemporarilyRefusedError(str(error)) from error
        if not taken:
            raise TemporarilyRefusedError("the chat did not take it; apprise's log says why")

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _require_allowed(self) -> None:
        loop = asyncio.get_running_loop()
        for host in {host for chat in self._chats for host in _hosts(chat)}:
            try:
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except OSError:
                continue  # no address of this name: apprise will not find one either
            self._network.require_all(host, found)


def _hosts(chat: Any) -> set[str]:
    # Where an address names no host, as of Slack, the host is the service's own, and what stands in its place is a secret.
    is_named = any("{host}" in template for template in chat.templates) and getattr(chat, "mode", "") not in _SERVICES
    named = {chat.host} if is_named else set()
    return {host for host in named | {getattr(chat, "smtp_host", None)} if host}


def _apprise() -> Any:
    try:
        import apprise  # noqa: PLC0415 - only who has chats needs it
    except ImportError as error:
        raise ChatError("chats need apprise: pip install 'tidegate[chat]'") from error
    return apprise
