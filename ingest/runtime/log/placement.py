"""Which partition a record goes to: that of its site, so that what a site says stays in order across its devices."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

P = TypeVar("P")


def place(key: bytes, partitions: Sequence[P]) -> P:
    """The partition of `key`, by CRC-32 of what stands before the first slash.

    Keys like `{site}/{device}` of one site share a partition: a gateway's heartbeat is read after every device event
    that it sent before.
    """
    return partitions[zlib.crc32(key.split(b"/", 1)[0]) % len(partitions)]
