"""A connection that only publishes, as a pure state machine: messages and time in, bytes and answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.receive.mqtt.connect import REFUSED, Connack, Connect
from edge_aggregator.receive.mqtt.publish import Puback, Publish
from edge_aggregator.receive.mqtt.session import Phase, SubscriberSession
from edge_aggregator.receive.mqtt.topic_cache import TopicCache
from edge_aggregator.receive.mqtt.wire import Kind, Version

if TYPE_CHECKING:
    from edge_aggregator.receive.mqtt.session import Subscription

MOST_IN_FLIGHT = 1000
_HIGHEST_ID = 65_535


class PublisherSession(SubscriberSession):
    """QoS 1 over MQTT 3.1.1, which every broker speaks; the session ends with the connection.

    `answered` are messages by identifier: True where the broker has taken one. `wanted` has no topics.
    """

    def __init__(self, wanted: Subscription, now: float) -> None:
        super().__init__(wanted, Version.V311, TopicCache(), now)
        self.answered: list[tuple[int, bool]] = []
        self._in_flight: set[int] = set()
        self._last_id = 0

    def publish(self, topic: str, payload: bytes, *, retain: bool, now: float) -> int | None:
        """Send a message; its identifier, None while nothing can be sent or too many messages are under way."""
        if self.phase is not Phase.READY or self.ending or len(self._in_flight) >= MOST_IN_FLIGHT:
            return None
        packet_id = self._next_id()
        self._in_flight.add(packet_id)
        self._said = now
        self.outgoing += Publish(topic=topic, payload=payload, qos=1, retain=retain, packet_id=packet_id).encode(
            self.version
        )
        return packet_id

    def _connect(self) -> Connect:
        wanted = self._wanted
        return Connect(
            version=self.version,
            client_id=wanted.client_id,
            keepalive_s=wanted.keepalive_s,
            username=wanted.username,
            password=wanted.password,
        )

    def _control(self, kind: Kind, body: bytes) -> None:
        if kind is not Kind.PUBACK:
            super()._control(kind, body)
            return
        answer = Puback.decode(body, self.version)
        if answer.packet_id in self._in_flight:
            self._in_flight.remove(answer.packet_id)
            self.answered.append((answer.packet_id, answer.reason < REFUSED))

    def _accepted(self, answer: Connack) -> None:
        self.session_present, self.phase = answer.session_present, Phase.READY

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % _HIGHEST_ID + 1
            if self._last_id not in self._in_flight:
                return self._last_id
