"""The disk of the crash engine keeps what was synced, and of the rest any part."""

from __future__ import annotations

import random

from compose.bench.crash.disk import Cut, Disk, Loss, Write

NOTHING, EVERYTHING = Loss(0.0, 512), Loss(1.0, 512)


def left(disk: Disk, loss: Loss, seed: int = 1) -> dict[str, bytes]:
    return disk.after_crash(loss, random.Random(seed))


def test_what_was_synced_stays_whatever_happens() -> None:
    disk = Disk({})
    disk.file("/d/a").unsynced.append(Write(0, b"abc"))
    disk.file("/d/a").sync()
    disk.sync_folder("/d")
    disk.file("/d/a").unsynced.append(Write(1, b"XY"))
    assert left(disk, NOTHING) == {"/d/a": b"abc"}
    assert left(disk, EVERYTHING) == {"/d/a": b"aXY"}


def test_a_synced_file_without_a_synced_folder_has_no_name() -> None:
    disk = Disk({})
    disk.file("/d/a").unsynced.append(Write(0, b"abc"))
    disk.file("/d/a").sync()
    assert left(disk, NOTHING) == {}
    assert left(disk, EVERYTHING) == {"/d/a": b"abc"}


def test_an_unlink_without_a_synced_folder_may_not_have_happened() -> None:
    disk = Disk({"/d/a": b"abc"})
    disk.unlink("/d/a")
    assert left(disk, NOTHING) == {"/d/a": b"abc"}
    assert left(disk, EVERYTHING) == {}
    disk.sync_folder("/d")
    assert left(disk, NOTHING) == {}


def test_a_file_made_anew_has_nothing_of_the_one_before_it() -> None:
    disk = Disk({"/d/a": b"abc"})
    disk.unlink("/d/a")
    disk.file("/d/a").unsynced.append(Write(2, b"z"))
    assert left(disk, NOTHING) == {"/d/a": b"abc"}
    assert left(disk, EVERYTHING) == {"/d/a": b"\0\0z"}


def test_a_rename_happens_as_a_whole() -> None:
    disk = Disk({"/d/a": b"abc"})
    disk.rename("/d/a", "/d/b")
    assert {tuple(left(disk, Loss(0.5, 512), seed)) for seed in range(20)} == {("/d/a",), ("/d/b",)}


def test_writes_tear_at_sectors_and_reach_the_disk_in_any_order() -> None:
    disk = Disk({"/d/a": b"." * 2048})
    disk.file("/d/a").unsynced += [Write(256, b"1" * 1024), Write(1024, b"2" * 1024)]
    found = [left(disk, Loss(0.5, 512), seed)["/d/a"] for seed in range(200)]
    assert all(content[512:1024] in {b"." * 512, b"1" * 512} for content in found)
    torn = {(content[512] == 49, content[1100] == 49, content[1100] == 50, content[1600] == 50) for content in found}
    assert {(True, True, False, False), (False, False, True, False), (False, False, False, True)} <= torn


def test_a_cut_may_be_lost_as_well() -> None:
    disk = Disk({"/d/a": b"abc"})
    disk.file("/d/a").unsynced += [Cut(1), Write(4, b"z")]
    assert left(disk, NOTHING) == {"/d/a": b"abc"}
    assert left(disk, EVERYTHING) == {"/d/a": b"a\0\0\0z"}
