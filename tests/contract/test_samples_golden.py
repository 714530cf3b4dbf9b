"""Golden requests and chunks of raw samples are read for ever, by the project and from docs/wire-format.md alone."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ingest.contract.commands import key_id
from ingest.contract.requests import SampleRequest, open_request
from ingest.contract.samples import SAMPLE_COLUMNS, Summary, UnreadableBlock, decode_samples, encode_samples
from tests.wire_reader import columns, read

GOLDEN = Path(__file__).with_name("golden")
CHUNKS = sorted(path.stem for path in GOLDEN.glob("samples-v1-*.msgpack"))
LATEST_MS = 253_402_300_799_999


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def content(name: str) -> bytes:
    return (GOLDEN / f"{name}.msgpack").read_bytes()


def filled(row: list[Any], defaults: list[Any]) -> list[Any]:
    return [*row, *defaults[len(row) :]]


def test_there_are_golden_chunks() -> None:
    assert CHUNKS == ["samples-v1-first", "samples-v1-last"]


@pytest.mark.parametrize("name", CHUNKS)
def test_the_document_is_enough_to_read_them(name: str) -> None:
    chunk, end = read(content(name))
    assert end == len(content(name))
    chunk["devices"] = [filled(row, [""] * 4) for row in chunk["devices"]]
    chunk["metrics"] = [filled(row, ["", "", "gauge", []]) for row in chunk["metrics"]]
    chunk["columns"] = columns(chunk["columns"])
    if chunk["summary"]:
        blocks = chunk["summary"]["unreadable"]
        chunk["summary"]["unreadable"] = [filled(block, [0, "", 0, LATEST_MS]) for block in blocks]
    assert chunk == expected(name)
    assert [struct.pack("<d", cell) for cell in chunk["columns"]["value"]] == [
        struct.pack("<d", cell) for cell in expected(name)["columns"]["value"]
    ]


@pytest.mark.parametrize("name", CHUNKS)
def test_the_decoder_reads_them_and_writes_the_same(name: str) -> None:
    chunk, wanted = decode_samples(content(name)), expected(name)
    assert {column: chunk.columns[column].tolist() for column in SAMPLE_COLUMNS} == wanted["columns"]
    assert json.loads(msgspec.json.encode(chunk.summary)) == wanted["summary"]
    assert [row.device for row in chunk.devices] == [row[0] for row in wanted["devices"]]
    for field in ("version", "request", "attempt", "chunk", "created"):
        assert getattr(chunk, field) == wanted[field]
    assert encode_samples(chunk) == content(name)


def test_the_golden_request_is_opened() -> None:
    wanted = expected("request-v1-opened")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(wanted["public_key"]))
    request = open_request((GOLDEN / "request-v1.json").read_bytes(), {key_id(public): public})
    assert msgspec.to_builtins(request) == wanted["request"]


def test_every_field_is_documented() -> None:
    document = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
    kinds = (SampleRequest, Summary, UnreadableBlock)
    names = [*expected("samples-v1-first"), *SAMPLE_COLUMNS, *(f for kind in kinds for f in kind.__struct_fields__)]
    missing = [name for name in names if f"`{name}`" not in document]
    assert not missing
