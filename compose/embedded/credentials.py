"""Keys and tokens of a system that is made for one run."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, NamedTuple

from ingest.contract.commands import key_id
from ingest.runtime.gateways import GatewayConfig
from ingest.runtime.secrets import generate_private_key, public_key_text, write_secret

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Credentials(NamedTuple):
    """Files with secrets beneath one folder, and what their public sides are."""

    folder: Path
    gateways: list[GatewayConfig]
    centre_key: Path
    centre_public: Ed25519PublicKey
    webhook_secret: str
    token: str

    def gateway_key(self, site: str) -> Path:
        """The private key of a site's gateway."""
        return self.folder / f"{site}.pem"

    def webhook_secret_file(self) -> Path:
        """The secret that signs webhooks."""
        return self.folder / "webhook-secret"

    def token_sha256(self) -> str:
        """What the API is told of the token."""
        return hashlib.sha256(self.token.encode()).hexdigest()

    def centre_public_text(self) -> str:
        """What gateways are told of the centre's key."""
        return public_key_text(self.centre_public)

    def centre_keys(self) -> dict[str, Ed25519PublicKey]:
        """What devices trust, by key id."""
        return {key_id(self.centre_public): self.centre_public}


def make_credentials(folder: Path, tenant: str, sites: Iterable[str]) -> Credentials:
    """Keys for the centre and one gateway a site, a webhook secret and an API token."""
    gateways = [_gateway(folder, tenant, site) for site in sites]
    centre = generate_private_key(folder / "centre.pem")
    credentials = Credentials(
        folder=folder,
        gateways=gateways,
        centre_key=folder / "centre.pem",
        centre_public=centre.public_key(),
        webhook_secret=secrets.token_hex(32),
        token=secrets.token_urlsafe(32),
    )
    write_secret(credentials.webhook_secret_file(), credentials.webhook_secret.encode())
    write_secret(folder / "token", credentials.token.encode())
    return credentials


def _gateway(folder: Path, tenant: str, site: str) -> GatewayConfig:
    public = generate_private_key(folder / f"{site}.pem").public_key()
    return GatewayConfig(gateway=f"gateway-{site}", tenant=tenant, site=site, public_key=public_key_text(public))
