"""A journal that is encrypted: keys come and go, a missing one is named, and nothing is readable without them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from edge_aggregator.journal.keys import KeySource, load_keyring
from edge_aggregator.journal.seal import PLAIN, JournalKey
from edge_aggregator.storage import StorageFailedError
from ingest.runtime.secrets import SecretError
from tests.edge_bench import T0, Bench, Sample, check_ledger, edge_config, final_rollups, message, naive_rollups

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
OWNER = ("acme", "site-1", "gw-1")


def key_id(word: str) -> int:
    return JournalKey.from_raw(base64.b64decode(word)).id


def write_keys(folder: Path, *words: str, mode: int = 0o600) -> str:
    path = folder / "keys"
    path.write_text("\n".join(words))
    path.chmod(mode)
    return str(path)


def told(bench: Bench, second: int) -> list[Sample]:
    """Ten samples, one a second, each in a block of its own."""
    samples = [Sample("pump", "pressure", T0 + s * 1000, s / 3) for s in range(second, second + 10)]
    for sample in samples:
        bench.take([message(sample)], sample.ts)
    return samples


def opened(folder: Path, **changes: Any) -> Bench:
    return Bench(edge_config(folder, heartbeat_s=3600.0, **changes))


def test_a_journal_changes_keys_and_stays_readable(tmp_path: Path) -> None:
    sent: list[Sample] = []
    lives: list[tuple[str, ...]] = [(), (OLD,), (NEW, OLD), ("none", NEW, OLD)]
    for life, words in enumerate(lives):
        changes = {"journal_key_file": write_keys(tmp_path, *words)} if words else {}
        bench = opened(tmp_path, **changes)
        sent += told(bench, life * 10)
        assert bench.rooms.journal.folder.firsts == [life * 10 + 1 for life in range(life + 1)]
        bench.close()  # nothing was flushed: the next life reads it all
    keys = [PLAIN, key_id(OLD), key_id(NEW), PLAIN]
    files = sorted((tmp_path / "edge" / "journal").glob("journal-*.db"))
    for key, file in zip(keys, files, strict=True):
        assert (b"pressure" in file.read_bytes()) == (key == PLAIN)
    bench = opened(tmp_path, journal_key_file=write_keys(tmp_path, "none", NEW, OLD))
    bench.flush(T0 + 10**9)
    assert final_rollups(bench.batches()) == naive_rollups(sent, {}, 10_000)
    check_ledger(bench.batches())
    bench.close()


@pytest.mark.parametrize("words", [(), (NEW,)], ids=["no key", "another key"])
def test_a_missing_key_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    bench = opened(tmp_path, journal_key_file=write_keys(tmp_path, OLD))
    sent = told(bench, 0)
    bench.close()
    bench = opened(tmp_path, journal_key_file=write_keys(tmp_path, NEW, OLD))  # now that file is not the newest
    sent += told(bench, 10)
    bench.close()
    changes = {"journal_key_file": write_keys(tmp_path, *words)} if words else {}
    with pytest.raises(StorageFailedError, match=rf"journal-0+1\.db is sealed with journal key {key_id(OLD):08x}"):
        opened(tmp_path, **changes)
    bench = opened(tmp_path, journal_key_file=write_keys(tmp_path, NEW, OLD))
    bench.flush(T0 + 10**9)
    assert final_rollups(bench.batches()) == naive_rollups(sent, {}, 10_000)
    assert bench.rooms.ledger.totals.dropped == {}
    bench.close()


def test_merged_blocks_are_sealed_as_well(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"journal_key_file": write_keys(tmp_path, OLD), "journal_merge_samples": 8}
    bench = opened(tmp_path, **changes)
    sent = told(bench, 0) + told(bench, 10)
    for turn in range(4):
        bench.flush(T0 + 20_000 + turn * 1000)
    assert any(block.last > block.position for block in bench.rooms.journal.read(1, 20))
    assert b"pressure" not in b"".join(f.read_bytes() for f in (tmp_path / "edge" / "journal").glob("journal-*"))
    late = [Sample("pump", "pressure", T0 + 500, 9.0)]
    bench.restart()
    bench.take([message(late[0])], T0 + 30_000)
    bench.flush(T0 + 10**9)
    assert final_rollups(bench.batches()) == naive_rollups([*sent, *late], {}, 10_000)
    bench.close()


def test_keys_come_from_a_private_file_or_the_environment(tmp_path: Path) -> None:
    ring = load_keyring(KeySource("", "KEYS"), OWNER, {"KEYS": f"{NEW} {OLD}"})
    assert (ring.newest, ring.has(key_id(OLD)), ring.size()) == (key_id(NEW), True, 2)
    assert load_keyring(KeySource("", ""), OWNER, {}).newest == PLAIN
    for words, complaint in [(["abc"], "base64"), (["YWJj"], "found 3 bytes"), ([], "nothing"), ([OLD, OLD], "twice")]:
        with pytest.raises(SecretError, match=complaint):
            load_keyring(KeySource(write_keys(tmp_path, *words), ""), OWNER, {})
    with pytest.raises(SecretError, match="chmod 600"):
        load_keyring(KeySource(write_keys(tmp_path, OLD, mode=0o644), ""), OWNER, {})
    with pytest.raises(SecretError, match=r"\$KEYS: expected at least one"):
        load_keyring(KeySource("", "KEYS"), OWNER, {})
    with pytest.raises(ValueError, match="both journal_key_file and journal_key_env"):
        edge_config(tmp_path, journal_key_file="a", journal_key_env="b")
