"""What the demo says of its memory is its own."""

from __future__ import annotations

import subprocess
import sys

PEAK = "from compose.demo.measure import peak_mib; print(peak_mib())"
MIB = 1 << 20


def test_what_a_large_parent_had_does_not_count_and_what_was_freed_does() -> None:
    large = bytearray(b"x" * (400 * MIB))
    small = float(subprocess.check_output([sys.executable, "-c", PEAK]))
    own = float(subprocess.check_output([sys.executable, "-c", f"x = b'x' * {300 * MIB}; del x; {PEAK}"]))
    assert len(large) == 400 * MIB
    assert small < 200
    assert own - small > 250
