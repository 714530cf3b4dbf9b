"""Topics: what they are called, how they are kept, and how a device's place is read from one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract import topics
from ingest.contract.topics import (
    AUDIT,
    CHANNELS,
    DEAD_SETTINGS,
    SETTINGS,
    DeviceTopic,
    dead,
    device_topic,
    every_topic,
    is_name,
    read_device_topic,
)

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}", fullmatch=True)


@given(names, names, st.sampled_from(sorted(CHANNELS)))
def test_a_devices_topic_is_read_back(site: str, device: str, channel: str) -> None:
    assert read_device_topic(device_topic(site, device, channel)) == DeviceTopic(site, device, channel)


@given(st.text())
def test_any_text_is_a_devices_topic_or_none(text: str) -> None:
    for topic in (text, f"tidegate/v1/{text}", f"tidegate/v1/s/{text}/state"):
        found = read_device_topic(topic)
        assert found is None or device_topic(*found) == topic


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "tidegate/v1",
        "tidegate/v1/",
        "tidegate/v1/s/d",
        "tidegate/v1/s/d/",
        "tidegate/v1/s/d/state/x",
        "tidegate/v1/s/d/States",
        "tidegate/v2/s/d/state",
        "tidegate/v1//d/state",
        "tidegate/v1/s//state",
        "tidegate/v1/+/d/state",
        "tidegate/v1/s/#/state",
        "tidegate/v1/s/d\n/state",
        "/tidegate/v1/s/d/state",
        f"tidegate/v1/{'s' * 129}/d/state",
    ],
)
def test_what_is_no_devices_topic(topic: str) -> None:
    assert read_device_topic(topic) is None


@given(st.text())
def test_a_name_is_one_safe_topic_level(text: str) -> None:
    if is_name(text):
        assert text.isascii()
        assert not set(text) & set("/+#,= \\\"'\n\r\t\0{}")
        assert 1 <= len(text) <= 128


def test_a_trailing_newline_is_no_part_of_a_name() -> None:
    assert is_name("pump-1")
    assert not is_name("pump-1\n")


def test_every_topic_has_a_place_for_what_could_not_be_taken() -> None:
    found = every_topic()
    assert set(found) == set(SETTINGS) | {dead(topic) for topic in SETTINGS}
    assert all(found[dead(topic)] == DEAD_SETTINGS for topic in SETTINGS)


def test_every_topic_constant_has_settings_and_a_version() -> None:
    constants = {
        value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str) and "." in value
    }
    assert constants == set(SETTINGS)
    assert all(topic.endswith(".v1") for topic in constants)


def test_compacted_topics_and_the_audit_log_are_kept_for_ever_and_the_others_are_not() -> None:
    kept = {topic for topic, settings in every_topic().items() if settings.retention_ms < 0}
    assert kept == {topic for topic, settings in every_topic().items() if settings.compacted} | {AUDIT}
