"""A certificate authority for one test, with a server's and a client's certificate on 127.0.0.1."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_aggregator.receive.config import TlsConfig

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


class Files(NamedTuple):
    """Paths in PEM."""

    ca: str
    server_cert: str
    server_key: str
    client_cert: str
    client_key: str

    @property
    def server(self) -> TlsConfig:
        return TlsConfig(ca_file=self.ca, cert_file=self.server_cert, key_file=self.server_key)

    @property
    def client(self) -> TlsConfig:
        return TlsConfig(ca_file=self.ca, cert_file=self.client_cert, key_file=self.client_key)


class Authority:
    """Signs certificates; its own is in the folder's `ca.pem`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.file = str(folder / "ca.pem")
        own = _certificate(self._name, self._key, self._name, self._key, authority=True)
        _write(self.file, own.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> TlsConfig:
        """A certificate whose common name is `name`, in the folder, beside its key; the key could sign nothing else."""
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        cert, key = str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key")
        signed = _certificate(subject, own, self._name, self._key)
        _write(cert, signed.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        _write(key, own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        return TlsConfig(ca_file=self.file, cert_file=cert, key_file=key)


def certificates(folder: Path) -> Files:
    """Writes all files."""
    authority = Authority(folder)
    files = [authority.file]
    for name in ("server", "client"):
        issued = authority.issue(name)
        files += [issued.cert_file or "", issued.key_file or ""]
    return Files(*files)


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool = False,
) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(BEGIN).not_valid_after(END)
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = builder.add_extension(own, critical=False).add_extension(above, critical=False)
    if not authority:
        loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = builder.add_extension(loopback, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123 - a string here
        file.write(content)
