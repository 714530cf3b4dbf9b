"""A stranger's table is read without a flag, whatever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from compose.tryout.table import Table, parse_time, read_table

if TYPE_CHECKING:
    from pathlib import Path

AT = parse_time("2024-03-01T10:00:00Z") or 0
VALUES = [[1.5, 20.0], [1.25, 21.0], [1234.5, 22.0]]

FILES = {
    "comma": "timestamp,a,b\n2024-03-01T10:00:00Z,1.5,20\n2024-03-01T10:01:00Z,1.25,21\n2024-03-01T10:02:00Z,1234.5,22\n",
    "semicolons and decimal commas": "Zeit;a;b\n01.03.2024 10:00;1,5;20\n01.03.2024 10:01;1,25;21\n01.03.2024 10:02;1.234,5;22\n",
    "tabs": "time\ta\tb\n2024-03-01 10:00:00\t1.5\t20\n2024-03-01 10:01:00\t1.25\t21\n2024-03-01 10:02:00\t1234.5\t22\n",
    "bars": "ts|a|b\n1709287200|1.5|20\n1709287260|1.25|21\n1709287320|1234.5|22\n",
    "seconds with a fraction": "ts,a,b\n1709287200.0,1.5,20\n1709287260.0,1.25,21\n1709287320.0,1234.5,22\n",
    "milliseconds": "ts,a,b\n1709287200000,1.5,20\n1709287260000,1.25,21\n1709287320000,1234.5,22\n",
    "quoted commas": 'time,a,b\n2024-03-01 10:00,"1,5","20"\n2024-03-01 10:01,"1,25","21"\n2024-03-01 10:02,"1234,5","22"\n',
    "a zone": "time,a,b\n2024-03-01T11:00:00+01:00,1.5,20\n2024-03-01T11:01+01:00,1.25,21\n2024-03-01 10:02:00 UTC,1234.5,22\n",
    "date and time apart": "Date;Time;a;b\n01.03.2024;10:00:00;1,5;20\n01.03.2024;10:01:00;1,25;21\n01.03.2024;10:02:00;1234,5;22\n",
    "the time last, under another name": "a,b,when\n1.5,20,2024-03-01 10:00\n1.25,21,2024-03-01 10:01\n1234.5,22,2024-03-01 10:02\n",
    "said separator, comments, empty lines": "sep=;\n# pump 3\nts;a;b\n\n1709287200;1.5;20\n1709287260;1.25;21\n1709287320;1234.5;22\n\n",
    "a delimiter too many": "ts;a;b\n1709287200;1.5;20;\n1709287260;1.25;21;\n1709287320;1234.5;22;\n",
    "old line ends": "ts,a,b\r1709287200,1.5,20\r1709287260,1.25,21\r1709287320,1234.5,22\r",
}


def _read(folder: Path, content: str | bytes) -> Table:
    path = folder / "pump.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path)


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_same_table_in_many_forms(tmp_path: Path, form: str, encoding: str) -> None:
    table = _read(tmp_path, FILES[form].encode(encoding))
    assert table.metrics == ("a", "b")
    assert table.times.tolist() == [AT, AT + 60_000, AT + 120_000]
    assert table.values.tolist() == VALUES
    assert (table.left_out, table.unreadable) == ((), 0)


def test_text_is_left_out_by_name_and_gaps_are_gaps(tmp_path: Path) -> None:
    table = _read(
        tmp_path, "ts,state,a,a,,b\n60,on,1,2,3,\n120,off,5,2,3,7\n180,on,n/a,2,3,inf\nsoon,on,1,2,3,4\n240,on,1\n"
    )
    assert table.metrics == ("a", "a (4)", "column 5", "b")
    assert table.left_out == ("state",)
    assert table.unreadable == 2
    np.testing.assert_array_equal(table.values[:, 0], [1, 5, np.nan])
    np.testing.assert_array_equal(table.values[:, 3], [np.nan, 7, np.nan])


def test_thousands_in_points_are_not_taken_for_decimals_where_points_are(tmp_path: Path) -> None:
    assert _read(tmp_path, "ts,a\n60,1.5\n120,2.25\n").values[:, 0].tolist() == [1.5, 2.25]
