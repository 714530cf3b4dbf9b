"""Devices misbehave because of their release and hardware, and for no other reason."""

from __future__ import annotations

import random

from compose.fleet.model import DeviceModel, Happening, Power
from compose.fleet.release import Registry, Release
from compose.fleet.versions import is_older

REGISTRY = Registry([Release(version="2.2.0"), Release(version="2.3.0", leak_percent_per_s={"rev-b": 3.0})])
BRICKS = Registry([Release(version="2.3.0", leak_percent_per_s={"rev-b": 3.0}, brick_share=1.0)])


def model(hardware: str, firmware: str, registry: Registry = REGISTRY) -> DeviceModel:
    return DeviceModel(
        hardware=hardware, group="pumps", firmware=firmware, registry=registry, random=random.Random(5), now=0.0
    )


def happenings(device: DeviceModel, until: float) -> list[Happening]:
    """What happens, every start a good one."""
    found = []
    for tenth in range(int(until * 10)):
        happening = device.step(tenth / 10)
        if happening is Happening.STARTS:
            device.came_up(device.firmware, tenth / 10)
            device.work(tenth / 10)
        if happening:
            found.append(happening)
    return found


def test_a_leaking_release_crashes_its_hardware_again_and_again() -> None:
    found = happenings(model("rev-b", "2.3.0"), 60)
    assert found.count(Happening.CRASHED) >= 2
    assert found.count(Happening.STARTS) >= 2


def test_the_same_release_is_harmless_on_other_hardware() -> None:
    assert happenings(model("rev-a", "2.3.0"), 600) == []
    assert happenings(model("rev-b", "2.2.0"), 600) == []


def test_a_bricked_device_never_comes_back() -> None:
    device = model("rev-b", "2.3.0", BRICKS)
    assert happenings(device, 600) == [Happening.BRICKED]
    assert device.power is Power.BRICKED


def test_another_image_runs_after_the_restart_and_works_when_it_is_told_to() -> None:
    device = model("rev-b", "2.2.0")
    first = device.boot
    assert device.go_down(1.0) is Happening.WENT_DOWN
    assert (device.power, device.works, device.step(1.5)) == (Power.DOWN, False, None)
    assert device.step(10.0) is Happening.STARTS
    device.came_up("2.3.0", 10.0)
    assert (device.firmware, device.boot != first, device.works) == ("2.3.0", True, False)
    assert device.metrics(11.0)["uptime_s"] == 1.0
    assert device.step(600.0) is None  # its fault shows with the work
    device.work(600.0)
    assert (device.works, device.step(700.0)) == (True, Happening.CRASHED)


def test_an_image_that_hangs_is_reset_by_the_watchdog() -> None:
    device = model("rev-a", "2.2.0")
    device.hung(0.0)
    assert device.step(1.0) is None
    assert device.step(2.0) is Happening.STARTS


def test_versions_are_compared_by_their_numbers() -> None:
    rising = ["1.9", "v1.10", "2.0.0-alpha", "2.0.0-alpha.2", "2.0.0-alpha.10", "2.0.0-rc.1", "2", "2.0.1", "10.0"]
    for place, version in enumerate(rising):
        assert [is_older(version, other) for other in rising] == [place < other for other in range(len(rising))]
    assert not is_older("2.0", "2.0.0")
    assert not is_older("2.0+build.5", "2.0.0")
    assert not is_older("amber", "blue")  # no numbers, no order
    assert not is_older("amber", "2.0")
