"""What a site says stays in order: all keys of a site go to one partition, sites are spread."""

from __future__ import annotations

from ingest.runtime.log.placement import place


def test_all_keys_of_a_site_share_a_partition() -> None:
    partitions = list(range(8))
    keys = [b"north/pump-%d" % number for number in range(100)] + [b"north/gateway:gw-1", b"north"]
    assert len({place(key, partitions) for key in keys}) == 1


def test_sites_are_spread() -> None:
    used = {place(b"site-%d/pump" % number, list(range(8))) for number in range(200)}
    assert used == set(range(8))
