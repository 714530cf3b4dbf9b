"""A reader of packed columns, number by number, that was written from docs/wire-format.md alone."""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import Any, NamedTuple

F64 = ("sum", "sumsq", "min", "max", "last")


class Class(NamedTuple):
    base: int
    places: int
    way: int
    low: int
    spread: int
    last: tuple[int, int]
    total: tuple[int, int]
    pairs: tuple[int, int]
    sum: int
    sumsq: int


def unpacked(buffers: dict[str, bytes], rows: int, metrics: int) -> dict[str, list[float]]:
    """All columns of a batch."""
    names = ("device", "metric", "start", "width", "count", "revision")
    columns: dict[str, Any] = {name: runs(buffers[name], rows) for name in names}
    return columns | statistics(buffers, columns["metric"], columns["count"], metrics)


def runs(data: bytes, rows: int) -> list[int]:
    (count, *numbers), at = varints(data, 1)
    numbers, end = varints(data[at:], 2 * count)
    assert at + end == len(data)
    differences = [unfolded(number) for number in numbers[:count]]
    steps = [step for step, less in zip(differences, numbers[count:], strict=True) for _ in range(less + 1)]
    assert len(steps) == rows
    return [wrapped(number) for number in accumulate(steps)]


def varints(data: bytes, count: int) -> tuple[list[int], int]:
    found, at = [], 0
    for _ in range(count):
        number = shift = 0
        while True:
            byte, at = data[at], at + 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append(number)
    return found, at


def unfolded(number: int) -> int:
    return number >> 1 if number % 2 == 0 else -(number >> 1) - 1


def wrapped(number: int) -> int:
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


class Codes:
    """Golomb-Rice codes; both of its strings of bits are read from the front."""

    def __init__(self, data: bytes) -> None:
        size = struct.unpack_from("<I", data)[0]
        self._unary, self._low = data[4 : 4 + size], int.from_bytes(data[4 + size :], "little")
        self._at = 0

    def next(self, parameter: int) -> int:
        quotient = 0
        while not self._unary[self._at >> 3] >> (self._at & 7) & 1:
            quotient, self._at = quotient + 1, self._at + 1
        self._at += 1
        width = 64 if quotient == 24 else parameter
        low, self._low = self._low & ((1 << width) - 1), self._low >> width
        return low if quotient == 24 else quotient << parameter | low

    def plain(self, parameter: int) -> int:
        return 0 if parameter == 255 else self.next(parameter)

    def inside(self, width: int, place: tuple[int, int]) -> int:
        fraction, offset = place
        if not width:
            return 0
        parameter = min(max(width.bit_length() + offset - 32, 0), 63)
        expected = width // 255 * fraction + width % 255 * fraction // 255
        return expected + unfolded(self.next(parameter))


def statistics(buffers: dict[str, bytes], metric: list[int], count: list[int], metrics: int) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {name: [0.0] * len(metric) for name in F64}
    kept = runs(buffers["kept"], len(buffers["kept_values"]) // 40)
    for place, row in enumerate(kept):
        for position, name in enumerate(F64):
            first = position * 8 * len(kept) + place
            octets = buffers["kept_values"][first : first + 8 * len(kept) : len(kept)]
            columns[name][row] = struct.unpack("<d", octets)[0]
    class_of = struct.unpack(f"<{metrics}H", buffers["class_of"])
    classes = [
        Class(*head, last=(a, b), total=(c, d), pairs=(e, f), sum=g, sumsq=h)
        for *head, a, b, c, d, e, f, g, h in struct.iter_unpack("<q12B", buffers["classes"])
    ]
    levels = levels_of(buffers["levels"], [of.way >= 2 for of in classes])
    others = sorted(set(range(len(metric))) - set(kept), key=lambda row: (class_of[metric[row]], row))
    codes = {name: Codes(buffers[name]) for name in ("low", "spread", "last", "total", "pairs", "sum", "sumsq")}
    before: dict[int, int] = {}
    for row in others:
        number = class_of[metric[row]]
        level = before.get(number, classes[number].base)
        values, before[number] = window(codes, classes[number], count[row], level, levels.get(number))
        for name, value in values.items():
            columns[name][row] = value
    return columns


def levels_of(data: bytes, has: list[bool]) -> dict[int, list[int]]:
    sizes, at = varints(data, sum(has))
    steps, _ = varints(data[at:], sum(sizes))
    found, classes = {}, [number for number, with_levels in enumerate(has) if with_levels]
    for number, size in zip(classes, sizes, strict=True):
        found[number] = list(accumulate(unfolded(step) for step in steps[:size]))
        steps = steps[size:]
    return found


def window(
    codes: dict[str, Codes], of: Class, n: int, before: int, levels: list[int] | None
) -> tuple[dict[str, float], int]:
    told = m = unfolded(codes["low"].plain(of.low)) + (before if of.way % 2 else of.base)
    r = codes["spread"].plain(of.spread)
    last = codes["last"].inside(r, of.last)
    if levels is not None:
        m, r, last = levels[told], levels[told + r] - levels[told], levels[told + last] - levels[told]
    inner = last if 0 < last < r else 0
    free = n - 2 - bool(inner) if r else 0
    x = codes["total"].inside(free * r, of.total)
    least, most = bounds(free, x, r)
    wide = float(n) * (float(max(abs(m), abs(m + r))) ** 2) >= 2.0**60
    p = least + codes["pairs"].inside(0 if wide else most - least, of.pairs)
    a = x + r + inner
    b = 2 * (p + pairs(r) + pairs(inner)) + a
    total = float(n * m + a) / 10.0**of.places
    squares = total * total / n if wide else float(n * m * m + 2 * m * a + b) / 10.0 ** (2 * of.places)
    power = 10.0**of.places
    return {
        "min": m / power,
        "max": (m + r) / power,
        "last": (m + last) / power,
        "sum": moved(total, unfolded(codes["sum"].plain(of.sum))),
        "sumsq": moved(squares, unfolded(codes["sumsq"].plain(of.sumsq))),
    }, told


def pairs(x: int) -> int:
    return x * (x - 1) // 2


def bounds(free: int, total: int, greatest: int) -> tuple[int, int]:
    q, r = divmod(total, max(free, 1))
    c, d = divmod(total, max(greatest, 1))
    return free * pairs(q) + r * q, c * pairs(greatest) + pairs(d)


def moved(guess: float, steps: int) -> float:
    bits = turned(struct.unpack("<q", struct.pack("<d", guess))[0])
    moved_bits = turned(wrapped(bits + steps))
    return float(struct.unpack("<d", struct.pack("<q", moved_bits))[0])


def turned(bits: int) -> int:
    return bits ^ 0x7FFFFFFFFFFFFFFF if bits < 0 else bits
