"""The flight recorder: who may ask, what is found in the journal, and that the answer says what it does not contain."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING, Any

import apsw
import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_aggregator.names import Names, SeriesName
from edge_aggregator.recorder import search as searching
from edge_aggregator.recorder.answers import CHUNK_BYTES, Answer, unreadable
from edge_aggregator.recorder.config import RecorderConfig
from edge_aggregator.widths import Widths
from ingest.contract.commands import key_id
from ingest.contract.events import PullEvent
from ingest.contract.records import REASON_HEADER, Record
from ingest.contract.samples import decode_samples
from ingest.contract.topics import PULLS, REQUESTS, SAMPLES, dead
from ingest.runtime.secrets import public_key_text, write_secret
from tests.edge_bench import T0, Bench, Sample, edge_config, message, telemetry
from tests.recorder_material import asked, request, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest.contract.records import Outgoing
    from ingest.contract.requests import SampleRequest

CENTRE, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
KEYS = {key_id(CENTRE.public_key()): CENTRE.public_key()}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    config = edge_config(tmp_path, journal_file_bytes=64 * 1024, recorder=RecorderConfig(most_waiting=2))
    made = Bench(config, KEYS)
    yield made
    made.close()


def filled(bench: Bench, blocks: int = 60, seed: int = 7) -> set[Sample]:
    """Samples in disorder, a tenth of them twice, in blocks of 50; what there is of them."""
    rng, sent = random.Random(seed), list[Sample]()
    for number in range(blocks):
        for _ in range(50):
            again = sent and rng.random() < 0.1
            ts = T0 + number * 5000 + rng.randrange(-30_000, 5000)
            fresh = Sample(f"d{rng.randrange(3)}", f"m{rng.randrange(3)}", max(ts, T0), rng.random())
            sent.append(rng.choice(sent) if again else fresh)
        bench.take([message(sample) for sample in sent[-50:]], T0 + number * 5000)
    return set(sent)


def found(bench: Bench, wanted: SampleRequest, most: int = 1 << 40) -> tuple[list[Sample], searching.Search]:
    """What a search finds, and the search when it is over."""
    search, samples = bench.core.search(wanted, most), list[Sample]()
    opened = bench.rooms.clerk.begin(T0)
    while True:
        while not bench.core.search_turn(search):
            pass
        chosen = search.take()
        if opened is None:
            bench.core.take_requests([record(asked(CENTRE))], T0)
            opened = bench.rooms.clerk.begin(T0)
        assert opened is not None
        for part in bench.core.answers.parts(opened, chosen, 0, T0):
            samples += rows(decode_samples(part.record.value or b""))
        if search.over():
            return samples, search


def record(outgoing: Outgoing) -> Record:
    return Record(outgoing.topic, 0, 0, outgoing.key, outgoing.value, outgoing.headers, T0)


def test_what_was_acknowledged_is_found_once_and_in_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PASS_SAMPLES", 100)
    monkeypatch.setattr(searching, "TURN_BLOCKS", 3)
    sent = filled(bench)
    assert len(bench.rooms.journal.folder.firsts) > 1
    samples, search = found(bench, request(CENTRE))
    assert sorted(samples) == sorted(sent)
    assert [sample.ts for sample in samples] == sorted(sample.ts for sample in samples)
    assert (search.complete, search.lost) == (True, {})


def test_blocks_merged_during_a_search_are_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "TURN_BLOCKS", 3)
    bench = Bench(edge_config(tmp_path, recorder=RecorderConfig(), journal_merge_samples=400))
    sent = filled(bench)
    bench.rooms.journal.merge(7, T0)  # nothing yet: a run of seven blocks is not due
    search, found = bench.core.search(request(CENTRE), 1 << 40), list[Sample]()
    turns = 0
    while not bench.core.search_turn(search):
        turns += 1
        bench.rooms.journal.merge(60, T0 + turns * 10_000)
    taken = search.take()
    names = bench.rooms.names
    for series, ts, value in zip(*(column.tolist() for column in taken), strict=True):
        name = names.series[series]
        found.append(Sample(names.devices[name.device], name.metric, ts, value))
    assert turns > 3
    assert any(block.last > block.position for block in bench.rooms.journal.read(1, 60))
    assert sorted(found) == sorted(sent)
    bench.close()


def test_sealed_blocks_are_searched_as_well(tmp_path: Path) -> None:
    write_secret(tmp_path / "keys", base64.b64encode(bytes(range(32))))
    bench = Bench(edge_config(tmp_path, journal_key_file=str(tmp_path / "keys")), KEYS)
    sent = filled(bench, blocks=5)
    samples, _ = found(bench, request(CENTRE, device="d1"))
    assert sorted(samples) == sorted(sample for sample in sent if sample.device == "d1")
    bench.close()


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"device": "d1"}, lambda s: s.device == "d1"),
        ({"device": "d[01]", "metrics": ["m2"]}, lambda s: s.device in {"d0", "d1"} and s.metric == "m2"),
        ({"metrics": ["m0", "m1"]}, lambda s: s.metric in {"m0", "m1"}),
        ({"device": "D1"}, lambda _: False),
        ({"start": T0 + 40_000, "end": T0 + 60_000}, lambda s: T0 + 40_000 <= s.ts < T0 + 60_000),
    ],
)
def test_only_what_was_asked_for(bench: Bench, changes: dict[str, Any], fits: Any) -> None:
    sent = filled(bench)
    samples, _ = found(bench, request(CENTRE, **changes))
    assert sorted(samples) == sorted(sample for sample in sent if fits(sample))


def test_the_earliest_are_sent_when_there_are_too_many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PASS_SAMPLES", 64)
    sent = sorted(filled(bench), key=lambda sample: sample.ts)
    samples, search = found(bench, request(CENTRE, most_samples=200))
    assert len(samples) == 200
    assert not search.complete
    # Everything before `until` is there, and nothing that is there is later than what is not.
    assert {s for s in sent if s.ts < search.until} == {s for s in samples if s.ts < search.until}
    assert search.until == samples[-1].ts


def test_two_values_at_one_time_are_both_there_and_copies_are_not(bench: Bench) -> None:
    samples = [Sample("d", "m", T0, value) for value in (1.0, 2.0, 1.0)]
    for sample in samples:
        bench.take([message(sample), message(sample)], T0)
    assert found(bench, request(CENTRE))[0] == [samples[0], samples[1]]


def test_samples_that_come_after_the_question_are_no_answer(bench: Bench) -> None:
    bench.take([message(Sample("d", "m", T0, 1.0))], T0)
    search = bench.core.search(request(CENTRE), 100)
    bench.take([message(Sample("new", "m", T0 + 1, 1.0)), message(Sample("d", "m", T0 + 1, 1.0))], T0)
    while not bench.core.search_turn(search):
        pass
    assert search.take().ts.tolist() == [T0]


def test_a_damaged_block_is_named_and_hides_no_other(bench: Bench, tmp_path: Path) -> None:
    for number in range(5):
        bench.take([message(Sample("d", "m", T0 + number, 1.0))], T0)
    bench.close()
    file = next((tmp_path / "edge" / "journal").glob("journal-*.db"))
    db = apsw.Connection(str(file))
    db.execute("UPDATE sealed SET content = zeroblob(length(content)) WHERE position = 3")
    db.close()
    bench.open()
    samples, search = found(bench, request(CENTRE))
    assert [sample.ts for sample in samples] == [T0, T0 + 1, T0 + 3, T0 + 4]
    named = unreadable(search.lost.values())
    assert [(block.position, block.min_ts, block.max_ts) for block in named] == [(3, T0 + 2, T0 + 2)]


def test_a_series_that_is_forgotten_meanwhile_is_left_out(bench: Bench) -> None:
    bench.take([message(Sample("d", metric, T0, 1.0)) for metric in ("a", "b")], T0)
    search = bench.core.search(request(CENTRE), 100)
    while not bench.core.search_turn(search):
        pass
    bench.rooms.names.forget_series([0])
    bench.core.take_requests([record(asked(CENTRE))], T0)
    begun = bench.core.begin_pull(T0)
    assert begun is not None
    (part,) = bench.core.answers.parts(begun, search.take(), 0, T0)
    assert (part.samples, rows(decode_samples(part.record.value or b""))) == (1, [Sample("d", "b", T0, 1.0)])


def outgoing(bench: Bench, topic: str) -> list[Outgoing]:
    return [waiting.record for waiting in bench.waiting() if waiting.record.topic == topic]


def audits(bench: Bench) -> list[PullEvent]:
    return [msgspec.json.decode(record.value or b"", type=PullEvent) for record in outgoing(bench, PULLS)]


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        (lambda: asked(STRANGER), "unknown_key"),
        (lambda: asked(STRANGER, key=key_id(CENTRE.public_key())), "bad_signature"),
        (lambda: asked(CENTRE, tenant="other"), "foreign_tenant"),
        (lambda: asked(CENTRE, site="site-2"), "foreign_site"),
        (lambda: asked(CENTRE, start=5, end=5), "malformed"),
    ],
)
def test_what_is_not_for_this_gateway_becomes_a_dead_letter(bench: Bench, made: Any, outcome: str) -> None:
    assert bench.core.take_requests([record(made())], T0) == {outcome: 1}
    letters = outgoing(bench, dead(REQUESTS))
    assert [dict(letter.headers)[REASON_HEADER] for letter in letters] == [outcome.encode()]
    assert bench.core.begin_pull(T0) is None
    assert outgoing(bench, SAMPLES) == []


def test_another_sites_request_is_none_of_ours(bench: Bench) -> None:
    other = msgspec.structs.replace(asked(CENTRE, site="site-2"), key=b"site-2")
    assert bench.core.take_requests([record(other)], T0) == {}
    assert bench.waiting() == []


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"issued": T0 - 1000, "expires": T0}, "expired"),
        ({"expires": T0 + 8 * 86_400_000}, "too_long_lived"),
    ],
)
def test_a_refusal_is_answered_and_written_down(bench: Bench, changes: dict[str, Any], outcome: str) -> None:
    assert bench.core.take_requests([record(asked(CENTRE, **changes))], T0) == {outcome: 1}
    (last,) = [decode_samples(r.value or b"") for r in outgoing(bench, SAMPLES)]
    assert last.summary is not None
    assert (last.request, last.summary.outcome, last.summary.samples, len(last)) == ("r1", outcome, 0, 0)
    (event,) = audits(bench)
    assert (event.request, event.outcome, event.asked_by, event.device) == ("r1", outcome, "ann", "*")


def test_a_request_is_taken_once_through_restarts_and_copies(bench: Bench) -> None:
    assert bench.core.take_requests([record(asked(CENTRE)), record(asked(CENTRE))], T0) == {"taken": 1, "duplicate": 1}
    begun = bench.core.begin_pull(T0)
    bench.restart()
    again = bench.core.begin_pull(T0)
    assert begun is not None
    assert again is not None
    assert (begun.request, begun.attempt, again.attempt) == (again.request, 1, 2)
    bench.core.close_pull(again, Answer("answered", attempt=2, samples=7, chunks=2, bytes=99, told=True), T0)
    bench.restart()
    assert bench.core.begin_pull(T0) is None
    assert bench.core.take_requests([record(asked(CENTRE))], T0 + 1) == {"duplicate": 1}
    assert [(event.outcome, event.samples, event.chunks, event.bytes) for event in audits(bench)] == [
        ("answered", 7, 2, 99)
    ]


def test_a_request_that_is_played_again_after_it_was_forgotten_has_expired(bench: Bench) -> None:
    bench.core.take_requests([record(asked(CENTRE))], T0)
    begun = bench.core.begin_pull(T0)
    assert begun is not None
    bench.core.close_pull(begun, Answer("answered", told=True), T0)
    late = T0 + 600_000 + 86_400_001
    bench.core.take_requests([], late)
    assert bench.core.take_requests([record(asked(CENTRE))], late) == {"expired": 1}


def test_requests_that_wait_are_bounded(bench: Bench) -> None:
    records = [record(asked(CENTRE, request=f"r{number}")) for number in range(3)]
    assert bench.core.take_requests(records, T0) == {"taken": 2, "too_many_requests": 1}


def test_a_request_that_expired_while_it_waited_is_not_begun(bench: Bench) -> None:
    bench.core.take_requests([record(asked(CENTRE)), record(asked(CENTRE, request="r2", expires=T0 + 9**7))], T0)
    begun = bench.core.begin_pull(T0 + 600_000)
    assert begun is not None
    assert begun.request.request == "r2"
    assert [(event.request, event.outcome) for event in audits(bench)] == [("r1", "expired")]


def test_a_key_of_its_own_may_ask_for_samples(tmp_path: Path) -> None:
    config = edge_config(tmp_path, recorder=RecorderConfig(keys=[public_key_text(STRANGER.public_key())]))
    made = Bench(config, KEYS)
    assert made.core.take_requests([record(asked(STRANGER)), record(asked(CENTRE, request="r2"))], T0) == {"taken": 2}
    made.close()


def test_chunks_stay_within_their_bound_whatever_names_are_like(bench: Bench) -> None:
    wide = {f"{'x' * 240}{number}": float(number) for number in range(6000)}
    halves = [dict(list(wide.items())[part::2]) for part in (0, 1)]
    bench.take([telemetry("d", {"ts": T0, "metrics": half}) for half in halves], T0)
    bench.core.take_requests([record(asked(CENTRE))], T0)
    begun = bench.core.begin_pull(T0)
    assert begun is not None
    search = bench.core.search(begun.request, 1 << 40)
    while not bench.core.search_turn(search):
        pass
    parts = list(bench.core.answers.parts(begun, search.take(), 3, T0))
    chunks = [decode_samples(part.record.value or b"") for part in parts]
    assert len(chunks) > 1
    assert max(len(part.record.value or b"") for part in parts) <= CHUNK_BYTES
    assert [chunk.chunk for chunk in chunks] == list(range(3, 3 + len(chunks)))
    assert sum(part.samples for part in parts) == 6000
    assert {row.metric: row.value for chunk in chunks for row in rows(chunk)} == wide


@pytest.mark.parametrize("changes", [{"bytes_per_s": 0}, {"most_waiting": 0}, {"most_samples": 0}])
def test_settings_that_cannot_work(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        RecorderConfig(**changes)


def test_a_series_without_a_name_is_not_wanted(tmp_path: Path) -> None:
    names = Names(Widths.from_config(edge_config(tmp_path)), max_devices=9, max_series=9)
    assert searching.wanted_series(names, "*", []).tolist() == []
    names.define_device(0, "d")
    names.define_plain([(2, SeriesName(0, "m"))])
    assert searching.wanted_series(names, "*", []).tolist() == [False, False, True]
    assert np.array_equal(searching.wanted_series(names, "*", ["x"]), [False] * 3)
