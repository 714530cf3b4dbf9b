"""Which addresses receivers may have."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
KINDS = ("public", "private", "loopback")


class ForbiddenAddressError(OSError):
    """A name leads to addresses where no receiver may be."""


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

    def allowed(self, host: str, found: Iterable[tuple[object, ...]]) -> list[str]:
        """Of what `getaddrinfo` found for `host`, the allowed addresses in its order. Raises ForbiddenAddressError for none."""
        addresses = addresses_of(found)
        allowed = [one for one in addresses if self.allows(ipaddress.ip_address(one), host)]
        if addresses and not allowed:
            raise forbidden(host, addresses[0])
        return allowed

    def require_all(self, host: str, found: Iterable[tuple[object, ...]]) -> None:
        """For what somebody else will connect to, by a choice of his own. Raises ForbiddenAddressError."""
        for address in addresses_of(found):
            if not self.allows(ipaddress.ip_address(address), host):
                raise forbidden(host, address)


def addresses_of(found: Iterable[tuple[object, ...]]) -> list[str]:
    """The addresses in what `getaddrinfo` found, each once, without their zones."""
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))  # type: ignore[index]  # the last of five


def forbidden(host: str, address: str) -> ForbiddenAddressError:
    """The refusal, in the words that all receivers use."""
    return ForbiddenAddressError(
        f"{host} is {address}, where no receiver may be; analytics.alerts.network.allow says which may"
    )


def names_loopback(host: str) -> bool:
    """Whether this is how one writes this very machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
