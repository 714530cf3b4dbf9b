"""Chats (Slack, Teams, Telegram, ntfy and a hundred more) through apprise, which is not installed unless it is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from analytics.alerts.notifier import GROUP_MOST, TemporarilyRefusedError
from analytics.alerts.telling import text, title
from ingest.contract.events import AlertState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.alerts.notifier import Notification
    from analytics.alerts.receiver_config import ChatConfig


class ChatError(ValueError):
    """A chat that cannot be used: apprise is not there, or does not know the address."""


class Chat:
    """Delivers to all addresses of one file; `urls` are secrets, no error repeats them."""

    def __init__(self, config: ChatConfig, urls: Sequence[str]) -> None:
        self.name, self.most_wait_s = config.name, config.most_wait_s
        self.group_most, self.is_tracker = GROUP_MOST, False
        self._timeout_s, self._urls = config.timeout_s, list(urls)
        self._apprise = _apprise()
        for number, url in enumerate(self._urls, 1):
            if self._apprise.Apprise.instantiate(url) is None:
                raise ChatError(f"{config.urls_file}: line {number} is no address that apprise knows")

    async def send(self, notification: Notification) -> None:
        """To all of them. Raises TemporarilyRefusedError unless all took it."""
        resolved = notification.alerts[0].state is AlertState.RESOLVED
        kind = self._apprise.NotifyType.SUCCESS if resolved else self._apprise.NotifyType.FAILURE
        sender = self._apprise.Apprise()
        for url in self._urls:
            sender.add(url)
        try:
            async with asyncio.timeout(self._timeout_s):
                taken = await sender.async_notify(
                    body=text(notification), title=title(notification), notify_type=kind, interpret_escapes=False
                )
        except TimeoutError as error:
            raise TemporarilyRefusedError("the chat did not take it in time") from error
        if not taken:
            raise TemporarilyRefusedError("the chat did not take it; apprise's log says why")

    async def close(self) -> None:
        """Nothing is kept open."""


def _apprise() -> Any:
    try:
        import apprise  # noqa: PLC0415 - only who has chats needs it
    except ImportError as error:
        raise ChatError("chats need apprise: pip install 'tidegate[chat]'") from error
    return apprise
