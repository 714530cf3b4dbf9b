"""The feeder, a process of its own: `python -m compose.bench.feeder PLAN` feeds and prints lines of JSON.

It says `{"port": …}` when it listens (or has connected), `{"ready": true}` when there is somebody to feed, begins when
a line comes on its standard input, and ends with a FeedReport. As a broker it takes any number of connections and
feeds the one that subscribes.
"""

from __future__ import annotations

import select
import socket
import sys
from typing import TYPE_CHECKING

import msgspec

from compose.bench.feed import FeedPlan
from compose.bench.pump import Pump
from compose.bench.reel import Reel
from edge_aggregator.receive.mqtt.connect import Connack, Connect
from edge_aggregator.receive.mqtt.properties import Property, number
from edge_aggregator.receive.mqtt.subscribe import Suback, Subscribe
from edge_aggregator.receive.mqtt.wire import Kind, Version, frame_at, kind_of

if TYPE_CHECKING:
    from typing import Any

_READ = 64 * 1024
_UNSUPPORTED = 0x84  # "unsupported protocol version"
_ANSWERS = {Kind.PINGREQ: b"\xd0\0"}


class Guest:
    """One connection to the feeder as a broker."""

    def __init__(self, sock: socket.socket, *, only_311: bool) -> None:
        self.sock, self._only_311 = sock, only_311
        self.version, self.in_flight = Version.V311, 65_535
        self.subscribed = False
        self._rest = b""

    def hear(self) -> bool:
        """Answer what it says; False when it has hung up."""
        try:
            chunk = self.sock.recv(_READ)
        except ConnectionError:
            return False
        data, at = self._rest + chunk, 0
        while (frame := frame_at(data, at)) and frame.end <= len(data):
            self._packet(kind_of(data[at]), data[frame.start : frame.end])
            at = frame.end
        self._rest = data[at:]
        return bool(chunk)

    def _packet(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.CONNECT:
            connect = Connect.decode(body)
            self.version = connect.version
            self.in_flight = number(connect.properties, Property.RECEIVE_MAXIMUM, self.in_flight)
            refused = self._only_311 and self.version is Version.V5
            self.sock.sendall(Connack(reason=_UNSUPPORTED if refused else 0).encode(self.version))
        elif kind is Kind.SUBSCRIBE:
            asked = Subscribe.decode(body, self.version)
            granted = bytes(min(qos, 1) for _, qos in asked.filters)
            self.sock.sendall(Suback(asked.packet_id, granted).encode(self.version))
            self.subscribed = True
        elif kind in _ANSWERS:
            self.sock.sendall(_ANSWERS[kind])


def as_broker(plan: FeedPlan) -> None:
    """Listen, wait for a subscriber, feed it."""
    with socket.create_server((plan.host, plan.port)) as server:
        _say({"port": server.getsockname()[1]})
        guests: dict[socket.socket, Guest] = {}
        fed = _subscriber(server, guests, plan)
        reel = Reel(plan.site, plan.devices, plan.frames, plan.seed, extra=int(fed.version is Version.V5))
        others = {sock: guest for sock, guest in guests.items() if guest is not fed}
        pump = Pump(fed.sock, reel, plan, min(plan.in_flight, fed.in_flight), lambda: _serve(server, others, 0, plan))
        pump.introduce()
        _say({"ready": True})
        _wait(server, fed, others, plan)
        _say(msgspec.to_builtins(pump.run()))
        _wait(server, fed, others, plan)  # its end: until then somebody may still ping


def _wait(server: socket.socket, fed: Guest, others: dict[socket.socket, Guest], plan: FeedPlan) -> None:
    # For a line on standard input, or its end.
    fed.sock.setblocking(True)
    guests = {fed.sock: fed, **others}
    while not select.select([sys.stdin], [], [], 0)[0]:
        _serve(server, guests, 0.05, plan)
    sys.stdin.readline()
    guests.pop(fed.sock, None)
    others.clear()
    others.update(guests)


def _subscriber(server: socket.socket, guests: dict[socket.socket, Guest], plan: FeedPlan) -> Guest:
    while True:
        _serve(server, guests, 0.5, plan)
        for guest in guests.values():
            if guest.subscribed:
                return guest


def _serve(server: socket.socket, guests: dict[socket.socket, Guest], seconds: float, plan: FeedPlan) -> None:
    for ready in select.select([server, *guests], [], [], seconds)[0]:
        if ready is server:
            sock, _ = server.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            guests[sock] = Guest(sock, only_311=plan.only_311)
        elif not guests[ready].hear():
            guests.pop(ready).sock.close()


def as_publisher(plan: FeedPlan) -> None:
    """Publish at a broker."""
    with socket.create_connection((plan.host, plan.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connect = Connect(
            version=Version.V311,
            client_id=f"feeder-{sock.getsockname()[1]}",
            clean_start=True,
            keepalive_s=600,
            username=plan.username or None,
            password=plan.password.encode() or None,
        )
        sock.sendall(connect.encode())
        answer = sock.recv(4)
        if answer != b"\x20\x02\0\0":
            raise SystemExit(f"the broker refused the feeder: {answer.hex()}")
        reel = Reel(plan.site, plan.devices, plan.frames, plan.seed, extra=0)
        _say({"port": plan.port})
        _say({"ready": True})
        sys.stdin.readline()
        _say(msgspec.to_builtins(Pump(sock, reel, plan, plan.in_flight, lambda: None).run()))
        sys.stdin.readline()


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do what the plan says."""
    plan = msgspec.json.decode(sys.argv[1], type=FeedPlan)
    if plan.role == "broker":
        as_broker(plan)
    else:
        as_publisher(plan)


if __name__ == "__main__":
    main()
