"""What durations and addresses in a configuration must be."""

from __future__ import annotations

import math
from urllib.parse import urlsplit


def require_durations(**durations: float) -> None:
    """Raises ValueError for what is no duration."""
    for name, seconds in durations.items():
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"{name} is {seconds}, expected at least 0 seconds")


def require_positive(**durations: float) -> None:
    """Raises ValueError for what is no duration, or none at all."""
    for name, seconds in durations.items():
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(f"{name} is {seconds}, expected more than 0 seconds")


def require_url(url: str) -> None:
    """Raises ValueError for what is no address of a web server."""
    # The address may hold a secret: the message names no more of it than its beginning.
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character <= " " for character in url):
        raise ValueError(f"{url[:12]!r}… is no address, expected http://… or https://…")
