"""What a configuration says of the store."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

TENANT = "{tenant}"


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where rollups are kept: `sqlite` in the file `path`, or `influxdb` at `url`.

    `bucket` with `{tenant}` in it gives each tenant a bucket of its own; without it the bucket is for `tenant` alone.
    `token_file` holds the token and can be read by its owner only; `ca_file` holds the authorities (PEM) for https.
    `timeout_s`: seconds for one request, or for another process's transaction.
    """

    kind: Literal["sqlite", "influxdb"] = "sqlite"
    path: str = ""
    url: str = ""
    org: str = ""
    bucket: str = "tidegate-{tenant}"
    tenant: str = ""
    token_file: str = ""
    ca_file: str = ""
    gzip: bool = True
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0

    def missing(self) -> list[str]:
        """Names of the settings that this kind of store needs and that are empty."""
        needed = ["path"] if self.kind == "sqlite" else ["url", "org", "bucket", "token_file"]
        if self.kind == "influxdb" and TENANT not in self.bucket:
            needed.append("tenant")
        return [name for name in needed if not getattr(self, name)]
