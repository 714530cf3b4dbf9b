"""Which addresses receivers may have."""

from __future__ import annotations

import ipaddress

import msgspec

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
KINDS = ("public", "private", "loopback")


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`allow`: `public`, `private`, `loopback` addresses, and networks like 10.1.0.0/16.

    Loopback is allowed, too, where a setting names it (127.0.0.1, ::1, localhost). Link-local addresses, where clouds keep
    their credentials, multicast and unspecified ones are allowed only by a network that holds them.
    """

    allow: list[str] = msgspec.field(default_factory=lambda: ["public", "private"])

    def __post_init__(self) -> None:
        """Raises ValueError for what is no network."""
        for text in self.allow:
            if text not in KINDS:
                try:
                    ipaddress.ip_network(text)
                except ValueError as error:
                    raise ValueError(
                        f"allow: {text!r}: expected {', '.join(KINDS)} or a network, 10.1.0.0/16"
                    ) from error

    def allows(self, address: Address, host: str) -> bool:
        """Whether a receiver at `host` may have this address."""
        plain = getattr(address, "ipv4_mapped", None) or address
        networks = (ipaddress.ip_network(text) for text in self.allow if text not in KINDS)
        if any(plain in network for network in networks):
            return True
        if plain.is_loopback:
            return "loopback" in self.allow or names_loopback(host)
        if plain.is_link_local or plain.is_multicast or plain.is_unspecified or plain.is_reserved:
            return False
        return ("private" if plain.is_private else "public") in self.allow


def names_loopback(host: str) -> bool:
    """Whether this is how one writes this very machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
