"""Bodies of requests, read strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from dashboards.api.problems import ProblemError

if TYPE_CHECKING:
    from dashboards.api.context import ApiRequest

T = TypeVar("T", bound=msgspec.Struct)


async def read_body(request: ApiRequest, kind: type[T]) -> T:
    """The body as `kind`; an empty one is `{}`. Raises ProblemError."""
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise ProblemError(422, "bad-body", f"{kind.__name__}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "not-json", f"expected JSON: {error}") from error
