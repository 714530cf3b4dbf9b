"""`tidegate detect` works on a stranger's file without a flag."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner

from analytics.detect.recording import detect_devices
from analytics.detect.recording_together import detect_together
from compose.cli.detect import detect_files
from compose.cli.detect_plot import path
from compose.cli.detect_rows import rows
from compose.tryout.found import Found
from compose.tryout.table import parse_time, read_table


def _pump(path: Path, form: str, delimiter: str) -> None:
    rng = np.random.default_rng(3)
    pressure = rng.normal(4, 0.1, 700)
    pressure[500:] += 3.0
    lines = [delimiter.join(["When", "timestamp", "note", "pressure", "flow"])]
    for at in range(700):
        second = 1_700_000_000 + 60 * at
        stamp = {
            "s": f"{second}",
            "ms": f"{second * 1000}",
            "iso": f"2024-03-0{1 + at // 1440} {at // 60:02}:{at % 60:02}:00",
        }
        flow = "" if at % 9 == 0 else f"{rng.normal(20, 1):.2f}"
        lines.append(delimiter.join(["x", stamp[form], "ok", f"{pressure[at]:.3f}", flow]))
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("form", "delimiter"), [("s", ","), ("ms", ";"), ("iso", "\t")])
def test_a_level_shift_is_found_at_its_row_whatever_the_form_of_the_file(
    tmp_path: Path, form: str, delimiter: str
) -> None:
    _pump(tmp_path / "pump.csv", form, delimiter)
    told = CliRunner().invoke(detect_files, [str(tmp_path / "pump.csv"), "--json"])
    assert told.exit_code == 0
    (pump,) = json.loads(told.stdout)["devices"]
    assert (pump["metrics"], pump["left_out"], pump["rows"]) == (["pressure", "flow"], ["When", "note"], 700)
    alert, together = pump["alerts"]
    assert (together["metric"], together["metrics"][0]) == ("(together)", "pressure")
    assert alert["metric"] == "pressure"
    assert alert["at"].endswith({"s": "06:33:20.000Z", "ms": "06:33:20.000Z", "iso": "08:20:00.000Z"}[form])
    assert alert["score"] > 0.5
    assert alert["expected"] < 5 < alert["value"]


def test_every_row_gets_a_score_an_alert_and_its_reasons_in_the_order_of_the_file(tmp_path: Path) -> None:
    _pump(tmp_path / "pump.csv", "s", ",")
    told = CliRunner().invoke(detect_files, [str(tmp_path / "pump.csv")])
    rows = list(csv.DictReader(io.StringIO(told.stdout)))
    assert [parse_time(row["timestamp"]) for row in rows] == [1000 * (1_700_000_000 + 60 * n) for n in range(700)]
    assert list(rows[0]) == ["device", "timestamp", "score", "alert", "reasons"]
    alerting = [number for number, row in enumerate(rows) if row["alert"] == "1"]
    assert alerting[0] in {500, 501}
    assert float(rows[alerting[0]]["score"]) > 0.5 > max(float(row["score"]) for row in rows[:500])
    assert all(row["reasons"] for row in rows if row["alert"] == "1")
    assert any("(together) own_past: pressure" in row["reasons"] for row in rows)
    assert any("; pressure own_past: " in row["reasons"] for row in rows)


def test_what_all_metrics_together_are_learned_as_normal_for_is_said_too(tmp_path: Path) -> None:
    _pump(tmp_path / "pump.csv", "s", ",")
    table = read_table(tmp_path / "pump.csv")
    single = detect_devices([(table.times, table.values)])[0]
    joint = detect_together([(table.times, table.values)])[0]
    assert joint is not None
    ends = np.arange(700) == 600
    quiet = single._replace(alert=np.zeros_like(single.alert), new_normal=np.zeros_like(single.new_normal))
    said = rows(Found(table, quiet, joint._replace(alert=np.zeros(700, np.bool_), new_normal=ends)))
    assert [why for *_, why in said] == ["(together) new_normal" if end else "" for end in ends]


def test_of_one_metric_the_score_is_its_own_and_a_row_without_a_number_has_none(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(4, 0.1, 700)
    lines = [f"{1_700_000_000 + 60 * n},{'' if n == 200 else values[n] + 5 * (n > 600)}" for n in range(700)]
    (tmp_path / "one.csv").write_text("timestamp,x\n" + "\n".join(lines))
    told = CliRunner().invoke(detect_files, [str(tmp_path / "one.csv")])
    rows = list(csv.DictReader(io.StringIO(told.stdout)))
    assert len(rows) == 700
    assert (rows[200]["score"], rows[200]["alert"], rows[200]["reasons"]) == ("0.0000", "0", "")
    assert {row["reasons"].split(" ")[0] for row in rows if row["alert"] == "1"} == {"x"}


@pytest.mark.parametrize("metrics", [1, 15])
def test_the_picture_shows_metrics_alerts_and_the_score(tmp_path: Path, metrics: int) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(4, 0.1, (520, metrics))
    values[-60:, -1] += 5.0
    head = ",".join(["timestamp", *(f"<m{n}>" for n in range(metrics))])
    lines = [",".join(map(str, [1_700_000_000 + 60 * n, *row])) for n, row in enumerate(values)]
    (tmp_path / "tank & co.csv").write_text("\n".join([head, *lines]))
    picture = tmp_path / "out.svg"
    told = CliRunner().invoke(detect_files, [str(tmp_path / "tank & co.csv"), "--plot", str(picture), "--json"])
    assert told.exit_code == 0
    root = ET.fromstring(picture.read_text())  # noqa: S314 - our own
    texts = [one.text or "" for one in root.iter("{http://www.w3.org/2000/svg}text")]
    classes = [one.get("class") for one in root.iter()]
    shown = min(metrics, 12)
    assert classes.count("v") == shown
    assert classes.count("b") == shown
    assert (classes.count("s"), classes.count("h")) == (1, 1)
    assert classes.count("a") >= 2, "the alert is in its metric's panel and in that of the score"
    assert f"<m{metrics - 1}>" in texts, "a metric that alarms is drawn"
    assert any(("3 metrics are not drawn" in text) == (metrics > 12) for text in texts if "tank & co: " in text)


def test_a_long_curve_keeps_its_highest_and_lowest_points() -> None:
    x, y = np.linspace(70, 980, 50_000), np.random.default_rng(3).normal(50, 5, 50_000)
    y[20_000], y[30_000] = 0.0, 110.0
    drawn = [tuple(map(float, point.split())) for point in path("v", x, y).split('d="M')[1].split('"')[0].split("L")]
    assert len(drawn) < 2_000
    assert (min(height for _, height in drawn), max(height for _, height in drawn)) == (0.0, 110.0)


def test_per_metric_every_number_gets_a_row_and_the_alert_its_reason(tmp_path: Path) -> None:
    _pump(tmp_path / "pump.csv", "s", ",")
    told = CliRunner().invoke(detect_files, [str(tmp_path / "pump.csv"), "--per-metric"])
    rows = list(csv.DictReader(io.StringIO(told.stdout)))
    assert len(rows) == 700 + 622 + 700
    alerting = [row for row in rows if row["alert"] == "1"]
    assert alerting[0]["reasons"].startswith("own_past: ")
    assert {row["metric"] for row in alerting} == {"pressure", "(together)"}
    (reason,) = {row["reasons"] for row in alerting if row["metric"] == "(together)"}
    assert reason.startswith("own_past: pressure")
    assert "2 alerts; no numbers in When, note" in told.stderr


@pytest.mark.parametrize("content", ["", "a,b\n", "timestamp,x\nsoon,1\n", "timestamp,x\n1,red\n"])
def test_what_is_no_such_table_is_said_with_exit_code_2(tmp_path: Path, content: str) -> None:
    (tmp_path / "odd.csv").write_text(content)
    told = CliRunner().invoke(detect_files, [str(tmp_path / "odd.csv")])
    assert told.exit_code == 2
    assert "odd.csv" in told.stderr


def test_times_are_read_in_their_unit() -> None:
    assert parse_time("1700000000") == parse_time("1700000000000") == parse_time("1700000000000000000")
    assert (
        parse_time("2024/03/01 10:00") == parse_time("2024-03-01T10:00:00Z") == parse_time("2024-03-01T12:00:00+02:00")
    )
    assert parse_time("soon") is None
    assert parse_time("nan") is None
