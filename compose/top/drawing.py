"""A picture as rich draws it: tables that fit the terminal; colour and bars only where there is one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from compose.top.picture import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from compose.top.picture import Picture

BAR = 12
SECTIONS = ("sites", "incidents", "alerts", "devices", "rollouts")
STYLES = {
    "live": "green", "behind": "yellow", "cut_off": "red", "dark": "red", "unheard": "yellow",
    "critical": "bold red", "error": "red", "warning": "yellow", "info": "cyan",
    "growing": "red", "open": "yellow", "pass": "green", "fail": "bold red", "inconclusive": "yellow",
}  # fmt: skip


def drawn(picture: Picture, *, rows: int, only: str = "") -> Group:
    """The whole picture with at most `rows` lines in each section, or one section alone."""
    parts: list[Text | Table] = [head(picture)]
    for name in SECTIONS:
        if only in ("", name):
            parts += [Text(), SHOWN[name](picture, rows)]
    return Group(*parts)


def head(picture: Picture) -> Text:
    """Two lines: devices and rates, the ledger."""
    states = "  ".join(f"{state} {count:,}" for state, count in sorted(picture.devices.items())) or "no devices yet"
    rate = "rate unknown" if picture.received_per_s is None else f"{picture.received_per_s:,.0f}/s"
    ledger = ("balanced", "green") if picture.balanced else (f"{picture.unaccounted:,} UNACCOUNTED", "bold red")
    at = datetime.fromtimestamp(picture.at / 1000, UTC).strftime("%H:%M:%SZ")
    return Text.assemble(
        (at, "dim"),
        "  devices: ",
        (states, "bold"),
        f"\nsamples: {picture.received:,} received, {rate}, ledger ",
        ledger,
    )


def sites(picture: Picture, rows: int) -> Table:
    """Those in trouble first."""
    ranked = sorted(picture.sites, key=lambda site: (site.state == "live", -site.silent, site.site))
    cells = [
        (
            s.site,
            _styled(s.state),
            f"{s.devices:,}",
            f"{s.silent:,}",
            f"{s.lag_s:,.1f} s",
            f"{s.backlog_bytes / 1e6:,.1f} MB",
        )
        for s in ranked
    ]
    return _table("SITE", ("state", "devices", "silent", "lag", "backlog"), cells, rows)


def incidents(picture: Picture, rows: int) -> Table:
    """Those that go on, with what explains them."""
    cells = [
        (
            one.incident,
            _styled(one.state),
            _age(picture.at - one.since),
            f"{one.devices:,} at {one.sites:,}",
            one.summary if one.cause in one.summary else f"{one.summary}; {one.cause}",
        )
        for one in picture.incidents
    ]
    return _table("INCIDENT", ("state", "for", "devices at sites", "summary"), cells, rows)


def alerts(picture: Picture, rows: int) -> Table:
    """Those that fire."""
    cells = [
        (
            a.name,
            _styled(a.severity),
            a.place,
            _age(picture.at - a.since),
            a.summary,
        )
        for a in picture.alerts
    ]
    return _table("ALERT", ("severity", "where", "for", "summary"), cells, rows)


def devices(picture: Picture, rows: int) -> Table:
    """The worst first."""
    cells = [(f"{d.site}/{d.device}", str(d.badness), ", ".join(d.why)) for d in picture.worst]
    return _table("WORST DEVICES", ("badness", "why"), cells, rows)


def rollouts(picture: Picture, rows: int) -> Table:
    """The newest first, with how near each is to a fail."""
    cells = [
        (r.rollout, r.release, r.state, _styled(r.verdict), _bar(r.evidence), f"{r.canary}+{r.control}", r.rollback)
        for r in picture.rollouts
    ]
    return _table("ROLLOUT", ("release", "state", "verdict", "evidence of harm", "devices", "rollback"), cells, rows)


SHOWN = {"sites": sites, "incidents": incidents, "alerts": alerts, "devices": devices, "rollouts": rollouts}


def _table(first: str, others: Iterable[str], cells: Sequence[Sequence[str | Text]], rows: int) -> Table:
    found = Table(box=None, pad_edge=False, expand=False, header_style="bold")
    *titles, last = (first, *others)
    for title in titles:
        found.add_column(title, no_wrap=True, overflow="ellipsis")
    # What says most is cut first; its cells do not wrap either.
    found.add_column(last)
    for row in cells[:rows]:
        # Names come from devices and people: they are text, never markup.
        found.add_row(
            *(cell if isinstance(cell, Text) else Text(plain(cell), no_wrap=True, overflow="ellipsis") for cell in row)
        )
    if len(cells) > rows:
        found.add_row(Text(f"… {len(cells) - rows} more", "dim"))
    if not cells:
        found.add_row(Text("none", "dim"))
    return found


def _styled(word: str) -> Text:
    return Text(plain(word), STYLES.get(word, ""))


def _bar(share: float) -> str:
    filled = round(BAR * min(1.0, share))
    return f"{'█' * filled}{'░' * (BAR - filled)} {share:4.0%}"


def _age(ms: int) -> str:
    seconds = max(0, ms) // 1000
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
