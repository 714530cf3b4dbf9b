"""A Mosquitto with TLS, as the documents set it up: own authority, a certificate for each device, rights by name."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from compose.stack.mosquitto import Mosquitto
from compose.stack.ports import LOOPBACK, free_port
from compose.stack.process import end, find, launch
from compose.stack.server import account
from tests.mqtt_intake import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_aggregator.receive.config import TlsConfig

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


@contextmanager
def broker(folder: Path, server: TlsConfig, site: str) -> Iterator[int]:
    """The broker's port; its files are in `folder`."""
    port = free_port()
    config = (EXAMPLES / "mosquitto.conf").read_text()
    for told, here in {
        "listener 8883 0.0.0.0": f"listener {port} {LOOPBACK}",
        "/etc/mosquitto/tidegate/ca.pem": server.ca_file or "",
        "/etc/mosquitto/tidegate/server.pem": server.cert_file or "",
        "/etc/mosquitto/tidegate/server.key": server.key_file or "",
        "/etc/mosquitto/tidegate/acl": str(folder / "acl"),
        "/var/lib/mosquitto/": f"{folder}/",
    }.items():
        assert told in config
        config = config.replace(told, here)
    (folder / "mosquitto.conf").write_text(f"{config}\nuser {account()}\nlog_dest stderr\n")
    (folder / "acl").write_text((EXAMPLES / "mosquitto.acl").read_text().replace("north", site))
    (folder / "acl").chmod(0o600)
    program = Mosquitto().obtain(os.environ, lambda _: None)
    log = folder / "mosquitto.log"
    process = launch(
        [str(program.path), "-c", str(folder / "mosquitto.conf")], home=folder, log=log, env=dict(os.environ)
    )
    try:
        until = time.monotonic() + DEADLINE_S
        while not _listens(port):
            assert find(process) is not None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield port
    finally:
        end(process, signal.SIGTERM)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), 1).close()
    except OSError:
        return False
    return True
