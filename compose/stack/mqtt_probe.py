"""One MQTT connection, opened and closed, to see whether a broker lets a user in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from compose.stack.errors import NotReady

if TYPE_CHECKING:
    from compose.stack.endpoints import MqttEndpoint

TURNS, TURN_S = 50, 0.1


def probe_mqtt(endpoint: MqttEndpoint) -> None:
    """Returns when the broker accepts the gateway's CONNECT; raises NotReady otherwise."""
    client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    client.username_pw_set(endpoint.username or None, endpoint.password or None)
    answers: list[Any] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(reason)
    try:
        client.connect(endpoint.host, endpoint.port)
        _take_turns(client, answers)
        client.disconnect()
    except OSError as error:
        raise NotReady(f"{endpoint.host}:{endpoint.port}: {error}") from error
    if not answers or answers[0].is_failure:
        raise NotReady(f"{endpoint.host}:{endpoint.port}: answered CONNECT with {answers or 'nothing'}")


def _take_turns(client: Client, answers: list[Any]) -> None:
    for _ in range(TURNS):
        if client.loop(timeout=TURN_S) != MQTTErrorCode.MQTT_ERR_SUCCESS or answers:
            return
