"""Whether a gateway's broker answers, shows a certificate that is trusted, and takes the credentials."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from compose.doctor.finding import bad, good, warning
from edge_aggregator.receive.mqtt.tls import client_context
from ingest.runtime.secrets import SecretError, read_secret

if TYPE_CHECKING:
    from compose.doctor.finding import Finding
    from edge_aggregator.receive.config import BrokerConfig

ABOUT = "broker"


def look_at_broker(broker: BrokerConfig | None) -> Finding:
    """Signs in under a name of its own, so that the gateway keeps its session, and out again."""
    if broker is None:
        return good(ABOUT, "none: the gateway's own listener acknowledges only what is on its disk")
    where = f"{broker.host}:{broker.port}"
    try:
        refusal = _sign_in(broker)
    except ssl.SSLError as error:
        return bad(
            ABOUT, f"{where}: {error.reason or error}", "is edge.broker.tls.ca_file its authority's certificate?"
        )
    except SecretError as error:
        return bad(ABOUT, str(error), "chmod 600, and one line with the password")
    except OSError as error:
        return bad(ABOUT, f"{where}: {error}", "is it running, and is its port open from here?")
    if refusal:
        return bad(ABOUT, f"{where}: {refusal}", "are edge.broker.username and password_file right?")
    return warning(
        ABOUT,
        f"{where} answers; what it acknowledges to devices is its own promise",
        "tidegate doctor --mosquitto-conf FILE says which of its settings break it",
    )


def _sign_in(broker: BrokerConfig) -> str:
    """Why it is refused; "" when it is not. Raises OSError, ssl.SSLError, SecretError."""
    client = Client(CallbackAPIVersion.VERSION2, f"{broker.client_id}-doctor", protocol=MQTTProtocolVersion.MQTTv311)
    client.connect_timeout = broker.connect_timeout_s
    if broker.tls is not None:
        client.tls_set_context(client_context(broker.tls))
    if broker.username is not None:
        client.username_pw_set(broker.username, read_secret(broker.password_file) if broker.password_file else None)
    answered, said = threading.Event(), [f"no answer within {broker.connect_timeout_s:.0f} s"]

    def connected(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        said[0] = str(reason) if reason.is_failure else ""
        answered.set()

    client.on_connect = connected
    client.connect(broker.host, broker.port)
    client.loop_start()
    answered.wait(broker.connect_timeout_s)
    client.disconnect()
    client.loop_stop()
    return said[0]
