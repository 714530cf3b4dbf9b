"""`tidegate check` looks for the files that settings name, and says of each what was found, what is expected, what to do."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from ingest.runtime.secrets import write_secret
from tests.unit.test_cli_commands import Files, refused, run

if TYPE_CHECKING:
    from pathlib import Path

JOURNAL_KEY = base64.b64encode(bytes(range(32)))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("kind", "setting", "told"),
    [
        ("edge", "edge.key_file", ["expected an Ed25519 private key in PEM", "tidegate keys generate {file}"]),
        ("edge", "edge.journal_key_file", ["expected base64 of 32 bytes", "openssl rand -base64 32 > {file}"]),
        ("edge", "edge.listener.credentials_file", ["expected device:password lines"]),
        ("edge", "observe.token_file", ["expected a secret that only its owner may read"]),
        ("analytics", "analytics.gate.signing_key_file", ["Ed25519", "tidegate keys generate {file}"]),
        ("api", "api.signing_key_file", ["Ed25519", "tidegate keys generate {file}"]),
    ],
)
def test_a_file_that_is_missing_is_told(files: Files, kind: str, setting: str, told: list[str]) -> None:
    missing = files.folder / "secrets" / "missing"
    path = files.write(kind, {setting: str(missing)})
    (line,) = refused("check", kind, path).splitlines()
    assert f"{path}: {setting}: {missing}: cannot be read: No such file" in line
    assert all(part.format(file=missing) in line for part in told), line
    assert run("check", kind, path, "--elsewhere").exit_code == 0


def test_a_missing_file_of_tls_is_told_with_its_place(files: Files) -> None:
    tls = {"cert_file": str(files.folder / "cert.pem"), "key_file": str(files.folder / "key.pem")}
    text = refused("check", "edge", files.write("edge", {"edge.listener.tls": tls}))
    assert [line.split(": ")[2] for line in text.splitlines()] == [
        "edge.listener.tls.cert_file",
        "edge.listener.tls.key_file",
    ]


@pytest.mark.parametrize(
    ("setting", "content", "told"),
    [
        ("edge.key_file", b"-----BEGIN NOTHING-----", "expected an Ed25519 private key in PEM"),
        ("edge.key_file", b"\xff\xfe", "expected an Ed25519 private key in PEM"),
        ("edge.journal_key_file", b"AAAA", "expected base64 of 32 bytes, found 3 bytes"),
        ("edge.journal_key_file", JOURNAL_KEY + b"\n" + JOURNAL_KEY, "stands there twice"),
        ("edge.listener.credentials_file", b"pump-1", "line 1: expected device:password"),
    ],
)
def test_a_file_with_something_else_in_it_is_told(files: Files, setting: str, content: bytes, told: str) -> None:
    wrong = files.folder / "wrong"
    write_secret(wrong, content)
    (line,) = refused("check", "edge", files.write("edge", {setting: str(wrong)})).splitlines()
    assert setting in line
    assert told in line
    assert str(wrong) in line or "journal" in line


def test_one_that_others_can_read_is_told_with_what_to_do(files: Files) -> None:
    key = files.credentials.gateway_key("north")
    key.chmod(0o644)
    assert f"run: chmod 600 {key}" in refused("check", "edge", files.write("edge"))


def test_all_that_is_missing_is_told_at_once_and_to_scripts_as_well(files: Files) -> None:
    changes: dict[str, Any] = {"edge.key_file": "/nowhere/a.pem", "edge.journal_key_file": "/nowhere/b"}
    path = files.write("edge", changes)
    text = refused("check", "edge", path)
    assert len(text.splitlines()) == 2
    answer = run("check", "edge", path, "--json")
    assert (answer.exit_code, json.loads(answer.output)["ok"]) == (2, False)
    assert "/nowhere/b" in json.loads(answer.output)["error"]


def test_keys_that_the_environment_has_not_got_are_a_warning(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.write("edge", {"edge.journal_key_env": "TIDEGATE_JOURNAL_KEYS"})
    monkeypatch.delenv("TIDEGATE_JOURNAL_KEYS", raising=False)
    found = run("check", "edge", path)
    assert found.exit_code == 0
    assert "warning: edge.journal_key_env: $TIDEGATE_JOURNAL_KEYS is not set here" in found.stderr
    monkeypatch.setenv("TIDEGATE_JOURNAL_KEYS", JOURNAL_KEY.decode())
    assert run("check", "edge", path).stderr == ""
