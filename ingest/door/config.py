"""What a configuration says of the central door."""

from __future__ import annotations

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class IngestConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The door's membership and its bounds.

    `member` must differ between the processes of one `group`. `max_records` batches (1 MiB each at most) are held at a
    time; a turn waits `poll_s` seconds for the first of them. While the store is away it is asked again after growing
    pauses of `store_retry_first_s` to `store_retry_most_s` seconds, and membership is kept up every `keep_up_s` seconds.
    """

    member: str = "ingest-1"
    group: str = "tidegate-ingest"
    max_records: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    poll_s: Seconds = 0.2
    store_retry_first_s: Seconds = 0.1
    store_retry_most_s: Seconds = 10.0
    keep_up_s: Seconds = 1.0
