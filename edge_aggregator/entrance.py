"""Where a gateway hears devices and commands leave for them: a broker of the site's, or its own listener."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.receive.mqtt.downlink import BrokerDownlink
from edge_aggregator.receive.mqtt.listener import MqttListener
from edge_aggregator.receive.mqtt.reader import MqttReader

if TYPE_CHECKING:
    from edge_aggregator.commands.publisher import Publisher
    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.receive.port import Downlink, Receiver
    from ingest.runtime.clock import Clock


def open_entrance(config: EdgeConfig, clock: Clock) -> tuple[Receiver, Downlink]:
    """What the configuration names. Raises ValueError when it names neither broker nor listener."""
    if config.broker is not None:
        return MqttReader(config.broker, clock), BrokerDownlink(config.broker, clock)
    if config.listener is not None:
        listener = MqttListener(config.listener, clock)
        return listener, listener
    raise ValueError("neither broker nor listener is given: name where devices are heard")


async def publishing(publisher: Publisher, downlink: Downlink) -> None:
    """Publish until cancelled, over a connection of the downlink's own where it needs one."""
    if not isinstance(downlink, BrokerDownlink):
        await publisher.run()
        return
    await downlink.start()
    try:
        await publisher.run()
    finally:
        await downlink.close()


def quiesce(receiver: Receiver) -> None:
    """Take nothing more: what was read can still be acknowledged, what was not is sent again to the next process."""
    stop = getattr(receiver, "quiesce", None)
    if stop is not None:
        stop()


def reason_of(receiver: Receiver) -> str:
    """Why it hears nothing; "" while it does."""
    state = receiver.state()
    return "" if state == "connected" else state
