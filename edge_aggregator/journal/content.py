"""What is inside a block: columns of samples, notes, and the names that the file did not know before."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edge_aggregator.decode.decoded import Decoded, Notes, Samples
from edge_aggregator.journal.codec import CodecError, pack, unpack
from edge_aggregator.names import SeriesName

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge_aggregator.journal.block import Block
    from edge_aggregator.names import Names

_LENGTHS = struct.Struct("<II")


class NewNames(msgspec.Struct, frozen=True, array_like=True):
    """Devices (id, name) and series (id, device id, metric, labels)."""

    devices: list[tuple[int, str]] = []
    series: list[tuple[int, int, str, tuple[tuple[str, str], ...]]] = []

    @classmethod
    def of(cls, devices: Iterable[int], series: Sequence[int], names: Names) -> NewNames:
        """The names of these ids."""
        return cls(
            [(device, names.devices[device]) for device in devices],
            [(s, *name) for s, name in zip(series, names.series.of(series), strict=True)],
        )

    def teach(self, names: Names) -> None:
        """Let `names` know them; what it knows already stays as it is."""
        for device, name in self.devices:
            if device >= len(names.devices) or not names.devices[device]:
                names.define_device(device, name)
        names.define_plain([(s, SeriesName(device, metric, labels)) for s, device, metric, labels in self.series])


NO_NAMES = NewNames()
_ENCODER = msgspec.msgpack.Encoder()
_NOTES = msgspec.msgpack.Decoder(Notes)
_NAMES = msgspec.msgpack.Decoder(NewNames)


class Content(NamedTuple):
    """A block's inside."""

    samples: Samples
    notes: Notes
    names: NewNames = NO_NAMES

    def decoded(self) -> Decoded:
        """Samples and notes, as one commit brought them."""
        return Decoded(self.samples, self.notes)


def pack_content(content: Content, *, dense: bool = False) -> bytes:
    """Content as bytes; `dense` as in `pack`."""
    columns, notes = pack(content.samples, dense=dense), _ENCODER.encode(content.notes)
    return b"".join((_LENGTHS.pack(len(columns), len(notes)), columns, notes, _ENCODER.encode(content.names)))


def unpack_content(data: bytes) -> Content:
    """Bytes of `pack_content`. Raises CodecError."""
    try:
        columns, notes = _LENGTHS.unpack_from(data)
        notes_at = _LENGTHS.size + columns
        names_at = notes_at + notes
        return Content(
            unpack(data[_LENGTHS.size : notes_at]),
            _NOTES.decode(data[notes_at:names_at]),
            _NAMES.decode(data[names_at:]),
        )
    except (struct.error, msgspec.DecodeError) as error:
        raise CodecError(str(error)) from error


def with_known_names(block: Block, names: Names) -> Block:
    """The block without what has no name: a block that is lost takes with it the names that it was the first to use."""
    devices, named = names.devices, names.have_names(block.samples.series)
    notes = msgspec.structs.replace(
        block.notes,
        heard=[device for device in block.notes.heard if device < len(devices) and devices[device]],
        rejected_of={d: count for d, count in block.notes.rejected_of.items() if d < len(devices) and devices[d]},
        messages=[m for m in block.notes.messages if m.device < len(devices) and devices[m.device]],
    )
    series, ts, value = block.samples
    return block._replace(samples=Samples(series[named], ts[named], value[named]), notes=notes)
