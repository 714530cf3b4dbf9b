"""Detectors, and how their probabilities become one.

Each detector gets a share of the probability that the user's one number allows. The merged probability is the least of
`p / share`, at most 1: the weighted Bonferroni member of the family of Vovk and Wang (2020, Combining p-values via averaging),
which is valid however the detectors depend on each other. Whether it is as low as asked for is seen without computing it:
some detector's surprise reaches the threshold of its share.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Detector(IntEnum):
    """What looks at a series, in the order of the pools."""

    LEVEL = 0
    NOVELTY = 1
    STUCK = 2
    SILENCE = 3
    DRIFT = 4
    UNREST = 5


RARE = (Detector.STUCK, Detector.SILENCE)
"""Those that hardly any window has anything to say to: only what they count is pooled, all other windows are zeros."""
LATER = (*RARE, Detector.DRIFT, Detector.UNREST)
"""Those that lend their share to `LEVEL` as long as their pool does not speak."""


class Merged(NamedTuple):
    """Of each row, shape (rows,): the merged rarity f8, and the detector u1 that decides it."""

    rarity: NDArray[np.float64]
    detector: NDArray[np.uint8]


STRIDE = 8
"""Of a moving mean one window in so many is pooled: those between say nearly the same."""


class Terms(NamedTuple):
    """On which a detector speaks.

    `share` of the asked probability; its pool speaks from `points` times the configured number of windows on; it looks at
    series that were seen for `windows`; one in `stride` of these is pooled, and each of a pool's series has to have been so for
    `wait` more windows.
    """

    share: float
    points: int
    windows: int = 0
    stride: int = 1
    wait: int = 0


TERMS = (
    Terms(share=0.72, points=1),
    Terms(share=0.2, points=100, windows=400),
    Terms(share=0.02, points=100),
    Terms(share=0.02, points=100),
    Terms(share=0.02, points=100, windows=1440, stride=STRIDE, wait=720),
    Terms(share=0.02, points=100, windows=1440, stride=STRIDE, wait=720),
)
_SHARES = np.log(np.array([terms.share for terms in TERMS]))[:, None]


def merge(rarities: NDArray[np.float64]) -> Merged:
    """Of each row; `rarities` are minus the logarithms of probabilities, shape (detectors, rows), 0 of one that is silent."""
    weighed = rarities + _SHARES
    return Merged(np.maximum(weighed.max(axis=0), 0.0), weighed.argmax(axis=0).astype(np.uint8))
