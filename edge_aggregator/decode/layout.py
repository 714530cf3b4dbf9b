"""Reading messages whose metric names are known beforehand: the JSON goes straight into numbers, without a dictionary.

A layout takes exactly `{"ts": integer, "metrics": {every name once or more, each a number}}`. Whatever else a payload
is, text, true, null or a name too many included, it is refused here and looked at in the ordinary way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

REFUSED = (msgspec.ValidationError, msgspec.DecodeError)
"""What reading raises for a payload that has another layout."""
_MOST_LAYOUTS = 256
_MOST_NAMES = 256


class Way(NamedTuple):
    """How the messages of one topic are read.

    `read` gives an object with `ts` (int) and `metrics` (a struct of floats, in the order of `series`, int64), `pack`
    makes float64 in native order of those.
    """

    read: Callable[[bytes], Any]
    pack: Callable[..., bytes]
    series: NDArray[np.int64]


class Layouts:
    """Readers by metric names; devices of one model share theirs. Bounded: what comes when it is full has none."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Callable[[bytes], Any] | None] = {}

    def reader(self, names: tuple[str, ...]) -> Callable[[bytes], Any] | None:
        """What reads messages with these metric names; None for names without one."""
        if names not in self._known:
            if len(self._known) >= _MOST_LAYOUTS or len(names) > _MOST_NAMES:
                return None
            self._known[names] = _reader(names)
        return self._known[names]

    def clear(self) -> None:
        """Begin anew."""
        self._known.clear()


def _reader(names: tuple[str, ...]) -> Callable[[bytes], Any] | None:
    fields = [(f"m{number}", float) for number in range(len(names))]
    renamed = {field: name for (field, _), name in zip(fields, names, strict=True)}
    try:
        metrics = msgspec.defstruct("Metrics", fields, rename=renamed, forbid_unknown_fields=True, gc=False)
    except ValueError:  # names that would have to be escaped in JSON
        return None
    message = msgspec.defstruct("Message", [("ts", int), ("metrics", metrics)], forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(message).decode
