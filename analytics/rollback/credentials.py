"""How a request to an owner shows who sends it: bearer token, basic, or AWS Signature Version 4."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.rollback.owners.owner import Request
    from ingest.runtime.clock import Clock

    Headers = Callable[[Request, bytes], dict[str, str]]


class Auth(StrEnum):
    """What an owner's secret file holds."""

    NONE = "none"
    BEARER = "bearer"  # a token
    BASIC = "basic"  # user:password
    AWS = "aws"  # ACCESS_KEY_ID:SECRET_ACCESS_KEY


def credentials(auth: Auth, secret: str, *, url: str, region: str, clock: Clock) -> Headers:
    """What makes the headers of a request and its body."""
    if auth is Auth.BEARER:
        return lambda request, body: {"Authorization": f"Bearer {secret}"}  # noqa: ARG005 - the same for all
    if auth is Auth.BASIC:
        encoded = base64.b64encode(secret.encode()).decode()
        return lambda request, body: {"Authorization": f"Basic {encoded}"}  # noqa: ARG005 - the same for all
    if auth is Auth.AWS:
        key, _, private = secret.partition(":")
        host = urlsplit(url).netloc
        return lambda request, body: aws_headers(
            request, body, host=host, region=region, key=key, secret=private, now_ms=clock.now_ms()
        )
    return lambda request, body: {}  # noqa: ARG005 - nothing to show


def aws_headers(
    request: Request, body: bytes, *, host: str, region: str, key: str, secret: str, now_ms: int, service: str = "iot"
) -> dict[str, str]:
    """AWS Signature Version 4 over host and date. Source: AWS IAM User Guide, "Create a signed AWS API request"."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(request.path)
    query = "&".join(f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in sorted(parse_qsl(parts.query)))
    lines = [request.method, quote(parts.path, safe="/-_.~"), query, f"host:{host}", f"x-amz-date:{moment}", ""]
    canonical = "\n".join([*lines, "host;x-amz-date", hashlib.sha256(body).hexdigest()])
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(signing, text.encode(), hashlib.sha256).hexdigest()
    shown = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}"
    return {"Host": host, "X-Amz-Date": moment, "Authorization": shown}
