"""`tidegate bench edge` does what it says, in small: real process, real broker side, real Kafka."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from compose.bench.edge_rows import STOCK_LEAST
from compose.bench.filesystem import UnfitFileSystemError, filesystem_of
from compose.bench.reel import Reel, write_digits
from compose.cli.bench import bench
from edge_aggregator.receive.mqtt.scan import Scanner
from edge_aggregator.receive.mqtt.topic_cache import TopicCache
from edge_aggregator.receive.mqtt.wire import Version

NOW = 1_790_000_000_000
QUICK_ROWS = ["--quick", "--runs", "1", "--only", "speed", "--only", "ack", "--only", "stock", "--only", "bytes"]


@pytest.mark.servers("kafka", "mosquitto")
def test_a_quick_run_measures_and_loses_nothing(tmp_path: Path):
    done = CliRunner().invoke(bench, ["edge", *QUICK_ROWS, "--dir", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["lossless"] is True
    for key in (
        "messages_per_cpu_second",
        "ack_p99_ms",
        "stock_messages_per_second",
        "wire_bytes_per_sample",
        "journal_bytes_per_sample",
    ):
        assert figures[key] >= 0, key
    assert figures["stock_enough"] is (figures["stock_messages_per_second"] >= STOCK_LEAST)
    assert figures["filesystem"] not in ("tmpfs", "ramfs")
    assert not list(tmp_path.iterdir()), "a bench leaves nothing behind"


def test_memory_is_no_disk():
    in_memory = [part.mountpoint for part in psutil.disk_partitions(all=True) if part.fstype == "tmpfs"]
    assert in_memory, "no tmpfs is mounted on this machine"
    with pytest.raises(UnfitFileSystemError, match="--dir"):
        filesystem_of(Path(in_memory[0]))


@pytest.mark.parametrize("version", list(Version))
def test_a_reel_repeats_itself_with_new_times_identifiers_and_counters(version: Version):
    reel = Reel("north", 7, 3, 1, extra=int(version is Version.V5))
    scanner = Scanner(version, TopicCache(), max_packet_bytes=4096)
    seen, ids, sent = [], [], 0
    for turn in range(20):
        data, count = reel.take(5, NOW + turn // 4, sent % 65_535 + 1)
        read = scanner.feed(bytes(data))
        assert read.error is None
        assert len(read.messages) == count
        ids += [int.from_bytes(read.acks[at + 2 : at + 4]) for at in range(0, len(read.acks), 4)]
        seen += [(message.topic, json.loads(message.payload)) for message in read.messages]
        sent += count
    assert ids == list(range(1, sent + 1))
    for device in range(7):
        mine = [body for topic, body in seen if f"device-{device:05d}" in topic]
        times = [body["ts"] for body in mine]
        assert times == sorted(set(times)), "a device never says two things of one moment, nor goes back in time"
        assert all(NOW - 10 < ts <= NOW + 30 for ts in times)
        for counter in ("uptime_s", "energy_wh"):
            values = [body["metrics"][counter] for body in mine]
            assert values == sorted(values), counter


def test_digits_are_written_where_they_belong():
    data = np.frombuffer(bytearray(b"[......][......]"), np.uint8)
    write_digits(data, np.array([1, 9]), np.array([123_456, 42]), 6)
    assert data.tobytes() == b"[123456][000042]"
