"""What `tidegate samples` prints: moments as people type them, rows in each form, and what an answer lacks."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from compose.cli.access import ApiError
from compose.cli.sample_rows import FORMATS
from compose.cli.samples import _shortfall
from compose.cli.spans import moment
from compose.cli.waiting import progress, wait_for

NOW = 1_790_000_000_000
CHUNK = {
    "table": [
        {"device": "pump-1", "metric": "t", "labels": {}},
        {"device": "pump-2", "metric": "v", "labels": {"axis": "x", "unit": 'a,"b'}},
    ],
    "series": [0, 1, 0],
    "ts": [NOW, NOW + 1, NOW + 2],
    "value": [0.1, -1e150, 3.0],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("-90s", NOW - 90_000),
        ("-2h", NOW - 7_200_000),
        ("-3d", NOW - 259_200_000),
        ("1790000000001", NOW + 1),
        ("2026-09-21T14:13:20Z", NOW),
        ("2026-09-21T14:13:20", NOW),
        ("2026-09-21T16:13:20.250+02:00", NOW + 250),
    ],
)
def test_moments(text: str, expected: int) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "-2w", "2026-13-01", "+1h"])
def test_what_is_no_moment_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="expected 2026"):
        moment(text, NOW)


def test_rows_as_text() -> None:
    assert list(FORMATS["text"]([CHUNK]))[:2] == [
        "2026-09-21T14:13:20.000Z\tpump-1\tt\t0.1\n",
        '2026-09-21T14:13:20.001Z\tpump-2\tv{axis=x,unit=a,"b}\t-1e+150\n',
    ]


def test_rows_as_json() -> None:
    found = [json.loads(line) for line in FORMATS["json"]([CHUNK, CHUNK])]
    assert len(found) == 6
    assert found[0] == {"ts": NOW, "device": "pump-1", "metric": "t", "labels": {}, "value": 0.1}


def test_rows_as_csv() -> None:
    rows = list(csv.DictReader(io.StringIO("".join(FORMATS["csv"]([CHUNK])))))
    assert [(row["ts"], row["device"], float(row["value"])) for row in rows] == [
        (str(NOW), "pump-1", 0.1),
        (str(NOW + 1), "pump-2", -1e150),
        (str(NOW + 2), "pump-1", 3.0),
    ]
    assert json.loads(rows[1]["labels"]) == {"axis": "x", "unit": 'a,"b'}
    assert list(FORMATS["csv"]([])) == ["ts,device,metric,labels,value\r\n"]


def gateway(state: str, **fields: Any) -> dict[str, Any]:
    known = {"gateway": "gw", "state": state, "samples": 5, "chunks": 1, "attempt": 1, "reason": ""}
    covered = {"covered_from": 0, "covered_until": 100, "unreadable_blocks": 0, "unreadable": []}
    return known | covered | fields


def told(state: str, **fields: Any) -> list[str]:
    pull = {"request": "r1", "start": 0, "end": 100, "expires": NOW}
    return list(_shortfall(gateway(state, **fields), pull))


def test_a_whole_answer_lacks_nothing() -> None:
    assert told("answered") == []


@pytest.mark.parametrize(
    ("state", "fields", "expected"),
    [
        ("waiting", {}, ["may be away", "stands until 2026-09-21T14:13:20.000Z", "samples get r1"]),
        ("answering", {}, ["still answering"]),
        ("expired", {}, ["did not answer before the request expired at 2026-09-21"]),
        ("refused", {"reason": "too_many_requests"}, ["refuses: too_many_requests"]),
        ("forgotten", {}, ["ask again"]),
        ("answered", {"covered_from": 50}, ["forgotten what was before 1970-01-01T00:00:00.050Z"]),
        ("answered", {"covered_until": 50}, ["up to 1970-01-01T00:00:00.050Z only"]),
        (
            "answered",
            {"unreadable_blocks": 7, "unreadable": [[3, "checksum", 10, 20]]},
            ["7 blocks", "1970-01-01T00:00:00.010Z to 1970-01-01T00:00:00.020Z (checksum)"],
        ),
    ],
)
def test_what_an_answer_lacks_is_told(state: str, fields: dict[str, Any], expected: list[str]) -> None:
    (line,) = told(state, **fields)
    for part in expected:
        assert part in line


def test_the_bar_says_who_is_waited_for() -> None:
    line = progress({"gateways": [gateway("answered"), gateway("waiting", gateway="gw-2", samples=0)], "expires": NOW})
    assert "1 of 2 gateways, 5 samples" in line
    assert "gw-2" in line


def test_waiting_outlasts_an_api_that_is_away_and_ends_with_what_is_known() -> None:
    answers: list[Any] = [ApiError("away", passing=True), {"done": False}, {"done": True}]

    def look() -> dict[str, Any]:
        found = answers.pop(0)
        if isinstance(found, ApiError):
            raise found
        return dict(found)

    assert wait_for(look, 60.0) == {"done": True}
    assert wait_for(lambda: {"done": False}, 0.0) == {"done": False}
    with pytest.raises(ApiError):
        wait_for(lambda: _raise(ApiError("no", passing=False)), 60.0)


def _raise(error: Exception) -> dict[str, Any]:
    raise error
