"""TLS contexts from the files that the configuration names."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_aggregator.receive.config import TlsConfig


def client_context(config: TlsConfig) -> ssl.SSLContext:
    """TLS towards a broker: its certificate and name are always verified. Raises OSError, ssl.SSLError."""
    context = ssl.create_default_context(cafile=config.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.cert_file:
        context.load_cert_chain(config.cert_file, config.key_file)
    return context


def server_context(config: TlsConfig) -> ssl.SSLContext:
    """TLS towards devices; with `ca_file` each must show a certificate signed by it. Raises OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.cert_file or "", config.key_file)
    if config.ca_file:
        context.load_verify_locations(config.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
