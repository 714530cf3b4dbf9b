"""Details on the wire: what the document says is what the decoder reads, and an unsound one is refused with its reason."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.batch import RollupBatch
from ingest.contract.batch_wire import BadBatchError, decode_batch, encode_batch
from ingest.contract.details import BUCKET_COLUMNS, COUNTER_COLUMNS, SKETCH_COLUMNS, STATE_COLUMNS, chained
from tests.batch_material import batches, faults
from tests.detail_material import same_details
from tests.examples import examples
from tests.wire_reader import columns, read

SPECS = {"sketches": SKETCH_COLUMNS | BUCKET_COLUMNS, "counters": COUNTER_COLUMNS, "states": STATE_COLUMNS}


def taken(value: bytes) -> RollupBatch | str:
    """The batch, or the reason why it is refused."""
    try:
        return decode_batch(value)
    except BadBatchError as error:
        return error.reason


@settings(max_examples=examples(40))
@given(batches())
def test_a_reader_of_the_document_finds_them(batch: RollupBatch) -> None:
    told, details = read(encode_batch(batch))[0].get("details", {}), batch.details
    shown = {
        "sketches": {"row": details.sketch_row, **details.sketches._asdict()},
        "counters": {"row": details.counter_row, "increase": details.increase, "resets": details.resets},
        "states": {"row": details.state_row, "changes": details.changes},
    }
    for name, wanted in shown.items():
        found = columns(told.get(name, {}))
        assert (name in told) == bool(len(wanted["row"]))
        assert found == ({key: values.tolist() for key, values in wanted.items()} if name in told else {})


@settings(max_examples=examples(60))
@given(batches(), st.data())
def test_a_changed_cell_is_taken_exactly_if_it_is_sound(batch: RollupBatch, data: st.DataObject) -> None:
    whole = msgspec.msgpack.decode(encode_batch(batch))
    fields = whole.get("details")
    if not fields:
        return
    kind = data.draw(st.sampled_from(sorted(fields)))
    column = data.draw(st.sampled_from([name for name in SPECS[kind] if fields[kind][name]] or ["row"]))
    dtype = SPECS[kind][column]
    cells = np.frombuffer(fields[kind][column], dtype).copy()
    cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(_cells(dtype))
    fields[kind][column] = cells.tobytes()
    found = taken(msgspec.msgpack.encode(whole))
    if not isinstance(found, RollupBatch):
        assert found in ("bad_value", "index_out_of_bounds", "column_length")
    else:
        assert faults(found) == []
        assert same_details(decode_batch(encode_batch(found)).details, found.details)


def _cells(dtype: np.dtype[Any]) -> st.SearchStrategy[Any]:
    if dtype.kind == "f":
        return st.sampled_from([0.0, 1.5, -1.0, np.inf, np.nan])
    info = np.iinfo(dtype)
    return st.integers(0, 5) | st.integers(int(info.min), int(info.max)) | st.sampled_from([info.min, info.max])


@settings(max_examples=examples(40))
@given(batches(), st.data())
def test_a_buffer_of_another_length_is_refused(batch: RollupBatch, data: st.DataObject) -> None:
    whole = msgspec.msgpack.decode(encode_batch(batch))
    for kind, buffers in whole.get("details", {}).items():
        name = data.draw(st.sampled_from(sorted(buffers)))
        longer = {**buffers, name: buffers[name] + bytes(data.draw(st.integers(1, 9)))}
        shorter = {key: cells for key, cells in buffers.items() if key != name}
        for changed in (longer, shorter):
            value = msgspec.msgpack.encode({**whole, "details": {**whole["details"], kind: changed}})
            assert taken(value) in ("column_length", "column_missing", "bad_value", "index_out_of_bounds")


@settings(max_examples=examples(40))
@given(batches(), st.data())
def test_parts_and_the_whole_say_the_same(batch: RollupBatch, data: st.DataObject) -> None:
    rows, details = len(batch), batch.details
    cut = data.draw(st.integers(0, rows))
    parts = [details.between(0, cut), details.between(cut, rows)]
    assert same_details(chained(parts, [cut, rows - cut]), details)
    order = np.array(data.draw(st.permutations(range(rows))), np.int64)
    assert same_details(details.moved(order).moved(np.argsort(order)), details)
