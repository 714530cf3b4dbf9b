"""Which alerts a silence or a route is about: labels against patterns."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from ingest.contract.events import Matcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Patterns are globs, not regular expressions: no pattern that a person writes can take for ever.


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether all of them do; a label that is not there is the empty text."""
    return all(fnmatch.fnmatchcase(labels.get(m.label, ""), m.pattern) is not m.unlike for m in matchers)


def matchable(name: str, tenant: str, severity: str, labels: Mapping[str, str]) -> dict[str, str]:
    """What matchers look at: an alert's labels, its name, tenant and severity."""
    return dict(labels) | {"alertname": name, "tenant": tenant, "severity": severity}


def read_matcher(text: str) -> Matcher:
    """`label=pattern` or `label!=pattern`. Raises ValueError."""
    label, equals, pattern = text.partition("=")
    unlike = label.endswith("!")
    label = label.removesuffix("!").strip()
    if not equals or not label.isidentifier():
        raise ValueError(f"{text!r} is no matcher, expected label=pattern or label!=pattern")
    return Matcher(label=label, pattern=pattern.strip().strip('"'), unlike=unlike)


def matcher_text(matcher: Matcher) -> str:
    """As `read_matcher` takes it."""
    return f"{matcher.label}{'!' if matcher.unlike else ''}={matcher.pattern}"
