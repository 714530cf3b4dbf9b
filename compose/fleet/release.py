"""What a firmware release does to simulated devices: the only thing that differs between a good and a bad one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A firmware image and its faults.

    `leak_percent_per_s`: memory lost per second, by hardware; `brick_share`: the probability that a reboot out of a leak
    is the last one.
    """

    version: str
    leak_percent_per_s: dict[str, float] = {}
    brick_share: float = 0.0

    def digest(self) -> str:
        """The image's digest, as a registry would name it."""
        return "sha256:" + hashlib.sha256(f"image {self.version}".encode()).hexdigest()


class Registry:
    """The images that devices can install, by version."""

    def __init__(self, releases: Iterable[Release]) -> None:
        self._releases = {release.version: release for release in releases}

    def __getitem__(self, version: str) -> Release:
        return self._releases[version]

    def has(self, version: str, digest: str) -> bool:
        """Whether there is such an image with that digest."""
        release = self._releases.get(version)
        return release is not None and release.digest() == digest
