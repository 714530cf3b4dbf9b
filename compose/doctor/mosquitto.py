"""Which settings of a Mosquitto lose messages that it has acknowledged to devices (mosquitto.conf(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose.doctor.finding import good, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose.doctor.finding import Finding

ABOUT = "broker"
DEFAULT_AUTOSAVE_S = 1800
DEFAULT_QUEUE = 1000
LONGEST_AUTOSAVE_S = 60
LEAST_QUEUE = 100_000


def read_settings(text: str) -> dict[str, str]:
    """The file's settings by name, the last one of a name; comments and empty lines left out."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.split(None, 1) for line in lines if line and not line.startswith("#"))
    return {pair[0]: pair[1].strip() if len(pair) > 1 else "" for pair in pairs}


def findings(settings: dict[str, str]) -> Iterator[Finding]:
    """What the settings mean for messages that wait for the gateway."""
    yield _persistence(settings)
    yield _autosave(settings)
    yield _queue(settings)
    if _number(settings, "max_queued_bytes", 0):
        yield warning(
            ABOUT,
            f"max_queued_bytes {settings['max_queued_bytes']}: what waits beyond it is thrown away",
            "max_queued_bytes 0, with room on the disk",
        )
    if "persistent_client_expiration" in settings:
        yield warning(
            ABOUT,
            f"persistent_client_expiration {settings['persistent_client_expiration']}: a gateway away for longer loses "
            "its session and all that waits in it",
            "leave it out, or choose longer than any outage",
        )


def _persistence(settings: dict[str, str]) -> Finding:
    if settings.get("persistence", "false").lower() == "true":
        return good(ABOUT, "persistence true: what waits survives a restart")
    return warning(ABOUT, "persistence is off: a restart of the broker loses all that waits", "persistence true")


def _autosave(settings: dict[str, str]) -> Finding:
    interval = _number(settings, "autosave_interval", DEFAULT_AUTOSAVE_S)
    by_change = settings.get("autosave_on_changes", "false").lower() == "true"
    unit = "changes" if by_change else "seconds"
    if 0 < interval <= (1 if by_change else LONGEST_AUTOSAVE_S):
        return good(ABOUT, f"autosave_interval {interval} {unit}")
    lost = "everything since its start" if interval == 0 else f"up to the last {interval} {unit}"
    remedy = "autosave_on_changes true and autosave_interval 1, or the gateway's own listener, which commits first"
    return warning(ABOUT, f"autosave_interval {interval}: a crash of the broker loses {lost}", remedy)


def _queue(settings: dict[str, str]) -> Finding:
    queue = _number(settings, "max_queued_messages", DEFAULT_QUEUE)
    if queue == 0 or queue >= LEAST_QUEUE:
        return good(ABOUT, f"max_queued_messages {queue or 'unlimited'}")
    found = f"max_queued_messages {queue}: while the gateway is away, what comes after that many is thrown away"
    return warning(ABOUT, found, "max_queued_messages 0")


def _number(settings: dict[str, str], name: str, default: int) -> int:
    value = settings.get(name, "")
    return int(value) if value.isdigit() else default
