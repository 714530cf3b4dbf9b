"""The files that a process's settings name: whether they are on this machine, private, and what they should be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ingest.runtime.config import ConfigError
from ingest.runtime.log.kafka.config import SYSTEM_CA
from ingest.runtime.secrets import SecretError, load_private_key, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compose.processes.config import Process


class _Content(NamedTuple):
    """What belongs into a file, how one is made, and what raises ValueError or OSError when something else is there."""

    expected: str
    make: str
    load: Callable[[str], object]


def _journal_keys(file: str) -> object:
    from edge_aggregator.journal.keys import KeySource, load_keyring  # noqa: PLC0415 - only a gateway has a journal

    return load_keyring(KeySource(file, ""), (), {})


def _credentials(file: str) -> object:
    from edge_aggregator.receive.mqtt.credentials import read_credentials  # noqa: PLC0415 - the same

    return read_credentials(file)


def _rules(file: str) -> object:
    from analytics.alerts.rules import BUILT_IN  # noqa: PLC0415 - only analytics has rules of one's own
    from analytics.rules.file import load_rules  # noqa: PLC0415 - the same

    return load_rules(Path(file), BUILT_IN)


def _bytes(file: str) -> bytes:
    return Path(file).read_bytes()


_SIGNING = _Content("an Ed25519 private key in PEM", "tidegate keys generate {file}", load_private_key)
_JOURNAL = _Content("base64 of 32 bytes", "(umask 077; openssl rand -base64 32 > {file})", _journal_keys)
_DEVICES = _Content("device:password lines", "", _credentials)
_SECRET = _Content("a secret that only its owner may read", "", read_secret)
_CERTIFICATES = _Content("certificates in PEM", "", _bytes)
_RULES = _Content("rules as `tidegate alerts starter` prints them", "tidegate alerts starter > {file}", _rules)
_CONTENTS = {
    "edge.key_file": _SIGNING,
    "signing_key_file": _SIGNING,
    "journal_key_file": _JOURNAL,
    "credentials_file": _DEVICES,
    "rules_file": _RULES,
    "key_file": _SECRET,
    "password_file": _SECRET,
    "secret_file": _SECRET,
    "token_file": _SECRET,
    "routing_key_file": _SECRET,
    "api_key_file": _SECRET,
    "urls_file": _SECRET,
    "tls_key": _SECRET,
    "tls_certificate": _CERTIFICATES,
    "cert_file": _CERTIFICATES,
    "ca_file": _CERTIFICATES,
    "tls_ca": _CERTIFICATES,
}
"""By a setting's whole path, or by its name wherever it stands."""


def require_files(path: Path, config: Process) -> None:
    """Raises ConfigError, a line each, unless every file that `config` (read from `path`) names can be used."""
    if found := list(file_problems(config)):
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in found))


def file_problems(config: Process) -> Iterator[str]:
    """Each file that cannot be used: its setting, what was found, what is expected and how it is made."""
    for place, file in _named(config, ""):
        content = _content(place)
        if content is not None and (problem := _problem(content, file)):
            yield f"{place}: {problem}"


def environment_problems(config: Process) -> Iterator[str]:
    """Variables that settings name and that are not set here; the process may well be given them where it runs."""
    variable = getattr(getattr(config, "edge", None), "journal_key_env", "")
    if variable and not os.environ.get(variable, "").split():
        yield f"edge.journal_key_env: ${variable} is not set here, expected {_JOURNAL.expected}"


def _problem(content: _Content, file: str) -> str:
    try:
        content.load(file)
    except (SecretError, UnicodeDecodeError, ValueError, OSError) as error:
        if Path(file).exists():
            return str(error)
        make = f"; make one: {content.make.format(file=file)}" if content.make else ""
        return f"{file}: cannot be read: No such file or directory; expected {content.expected}{make}"
    return ""


def _content(place: str) -> _Content | None:
    return _CONTENTS.get(place) or _CONTENTS.get(place.rsplit(".", 1)[-1])


def _named(value: Any, path: str) -> Iterator[tuple[str, str]]:
    # Every text that is set, with its setting's path.
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _named(inner, f"{path}[{index}]")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _named(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, str) and value and value != SYSTEM_CA:
        yield path, value
