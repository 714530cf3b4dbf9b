"""Messages to columns: pure but for the dictionary and the caches in `tables`, which grow."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edge_aggregator.decode.collected import Collected
from edge_aggregator.decode.events import read_ack, read_state
from edge_aggregator.decode.finish import finish
from edge_aggregator.decode.tables import Channel
from edge_aggregator.decode.telemetry import Origin, read_messages, read_unusual
from edge_aggregator.receive.port import Message
from ingest.contract.device_time import TimeRequest
from ingest.contract.reasons import EventRejection, SampleRejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge_aggregator.decode.decoded import Decoded
    from edge_aggregator.decode.tables import Place, Tables

_EVENT_CHANNELS = (Channel.STATE, Channel.ACK)
_TIME_REQUESTS = msgspec.json.Decoder(TimeRequest)
_OURS = (Channel.COMMAND, Channel.ALARM)


class Taken(NamedTuple):
    """Messages that arrived together, at `at` (ms); `oversized`: topics of messages that the receiver had to skip."""

    at: int
    messages: Sequence[Message]
    oversized: tuple[str, ...] = ()


def decode(taken: Iterable[Taken], tables: Tables) -> Decoded:
    """Everything that arrived between two commits; raises nothing, whatever the payloads are."""
    found = Collected()
    for arrival in taken:
        found.newest = max(found.newest, arrival.at)
        other = partial(_read_other, arrival.at, tables, found)
        read_messages(arrival.messages, arrival.at, tables, found, other)
        for topic in arrival.oversized:
            _too_large(Message(topic, b"", retain=False), arrival.at, tables, found)
    return finish(found, tables)


def _read_other(at: int, tables: Tables, into: Collected, message: Message) -> None:
    place = tables.place(message.topic)
    if place.channel in _OURS:
        return
    if place.channel is Channel.UNKNOWN:
        into.reject(message, at, SampleRejection.UNKNOWN_TOPIC, message.topic)
    elif place.channel is Channel.FOREIGN:
        _foreign(message, at, place, into)
    elif len(message.payload) > tables.limits.payload_bytes:
        _too_large(message, at, tables, into)
    elif place.channel is Channel.CLOCK:
        _read_time_request(message, at, place, tables, into)
    elif place.channel in _EVENT_CHANNELS:
        _read_event(message, at, place, tables, into)
    else:
        _read_telemetry(message, at, place, tables, into)


def _read_telemetry(message: Message, at: int, place: Place, tables: Tables, into: Collected) -> None:
    device = tables.names.device_id(place.device)
    if device is None:
        into.reject(message, at, SampleRejection.TOO_MANY_SERIES, "there are too many devices")
        return
    parts = len(into.times)
    into.arrivals.extend([at] * (parts - len(into.arrivals)))
    read_unusual(Origin(message, device, at), tables, into)
    if message.retain:
        into.kept.extend(range(parts, len(into.times)))
    else:
        into.heard.add(device)


def _read_event(message: Message, at: int, place: Place, tables: Tables, into: Collected) -> None:
    if not message.payload:  # how a retained message is taken back
        return
    device = tables.names.device_id(place.device)
    if device is None:
        _reject_event(message, at, EventRejection.TOO_MANY_DEVICES, place.device, into)
        return
    try:
        if place.channel is Channel.STATE:
            into.events.append(read_state(message.payload, device, at, retained=message.retain))
        else:
            into.events.append(read_ack(message.payload, device, at))
    except ValueError as error:
        _reject_event(message, at, EventRejection.MALFORMED, str(error), into)


def _read_time_request(message: Message, at: int, place: Place, tables: Tables, into: Collected) -> None:
    # A nonce that the broker has kept is an old one, and whoever is not known yet asks again once it is.
    if message.retain or tables.names.find_device(place.device) is None:
        return
    try:
        tables.asked[place.device] = _TIME_REQUESTS.decode(message.payload).nonce
    except ValueError as error:
        _reject_event(message, at, EventRejection.MALFORMED, str(error), into)


def _foreign(message: Message, at: int, place: Place, into: Collected) -> None:
    if place.foreign_event:
        _reject_event(message, at, EventRejection.FOREIGN_SITE, message.topic, into)
    else:
        into.reject(message, at, SampleRejection.FOREIGN_SITE, message.topic)


def _too_large(message: Message, at: int, tables: Tables, into: Collected) -> None:
    place = tables.place(message.topic)
    detail = f"{len(message.payload)} bytes" if message.payload else "skipped by the receiver"
    if place.channel in (*_EVENT_CHANNELS, Channel.CLOCK) or place.foreign_event:
        _reject_event(message, at, EventRejection.TOO_LARGE, detail, into)
    elif place.channel not in _OURS:
        device = tables.names.find_device(place.device)
        into.reject(message, at, SampleRejection.TOO_LARGE, detail, device=device)


def _reject_event(message: Message, at: int, reason: EventRejection, detail: str, into: Collected) -> None:
    into.events_rejected[reason.value] += 1
    into.dead.add(message, reason.value, detail, at)
