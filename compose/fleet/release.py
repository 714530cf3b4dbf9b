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
    is the last one; `starts` False: a device hangs in it until its watchdog bites; `complaint`: what its own health check
    says.
    """

    version: str
    leak_percent_per_s: dict[str, float] = {}
    brick_share: float = 0.0
    starts: bool = True
    complaint: str = ""

    def image(self) -> bytes:
        """What is written to a slot."""
        return f"image {self.version}".encode()

    def digest(self) -> str:
        """The image's digest, as a registry would name it."""
        return digest_of(self.image())


class Registry:
    """The images that devices can install, by version."""

    def __init__(self, releases: Iterable[Release]) -> None:
        self._releases = {release.version: release for release in releases}

    def __getitem__(self, version: str) -> Release:
        return self._releases[version]

    def fetch(self, version: str) -> bytes:
        """An image as it is downloaded; nothing when there is none of that version."""
        release = self._releases.get(version)
        return release.image() if release else b""

    def release_of(self, image: bytes) -> Release | None:
        """What a slot's content is; None for what is no whole image."""
        return next((release for release in self._releases.values() if release.image() == image), None)


def digest_of(image: bytes) -> str:
    """`sha256:` and the hexadecimal digits."""
    return "sha256:" + hashlib.sha256(image).hexdigest()
