"""A reader of batches that was written from docs/wire-format.md alone: it shares nothing with the project's own."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

LAYOUT = {"device": "I", "metric": "H", "start": "q", "width": "I", "count": "I", "revision": "H"}
LAYOUT |= dict.fromkeys(("sum", "sumsq", "min", "max", "last", "value", "increase"), "d") | {"ts": "q", "bucket": "h"}
LAYOUT |= dict.fromkeys(("row", "zeros", "below", "above", "samples", "resets", "changes"), "I")
SIZED = {
    0xC4: ">B",
    0xC5: ">H",
    0xC6: ">I",
    0xD9: ">B",
    0xDA: ">H",
    0xDB: ">I",
    0xDC: ">H",
    0xDD: ">I",
    0xDE: ">H",
    0xDF: ">I",
}
PLAIN = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}


def read(data: bytes, at: int = 0) -> tuple[Any, int]:
    """One MessagePack value and where the next one begins."""
    tag, at = data[at], at + 1
    if tag < 0x80 or tag >= 0xE0:
        return (tag if tag < 0x80 else tag - 256), at
    if tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag], at
    if tag in PLAIN:
        return struct.unpack_from(PLAIN[tag], data, at)[0], at + struct.calcsize(PLAIN[tag])
    if tag in SIZED:
        size, at = struct.unpack_from(SIZED[tag], data, at)[0], at + struct.calcsize(SIZED[tag])
    else:
        size = tag & (0x1F if tag >= 0xA0 else 0x0F)
    if 0xA0 <= tag < 0xC0 or 0xD9 <= tag <= 0xDB:
        return data[at : at + size].decode(), at + size
    if tag in (0xC4, 0xC5, 0xC6):
        return data[at : at + size], at + size
    items = []
    for _ in range(size * 2 if tag < 0x90 or tag in (0xDE, 0xDF) else size):
        item, at = read(data, at)
        items.append(item)
    return (dict(zip(items[::2], items[1::2], strict=True)) if tag < 0x90 or tag in (0xDE, 0xDF) else items), at


def write(value: Any) -> bytes:
    """The canonical MessagePack of a ledger entry."""
    if isinstance(value, dict):
        head = bytes([0x80 | len(value)]) if len(value) < 16 else b"\xde" + struct.pack(">H", len(value))
        return head + b"".join(write(key) + write(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        head = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdc" + struct.pack(">H", len(value))
        return head + b"".join(map(write, value))
    if isinstance(value, bytes):
        return bytes([0xC4, len(value)]) + value
    if isinstance(value, str):
        text = value.encode()
        head = bytes([0xA0 | len(text)]) if len(text) < 32 else b"\xd9" + bytes([len(text)])
        return (head if len(text) < 256 else b"\xda" + struct.pack(">H", len(text))) + text
    if -32 <= value < 128:
        return struct.pack(">b", value)
    forms = [0xCC, 0xCD, 0xCE, 0xCF] if value >= 0 else [0xD0, 0xD1, 0xD2, 0xD3]
    bits = [8 * (1 << n) - (value < 0) for n in range(4)]
    form = next(form for form, room in zip(forms, bits, strict=True) if -(1 << room) <= value < 1 << room)
    return bytes([form]) + struct.pack(PLAIN[form], value)


def digest(entry: dict[str, Any]) -> bytes:
    always = ("seq", "received", "rolled_up", "duplicate", "rejected", "dropped", "open", "net", "previous")
    later = tuple(name for name in ("carried", "replaces", "gone", "classes") if entry.get(name))
    sorted_by_bytes = {
        name: dict(sorted(entry.get(name, {}).items(), key=lambda pair: pair[0].encode()))
        for name in ("rejected", "dropped", "classes")
    }
    return hashlib.sha256(write({name: sorted_by_bytes.get(name, entry[name]) for name in always + later})).digest()


def columns(buffers: dict[str, bytes]) -> dict[str, list[float]]:
    return {name: [cell for (cell,) in struct.iter_unpack(f"<{LAYOUT[name]}", data)] for name, data in buffers.items()}
