"""Files of every version are read for ever, by the project's decoder and by one that knows docs/wire-format.md only.

The files under `golden/` are never written again: a new version gets new ones beside them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ingest.contract.batch import COLUMNS, REPLACED_COLUMNS
from ingest.contract.batch_wire import decode_batch, encode_batch
from ingest.contract.commands import key_id, open_command
from tests.wire_packed_reader import runs, unpacked
from tests.wire_reader import columns, digest, read

GOLDEN = Path(__file__).with_name("golden")
BATCHES = sorted(path.stem for path in GOLDEN.glob("batch-v*.msgpack"))


def rows_filled(table: list[list[Any]], defaults: list[Any]) -> list[list[Any]]:
    return [[*row, *defaults[len(row) :]] for row in table]


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def content(name: str) -> bytes:
    return (GOLDEN / f"{name}.msgpack").read_bytes()


def test_there_are_golden_files() -> None:
    assert BATCHES == ["batch-v1-empty", "batch-v1-first", "batch-v1-replacing", "batch-v2-degraded", "batch-v2-packed"]


def columns_of_version_1(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: columns(batch.get(name, {})) for name in ("columns", "replaces")}


def columns_of_version_2(batch: dict[str, Any]) -> dict[str, Any]:
    return {
        "columns": unpacked(batch["columns"], batch["rows"], len(batch["metrics"])),
        "replaces": {name: runs(data, batch["replaced"]) for name, data in batch["replaces"].items()},
    }


@pytest.mark.parametrize("name", BATCHES)
def test_the_document_is_enough_to_read_them(name: str) -> None:
    batch, end = read(content(name))
    assert end == len(content(name))
    ledger = batch["ledger"]
    found = {
        **{name: value for name, value in batch.items() if name not in ("rows", "replaced")},
        "devices": rows_filled(batch["devices"], ["", "", "", ""]),
        "metrics": rows_filled(batch["metrics"], ["", "", "gauge", []]),
        **(columns_of_version_1 if batch["version"] == 1 else columns_of_version_2)(batch),
        "ledger": {**ledger, "previous": ledger["previous"].hex()},
        "ledger_digest": digest(ledger).hex(),
    }
    assert found == expected(name)


@pytest.mark.parametrize("name", BATCHES)
def test_the_decoder_reads_them(name: str) -> None:
    batch, wanted = decode_batch(content(name)), expected(name)
    for field in ("tenant", "site", "gateway", "boot"):
        assert getattr(batch.origin, field) == wanted[field]
    for field in ("version", "seq", "created", "historical"):
        assert getattr(batch, field) == wanted[field]
    tables = json.loads(msgspec.json.encode([batch.devices, batch.metrics]))
    assert [rows_filled(tables[0], [""] * 4), rows_filled(tables[1], ["", "", "gauge", []])] == [
        wanted["devices"],
        wanted["metrics"],
    ]
    assert {column: batch.columns[column].tolist() for column in COLUMNS} == wanted["columns"]
    replaced = wanted["replaces"] or {column: [] for column in REPLACED_COLUMNS}
    assert {column: batch.replaces[column].tolist() for column in REPLACED_COLUMNS} == replaced
    entry = {**msgspec.to_builtins(batch.ledger), "previous": batch.ledger.previous.hex()}
    assert json.loads(msgspec.json.encode(entry)) == wanted["ledger"]
    assert batch.ledger.digest().hex() == wanted["ledger_digest"]


@pytest.mark.parametrize("name", BATCHES)
def test_they_are_what_is_written_today(name: str) -> None:
    assert encode_batch(decode_batch(content(name))) == content(name)


def test_their_ledgers_are_a_chain() -> None:
    first, second, third = (
        decode_batch(content(f"batch-v1-{name}")).ledger for name in ("first", "replacing", "empty")
    )
    assert first.previous == bytes(32)
    assert second.previous == first.digest()
    assert third.previous == second.digest()
    assert first.unaccounted() == 0


def test_the_document_is_enough_to_verify_a_command() -> None:
    wanted = json.loads((GOLDEN / "command-v1-opened.json").read_text(encoding="utf-8"))
    envelope = json.loads((GOLDEN / "command-v1.json").read_text(encoding="utf-8"))
    raw = base64.b64decode(wanted["public_key"])
    assert envelope["key"] == hashlib.sha256(raw).hexdigest()[:16]
    payload = base64.b64decode(envelope["payload"])
    Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(envelope["signature"]), payload)
    assert json.loads(payload) == wanted["command"]


def test_the_golden_command_is_opened() -> None:
    wanted = json.loads((GOLDEN / "command-v1-opened.json").read_text(encoding="utf-8"))
    public_key = Ed25519PublicKey.from_public_bytes(base64.b64decode(wanted["public_key"]))
    command = open_command((GOLDEN / "command-v1.json").read_bytes(), {key_id(public_key): public_key})
    assert msgspec.to_builtins(command) == wanted["command"]


def test_every_field_and_column_is_documented() -> None:
    document = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
    batch = expected("batch-v1-first")
    for name in (*batch, *expected("batch-v2-degraded")["ledger"], *COLUMNS):
        assert f"`{name}`" in document or name == "ledger_digest", name
