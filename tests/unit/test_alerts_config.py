"""What cannot be meant is refused where it is written, with what was found and what was expected."""

from __future__ import annotations

import pytest

from analytics.alerts.config import AlertsConfig
from ingest.runtime.config import ConfigError, parse_config

WEBHOOK = """
[[webhooks]]
name = "on-call"
url = "https://on-call.example/tidegate"
secret_file = "secret"
"""

MANAGER = """
[[alertmanagers]]
name = "alertmanager"
urls = ["http://one.example:9093", "http://two.example:9093"]
"""


def test_a_good_one_is_taken() -> None:
    config = parse_config(WEBHOOK + MANAGER, AlertsConfig, "alerts.toml")
    assert [webhook.name for webhook in config.webhooks] == ["on-call"]
    assert len(config.alertmanagers[0].urls) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (WEBHOOK.replace("https:", "ftp:"), "is no address"),
        (WEBHOOK.replace("https://on-call.example", "https://"), "is no address"),
        (WEBHOOK.replace("on-call.example", "on-call.example:99999"), "is no address"),
        (WEBHOOK.replace("example/", "example/ "), "is no address"),
        (WEBHOOK + 'signature_header = "X Signed"', "cannot be a header's name"),
        (WEBHOOK + "timeout_s = 0", "timeout_s is 0.0, expected more than 0 seconds"),
        (WEBHOOK + WEBHOOK, "more than one receiver is called 'on-call'"),
        (WEBHOOK + MANAGER.replace('"alertmanager"', '"on-call"'), "more than one receiver is called 'on-call'"),
        (MANAGER.replace('"http://one.example:9093", "http://two.example:9093"', ""), "urls is empty"),
        (MANAGER + "resend_s = 0", "resend_s is 0.0, expected more than 0 seconds"),
        ('[site_dark]\nseverity = "bad"', "severity is 'bad', expected critical, error, warning or info"),
        ("[site_dark]\nfor_s = -5", "for_s is -5.0, expected at least 0 seconds"),
        ("[site_dark]\nfor = 5", "for"),
        ("group_wait_s = -1", "group_wait_s is -1.0, expected at least 0 seconds"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, AlertsConfig, "alerts.toml")
    assert told in str(caught.value)


def test_an_address_may_hold_a_secret_that_no_error_repeats() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(WEBHOOK.replace("https://on-call.example/", "htps://hooks.example/T0/s3cret"), AlertsConfig, "a")
    assert "s3cret" not in str(caught.value)
