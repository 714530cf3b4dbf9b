"""Every reason for which something is rejected, dropped or refused: one place, so that counters and documents agree."""

from __future__ import annotations

from enum import StrEnum


class SampleRejection(StrEnum):
    """Why the edge did not take a sample (or a whole payload, which then counts as one sample)."""

    MALFORMED = "malformed"  # not JSON, or not one of the contract's forms
    TOO_LARGE = "too_large"  # the payload exceeds the configured size
    NOT_A_NUMBER = "not_a_number"  # a string, boolean, null or nested value where a number was expected
    NOT_FINITE = "not_finite"  # NaN or infinity
    OUT_OF_RANGE = "out_of_range"  # beyond ±1e150: its square would overflow
    BAD_TIMESTAMP = "bad_timestamp"  # not an integer number of milliseconds
    TOO_OLD = "too_old"  # older than the allowed lateness
    BAD_NAME = "bad_name"  # a metric name that no store would take
    UNKNOWN_TOPIC = "unknown_topic"  # no decoder is mapped to the topic
    FOREIGN_SITE = "foreign_site"  # the topic names a site that this gateway does not serve
    TOO_MANY_SERIES = "too_many_series"  # the gateway's series limit is reached, and its device has no overflow series
    OVER_QUOTA = "over_quota"  # beyond even what its device's overflow series may take


class Overflow(StrEnum):
    """Why a sample was counted in the overflow series of its device instead of its own."""

    SERIES = "series"  # its device, or the gateway, has no place for another series
    SAMPLES = "samples"  # its device sends too many samples per second
    BYTES = "bytes"  # its device sends too many bytes per second


class SampleDrop(StrEnum):
    """Why samples that had been taken never reached the centre."""

    OUTBOX_FULL = "outbox_full"
    DEGRADED = "degraded"  # came late for a window that had been made coarser for want of room
    CORRUPT_BLOCK = "corrupt_block"
    JOURNAL_EVICTED = "journal_evicted"


class EventRejection(StrEnum):
    """Why a device's state message or acknowledgement was not taken."""

    MALFORMED = "malformed"
    FOREIGN_SITE = "foreign_site"
    UNKNOWN_COMMAND = "unknown_command"
    TOO_LARGE = "too_large"
    TOO_MANY_DEVICES = "too_many_devices"  # the gateway's limit of devices is reached


class BatchRejection(StrEnum):
    """Why the centre did not take a batch: it becomes a dead letter with this reason in its headers."""

    NO_SIGNATURE = "no_signature"
    UNKNOWN_GATEWAY = "unknown_gateway"
    BAD_SIGNATURE = "bad_signature"
    MALFORMED = "malformed"
    UNSUPPORTED_VERSION = "unsupported_version"
    FOREIGN_ORIGIN = "foreign_origin"  # tenant, site or gateway differ from what the credential stands for
    COLUMN_MISSING = "column_missing"
    COLUMN_LENGTH = "column_length"
    INDEX_OUT_OF_BOUNDS = "index_out_of_bounds"
    BAD_VALUE = "bad_value"  # a window without samples, a width below one, a statistic that is not finite
    BAD_NAME = "bad_name"
    TOO_MANY_ROWS = "too_many_rows"
    LEDGER_UNBALANCED = "ledger_unbalanced"
    TOO_MANY_GAPS = "too_many_gaps"  # its seq would open one more gap than a gateway's account holds
    STORE_REFUSED = "store_refused"  # the store refuses it for good (field type conflict, beyond retention)


class LedgerFinding(StrEnum):
    """What the centre's audit found in a gateway's account."""

    BALANCED = "balanced"
    GAP = "gap"  # seqs are missing below the highest one received
    CHAIN_BROKEN = "chain_broken"  # an entry does not follow from the one before it
    CONTRADICTED = "contradicted"  # a batch arrived that its gateway had declared replaced or gone
    MISCOUNTED = "miscounted"  # nothing is missing, and yet the samples that arrived are not those rolled up
    UNBALANCED = "unbalanced"  # received is not the sum of the other counts


class CommandRefusal(StrEnum):
    """Why a device (or the gateway for it) refused a command; it travels back in the acknowledgement."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    FOREIGN_TENANT = "foreign_tenant"
    FOREIGN_SITE = "foreign_site"
    FOREIGN_DEVICE = "foreign_device"
    EXPIRED = "expired"
    REPLAYED = "replayed"  # its counter is below the last one taken
    COUNTER_REUSED = "counter_reused"  # the same counter with other content
    UNKNOWN_KIND = "unknown_kind"
    DOWNGRADE = "downgrade"  # an older version, and nothing in the command says that it may be
    CLOCK_UNSET = "clock_unset"


class RequestRefusal(StrEnum):
    """Why a gateway does not answer a request for raw samples."""

    MALFORMED = "malformed"  # no envelope, no request, a span or a pattern that cannot be
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    FOREIGN_TENANT = "foreign_tenant"
    FOREIGN_SITE = "foreign_site"
    EXPIRED = "expired"  # nobody waits for the answer any more
    TOO_LONG_LIVED = "too_long_lived"  # it would have to be remembered for longer than a week
    TOO_MANY_REQUESTS = "too_many_requests"  # as many as the gateway keeps wait already
    FAILED = "failed"  # the journal could not be read at all; the gateway's own log says why
