"""A stranger's CSV as columns: which delimiter, which column is the time and how it is written, what is no number."""

from __future__ import annotations

import codecs
import csv
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DELIMITERS = ",;\t|"
TIME_NAMES = ("timestamp", "time", "datetime", "date", "ts", "_time", "zeit", "zeitstempel", "datum")
LOOKED_AT = 200
"""Rows by which the delimiter and the column of times are told."""
_RECENT_MS = 315_532_800_000  # 1980: as a number, no measurement of ordinary size is a time
_DATES, _CLOCKS = ("date", "datum", "day"), ("time", "zeit", "clock", "uhrzeit")
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(.*)")
_MILLISECONDS_FROM, _MICROSECONDS_FROM, _NANOSECONDS_FROM = 1e11, 1e14, 1e17
"""A number of the size of today's time in so small a unit is not seconds any more."""
NUMBERS = 0.5
"""A column in which fewer of the filled fields are numbers is text."""


class BadTableError(ValueError):
    """A file that cannot be read as a table of times and numbers; the message says what was found."""


class Table(NamedTuple):
    """`times` i8 (ms), rising or not as they came, shape (rows,); `values` f8 (rows, metrics), NaN where empty.

    `left_out`: columns without numbers. `unreadable`: rows left out because their time could not be read.
    """

    name: str
    metrics: tuple[str, ...]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    left_out: tuple[str, ...]
    unreadable: int


def read_table(path: Path) -> Table:
    """Read a CSV with a head. Raises BadTableError, OSError."""
    rows = _rows(path)
    if len(rows) < 2 or len(rows[0]) < 2:  # noqa: PLR2004 - a head and a row; a time and a number
        raise BadTableError(f"{path}: expected a head, rows, a time and at least one metric, found {rows[:1]}")
    head = _named(rows[0])
    body = [
        row[: len(head)]
        for row in rows[1:]
        if len(row) == len(head) or (len(row) > len(head) and not any(row[len(head) :]))
    ]
    head, body = _joined(head, body)
    at = _time_column(head, body[:LOOKED_AT])
    times = [parse_time(row[at]) for row in body]
    kept = [(time, row) for time, row in zip(times, body, strict=True) if time is not None]
    if not kept:
        raise BadTableError(
            f"{path}: column {head[at]!r} has no time that can be read, for example {rows[1][at : at + 1]}"
        )
    columns = {name: read_numbers([row[n] for _, row in kept]) for n, name in enumerate(head) if n != at}
    metrics = [name for name, column in columns.items() if column is not None]
    if not metrics:
        raise BadTableError(f"{path}: no column holds numbers, found {', '.join(columns)}")
    values = np.array([columns[name] for name in metrics], np.float64).T
    left_out = tuple(name for name in columns if name not in metrics)
    stamps = np.array([time for time, _ in kept], np.int64)
    return Table(path.stem, tuple(metrics), stamps, values, left_out, len(rows) - 1 - len(kept))


def _rows(path: Path) -> list[list[str]]:
    content = path.read_bytes()
    wide = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace").replace("\0", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    declared = re.fullmatch(r'"?sep=(.)"?', lines[0].strip()) if lines else None
    lines = lines[1:] if declared else lines
    delimiter = declared[1] if declared else _delimiter(lines[:LOOKED_AT])
    return [_trimmed(row) for row in csv.reader(lines, delimiter=delimiter)]


def _delimiter(lines: list[str]) -> str:
    """The one that splits most lines as it splits the first; of several the one that splits them into most fields."""

    def weight(delimiter: str) -> tuple[int, int]:
        fields = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        alike = sum(number == fields[0] for number in fields) if fields and fields[0] > 1 else 0
        return alike, fields[0] if fields else 0

    return max(DELIMITERS, key=weight)


def _trimmed(row: list[str]) -> list[str]:
    return [field.strip() for field in row]


def _named(head: list[str]) -> list[str]:
    """Every column has a name of its own: those without one get their number, those with an equal one, too."""
    names: list[str] = []
    for number, field in enumerate(head, 1):
        name = field or f"column {number}"
        names.append(name if name not in names else f"{name} ({number})")
    return names


def _time_column(head: list[str], body: list[list[str]]) -> int:
    """The column that is named so, else the first that reads as times of our days throughout, else the first."""
    named = [n for name in TIME_NAMES for n, known in enumerate(head) if known.lower() == name]
    dated = [n for n in range(len(head)) if body and all(_is_recent(parse_time(row[n])) for row in body)]
    return next((n for n in [*named, *dated] if any(parse_time(row[n]) is not None for row in body)), (named or [0])[0])


def _joined(head: list[str], body: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """A date and a time of day in columns of their own become one, in place of the date."""
    names = [name.lower() for name in head]
    date, clock = (next((n for n, name in enumerate(names) if name in known), None) for known in (_DATES, _CLOCKS))
    if date is None or clock is None or not body or parse_time(body[0][clock]) is not None:
        return head, body
    rest = [n for n in range(len(head)) if n not in (date, clock)]
    rows = [[f"{row[date]} {row[clock]}", *(row[n] for n in rest)] for row in body]
    return ["datetime", *(head[n] for n in rest)], rows


def _is_recent(time: int | None) -> bool:
    return time is not None and time > _RECENT_MS


def parse_time(text: str) -> int | None:
    """Milliseconds since the epoch: of ISO 8601 and its like, day.month.year too (UTC unless it says otherwise), or a number of any unit."""
    stripped = text.strip()
    try:
        return _from_number(float(stripped))
    except ValueError:
        pass
    try:
        moment = _moment(stripped)
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _moment(text: str) -> datetime:
    if dotted := _DOTTED.fullmatch(text):
        day, month, year, rest = dotted.groups()
        text = f"{year}-{month:0>2}-{day:0>2}{rest}"
    return datetime.fromisoformat(re.sub(r"\s*(UTC|GMT)$", "Z", text).replace("/", "-").replace(",", "."))


def _from_number(number: float) -> int | None:
    if not math.isfinite(number) or abs(number) >= _NANOSECONDS_FROM * 1000:
        return None
    for least, divisor in ((_NANOSECONDS_FROM, 1e6), (_MICROSECONDS_FROM, 1e3), (_MILLISECONDS_FROM, 1.0)):
        if abs(number) >= least:
            return round(number / divisor)
    return round(number * 1000)


def read_numbers(fields: list[str]) -> list[float] | None:
    """A column as numbers, NaN where there is none; None for text. Commas are decimal where that reads more of them."""
    filled = sum(bool(field) for field in fields)
    points, commas = [_number(field) for field in fields], [_number(_decimal_comma(field)) for field in fields]
    numbers = commas if _found(commas) > _found(points) else points
    return numbers if filled and _found(numbers) >= NUMBERS * filled else None


def _decimal_comma(field: str) -> str:
    return field.replace(".", "").replace(",", ".")


def _found(numbers: list[float]) -> int:
    return sum(not math.isnan(number) for number in numbers)


def _number(field: str) -> float:
    try:
        number = float(field)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
