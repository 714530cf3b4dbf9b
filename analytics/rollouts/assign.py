"""Who gets a release first: a draw by hash within each stratum, the same wherever and whenever it is drawn."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from ingest.contract.events import Arm

if TYPE_CHECKING:
    from collections.abc import Iterable


class Candidate(NamedTuple):
    """A device that a rollout may take, with what it has in common with others."""

    site: str
    device: str
    hardware: str
    group: str


class Assignment(NamedTuple):
    """A device's stratum and arm."""

    candidate: Candidate
    stratum: str
    arm: Arm


def stratum_name(candidate: Candidate) -> str:
    """`site/hardware/group`, each part percent-encoded: only devices of one stratum are compared with each other."""
    return "/".join(quote(part, safe=" +:@") for part in (candidate.site, candidate.hardware, candidate.group))


def draw_arms(candidates: Iterable[Candidate], *, rollout: str, seed: int, share: float) -> list[Assignment]:
    """Assign every candidate to an arm; sorted by stratum and device.

    In each stratum the devices are ordered by SHA-256 of (seed, rollout, device) and the first floor(share·n + u) are
    canaries, where u in [0, 1) is the stratum's own hash: so each device is canary with probability `share`, strata of
    like size are alike balanced, and one device more or fewer changes the arm of at most one other.
    """
    strata: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        strata[stratum_name(candidate)].append(candidate)
    drawn = []
    for stratum, members in sorted(strata.items()):
        order = sorted(members, key=lambda c: hash_of(seed, rollout, "device", c.site, c.device))
        canaries = math.floor(share * len(members) + hash_of(seed, rollout, "stratum", stratum))
        drawn += [Assignment(c, stratum, Arm.CANARY if i < canaries else Arm.CONTROL) for i, c in enumerate(order)]
    return sorted(drawn, key=lambda a: (a.stratum, a.candidate.device))


def hash_of(*parts: str | int) -> float:
    """The first 53 bits of SHA-256 as a number in [0, 1); the lengths keep ("a", "bc") and ("ab", "c") apart."""
    text = "".join(f"{len(str(part))}:{part}" for part in parts)
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 11) / (1 << 53)
