"""How many examples a property test looks at: its own number, or many times that in `make prove`."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("TIDEGATE_PROVE_EXAMPLES", "1"))


def examples(number: int) -> int:
    """`number`, or `TIDEGATE_PROVE_EXAMPLES` times as many."""
    return number * TIMES
