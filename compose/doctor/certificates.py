"""TLS: certificates that belong to their keys, and how long they are good for."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509

from compose.doctor.finding import bad, good, warning
from ingest.runtime.log.kafka.config import SYSTEM_CA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose.doctor.finding import Finding

ABOUT = "tls"
PAIRS = (("tls_certificate", "tls_key"), ("cert_file", "key_file"))
AUTHORITIES = ("tls_ca", "ca_file")
SOON_DAYS = 30
DAY_MS = 86_400_000


def look_at_certificates(config: msgspec.Struct, now: int) -> Iterator[Finding]:
    """One finding for each file of certificates that the settings name, and for each pair with its key; `now` in ms."""
    for place, struct in _structs(config, ""):
        for certificate, key in PAIRS:
            if getattr(struct, certificate, None) and getattr(struct, key, None):
                yield _pair(place + certificate, getattr(struct, certificate), getattr(struct, key), now)
        for name in AUTHORITIES:
            if (file := getattr(struct, name, None)) and file != SYSTEM_CA:
                yield _expiry(place + name, file, now)


def _pair(place: str, certificate: str, key: str, now: int) -> Finding:
    try:
        # A password of "" instead of a question on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        return bad(ABOUT, f"{place}: {certificate} with {key}: {_reason(error)}", "name a certificate and its own key")
    return _expiry(place, certificate, now)


def _expiry(place: str, file: str, now: int) -> Finding:
    try:
        known = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        return bad(ABOUT, f"{place}: {file}: {_reason(error)}", "put certificates in PEM there")
    first = min(known, key=lambda one: one.not_valid_after_utc)
    days = (first.not_valid_after_utc.timestamp() * 1000 - now) / DAY_MS
    found = f"{place}: {file} is good until {first.not_valid_after_utc:%Y-%m-%d}"
    if days < 0:
        return bad(ABOUT, f"{place}: {file} expired on {first.not_valid_after_utc:%Y-%m-%d}", "renew it")
    if max(one.not_valid_before_utc for one in known).timestamp() * 1000 > now:
        return bad(ABOUT, f"{place}: {file} is not valid yet", "is this machine's clock right?")
    return warning(ABOUT, f"{found}, {days:.0f} days", "renew it in time") if days < SOON_DAYS else good(ABOUT, found)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)


def _structs(value: object, path: str) -> Iterator[tuple[str, msgspec.Struct]]:
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _structs(inner, f"{path.removesuffix('.')}[{index}].")
    elif isinstance(value, msgspec.Struct):
        yield path, value
        for name in value.__struct_fields__:
            yield from _structs(getattr(value, name), f"{path}{name}.")
