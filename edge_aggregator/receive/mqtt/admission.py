"""Who may connect to the listener: a pure decision over a CONNECT, with the answer's code in both versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.receive.mqtt.ending import Cause
from edge_aggregator.receive.mqtt.wire import Version
from ingest.contract.topics import device_topic, is_name, read_device_topic

if TYPE_CHECKING:
    from edge_aggregator.receive.mqtt.connect import Connect
    from edge_aggregator.receive.mqtt.credentials import Credentials


class Refusal(NamedTuple):
    """Why not, with the CONNACK codes of 3.1.1 and 5."""

    cause: Cause
    detail: str
    code311: int
    code5: int

    def code(self, version: Version) -> int:
        """The CONNACK code for `version`."""
        return self.code5 if version is Version.V5 else self.code311


BAD_NAME = Refusal(Cause.BAD_DEVICE_NAME, "the client identifier is no device name", 2, 0x85)
BAD_CREDENTIALS = Refusal(Cause.BAD_CREDENTIALS, "unknown device, or wrong user name or password", 4, 0x86)
FOREIGN_WILL = Refusal(Cause.FOREIGN_TOPIC, "the will is outside the device's own topics", 5, 0x87)


@dataclass(frozen=True, slots=True)
class Door:
    """The listener's rules. Without credentials (loopback only) any device may publish anywhere."""

    site: str
    credentials: Credentials | None
    panels: frozenset[str] = frozenset()

    def refusal(self, connect: Connect) -> Refusal | None:
        """Why a client may not come in; None when it may."""
        device = connect.client_id
        if not is_name(device):
            return BAD_NAME
        if self.credentials is not None and not self.credentials.admit(device, connect.username, connect.password):
            return BAD_CREDENTIALS
        if connect.will and not connect.will.topic.startswith(self.realm(device)):
            return FOREIGN_WILL
        return None

    def realm(self, device: str) -> str:
        """What every topic that `device` publishes to must begin with."""
        return device_topic(self.site, device, "") if self.credentials is not None else ""

    def command_topic(self, device: str) -> str:
        """The topic of commands that `device` may subscribe to."""
        return device_topic(self.site, device, "command")

    def reads_alarms(self, device: str, topic: str) -> bool:
        """Whether `device` may subscribe to this filter over alarms: its own, or everybody's where it is a panel."""
        own, every = device_topic(self.site, device, "alarm"), device_topic(self.site, "+", "alarm")
        parts = read_device_topic(topic)
        one = parts is not None and (parts.site, parts.channel) == (self.site, "alarm")
        return topic == own or ((self.credentials is None or device in self.panels) and (topic == every or one))
