"""Devices misbehave because of their release and hardware, and for no other reason."""

from __future__ import annotations

import random

from compose.fleet.model import DeviceModel, Happening, Power
from compose.fleet.release import Registry, Release

REGISTRY = Registry([Release(version="2.2.0"), Release(version="2.3.0", leak_percent_per_s={"rev-b": 3.0})])
BRICKS = Registry([Release(version="2.3.0", leak_percent_per_s={"rev-b": 3.0}, brick_share=1.0)])


def model(hardware: str, firmware: str, registry: Registry = REGISTRY) -> DeviceModel:
    return DeviceModel(
        hardware=hardware, group="pumps", firmware=firmware, registry=registry, random=random.Random(5), now=0.0
    )


def happenings(device: DeviceModel, until: float) -> list[Happening]:
    steps = (device.step(tenth / 10) for tenth in range(int(until * 10)))
    return [happening for happening in steps if happening]


def test_a_leaking_release_crashes_its_hardware_again_and_again() -> None:
    found = happenings(model("rev-b", "2.3.0"), 60)
    assert found.count(Happening.CRASHED) >= 2
    assert found.count(Happening.BOOTED) >= 2


def test_the_same_release_is_harmless_on_other_hardware() -> None:
    assert happenings(model("rev-a", "2.3.0"), 600) == []
    assert happenings(model("rev-b", "2.2.0"), 600) == []


def test_a_bricked_device_never_comes_back() -> None:
    device = model("rev-b", "2.3.0", BRICKS)
    assert happenings(device, 600) == [Happening.BRICKED]
    assert device.power is Power.BRICKED


def test_an_install_changes_the_firmware_with_the_boot() -> None:
    device = model("rev-a", "2.2.0")
    first = device.boot
    device.install("2.3.0", 1.0)
    assert (device.power, device.firmware) == (Power.DOWN, "2.2.0")
    assert happenings(device, 10) == [Happening.BOOTED]
    assert (device.firmware, device.boot != first) == ("2.3.0", True)
    assert device.metrics(10.0)["uptime_s"] < 9
