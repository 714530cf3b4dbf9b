"""What the API is told: where it listens, who may ask, how much it keeps in memory."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from ingest.contract.topics import is_name
from ingest.runtime.addresses import is_loopback

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_PORT = 65_535


class Scope(StrEnum):
    """What a token allows; nothing is allowed by default."""

    READ = "read"  # fleet, alerts, incidents, rollouts, ledger, series, anomalies, events
    GATES = "gates"  # gate queries, the Prometheus query, Flagger's hooks
    ROLLOUTS_WRITE = "rollouts:write"  # create, pause, resume and end rollouts
    ROLLOUTS_APPROVE = "rollouts:approve"  # approve a rollback
    ALERTS_WRITE = "alerts:write"  # look after an alert, silence some for a time, make maintenance windows
    FEEDBACK_WRITE = "feedback:write"  # say that an anomaly is none, and take it back
    SAMPLES_PULL = "samples:pull"  # ask gateways for raw samples, and take them
    TOKENS_WRITE = "tokens:write"  # make, list and revoke tokens
    METRICS = "metrics"  # the process's own metrics


class ApiConfigError(ValueError):
    """A configuration that cannot be served; the text names the field, what was found and what to do."""


class TokenConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bearer token: only the SHA-256 of it (64 hexadecimal digits) is kept here. It expires at `expires` (ms), 0: never."""

    name: str
    tenant: str
    sha256: str
    scopes: list[Scope]
    expires: int = 0


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The API's configuration.

    `port` 0 takes a free one. Beyond loopback `tls_certificate` and `tls_key` (PEM files) are needed. `public_url` is
    how people reach the API (a reverse proxy's address, say) and stands in the links of gate answers. The `*_kept`
    are counts per tenant: beyond them ended rollouts, resolved alerts and old anomalies make room; a further device is
    passed over and counted. `signing_key_file` (Ed25519, PEM) signs requests for raw samples; without it none are made.
    Answers to them take at most `samples_kept_bytes` per tenant, the oldest make room; incidents `incidents_kept_bytes`, those that
    ended longest ago make room. A token may ask `requests_per_s` times a second, `requests_at_once` after a pause. `cors_origins` are the
    pages of other origins whose scripts may ask (`https://host`); none unless named. Tokens that are made while
    it runs are kept in `tokens_file` (their digests).
    """

    host: str = "127.0.0.1"
    port: int = 8780
    public_url: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tokens: list[TokenConfig] = []
    devices_kept: int = 500_000
    rollouts_kept: int = 20_000
    alerts_kept: int = 20_000
    anomalies_kept: int = 10_000
    incidents_kept_bytes: int = 64 * 1024 * 1024
    streams: int = 64
    signing_key_file: str = ""
    samples_kept_bytes: int = 128 * 1024 * 1024
    requests_per_s: float = 1000.0
    requests_at_once: int = 2000
    cors_origins: list[str] = []
    tokens_file: str = ""


def check_config(config: ApiConfig) -> None:
    """Raises ApiConfigError with everything that is wrong, a line each."""
    problems = [*_binding_problems(config), *_token_problems(config.tokens)]
    kept = {"samples_kept_bytes": config.samples_kept_bytes, "incidents_kept_bytes": config.incidents_kept_bytes}
    problems += [f"api.{name}: found {size}, expected at least 1" for name, size in kept.items() if size < 1]
    if not (config.requests_per_s > 0 and config.requests_at_once >= 1):
        problems.append("api.requests_per_s, api.requests_at_once: expected more than 0, and at least 1")
    problems += [
        f"api.cors_origins: found {origin!r}, expected https://host or http://host, with a port where it has one"
        for origin in config.cors_origins
        if not _ORIGIN.fullmatch(origin)
    ]
    if problems:
        raise ApiConfigError("\n".join(problems))


def _binding_problems(config: ApiConfig) -> list[str]:
    problems = []
    if not 0 <= config.port <= MAX_PORT:
        problems.append(f"api.port: found {config.port}, expected 0 to {MAX_PORT}")
    if not is_loopback(config.host) and not (config.tls_certificate and config.tls_key):
        problems.append(
            f"api.host: {config.host} is reachable by other machines and tokens would travel in the clear; "
            "set tls_certificate and tls_key, or listen on 127.0.0.1 behind a proxy that ends TLS"
        )
    return problems


def _token_problems(tokens: list[TokenConfig]) -> list[str]:
    problems = []
    names = [token.name for token in tokens]
    for index, token in enumerate(tokens):
        at = f"api.tokens[{index}]"
        if not is_name(token.name) or names.index(token.name) != index:
            problems.append(f"{at}.name: found {token.name!r}, expected a name that no other token has")
        if not is_name(token.tenant):
            problems.append(f"{at}.tenant: found {token.tenant!r}, expected a tenant's name")
        if not _SHA256.fullmatch(token.sha256):
            problems.append(f"{at}.sha256: expected the 64 lower-case hexadecimal digits of the token's SHA-256")
        if not token.scopes:
            problems.append(f"{at}.scopes: empty, expected some of {', '.join(Scope)}")
    return problems
