"""Panels as all dashboards have them: a unit on each, thresholds where a value can be bad, links down with the time kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, stat, table, timeseries
from grafana_foundation_sdk.builders import logs as log_lines
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataTransformerConfig,
    DynamicConfigValue,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from dashboards.grafana.sources import API, INFLUXDB, LOKI, PROMETHEUS

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.common import DataSourceRef

    from dashboards.grafana.queries import Query

GREEN, YELLOW, RED, BLUE, GREY = "green", "yellow", "red", "blue", "text"
TIME_KEPT = "${__url_time_range}"

Shown = Builder[Panel]
P = TypeVar("P", stat.Panel, table.Panel, timeseries.Panel)

SOURCES = {"influxdb": INFLUXDB, "prometheus": PROMETHEUS, "loki": LOKI, API.type_val: API}


def series(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    width: int = 12,
    stacked: bool = False,
    limits: dict[float, str] | None = None,
    legend: bool = True,
) -> timeseries.Panel:
    """Lines over time; `limits` (value from which on, colour) are drawn."""
    found = _common(timeseries.Panel(), title, about, unit, queries, width=width, height=8)
    found = found.fill_opacity(20 if stacked else 8).line_width(1).span_nulls(False)
    shown = common.VizLegendOptions().placement(LegendPlacement.BOTTOM)
    found = found.legend(shown.show_legend(legend).display_mode(LegendDisplayMode.LIST).calcs(["lastNotNull", "max"]))
    if stacked:
        found = found.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if limits:
        found = found.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return found.thresholds(_thresholds(GREEN, limits or {}))


def number(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    width: int = 4,
    limits: dict[float, str] | None = None,
    base: str = GREEN,
) -> stat.Panel:
    """One number (or a few, each with its name); its colour is `base`, and that of the last limit which it reaches."""
    found = _common(stat.Panel(), title, about, unit, queries, width=width, height=4)
    found = found.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    return found.color_mode(BigValueColorMode.VALUE).thresholds(_thresholds(base, limits or {}))


def rows(title: str, about: str, *queries: Query, unit: str = "short", width: int = 24, height: int = 8) -> table.Panel:
    """A table."""
    found = _common(table.Panel(), title, about, unit, queries, width=width, height=height)
    return found.filterable(True).thresholds(_thresholds(GREY, {}))


def lines(title: str, about: str, query: Query) -> log_lines.Panel:
    """Log lines, the newest first."""
    found = log_lines.Panel().title(title).description(about).with_target(query).datasource(LOKI)
    return found.span(24).height(10).show_time(True).wrap_log_message(True)


def link(title: str, url: str) -> dashboard.DashboardLink:
    """A link from a value; `url` with the variables that it hands down."""
    return dashboard.DashboardLink(title).type(DashboardLinkType.LINK).url(f"{url}&{TIME_KEPT}")


def linked(column: str, title: str, url: str) -> tuple[str, list[DynamicConfigValue]]:
    """For `override_by_name`: a table's column as a link."""
    target = {"title": title, "url": f"{url}&{TIME_KEPT}", "targetBlank": False}
    return column, [DynamicConfigValue(id_val="links", value=[target])]


def with_unit(column: str, unit: str) -> tuple[str, list[DynamicConfigValue]]:
    """For `override_by_name`: a table's column in another unit."""
    return column, [DynamicConfigValue(id_val="unit", value=unit)]


def limited(column: str, limits: dict[float, str]) -> tuple[str, list[DynamicConfigValue]]:
    """For `override_by_name`: a table's column whose numbers have a colour from a limit on."""
    steps = [{"value": None, "color": GREY}, *({"value": value, "color": colour} for value, colour in limits.items())]
    return column, [
        DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
        DynamicConfigValue(id_val="thresholds", value={"mode": "absolute", "steps": steps}),
    ]


def coloured(column: str, values: dict[str, str]) -> tuple[str, list[DynamicConfigValue]]:
    """For `override_by_name`: a table's column whose cells have a colour by their text."""
    return column, [
        DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
        DynamicConfigValue(id_val="mappings", value=[words(values).to_json()]),
    ]


def words(values: dict[str, str], *, names: dict[str, str] | None = None) -> ValueMap:
    """Texts (or numbers) with a colour and, where `names` has one, a name."""
    known = names or {}
    return ValueMap(
        {
            value: ValueMappingResult(color=colour, text=known.get(value), index=place)
            for place, (value, colour) in enumerate(values.items())
        }
    )


def merged(found: table.Panel, titles: dict[str, str], hidden: tuple[str, ...] = ("Time",)) -> table.Panel:
    """Several instant queries side by side, columns (`Value #A`) named by `titles` in that order."""
    order = {name: place for place, name in enumerate(titles)}
    named = {"renameByName": titles, "indexByName": order, "excludeByName": dict.fromkeys(hidden, True)}
    return found.with_transformation(_transformed("merge", {})).with_transformation(_transformed("organize", named))


def largest(found: table.Panel, column: str, most: int) -> table.Panel:
    """The rows with the largest values of a column."""
    by = {"fields": {}, "sort": [{"field": column, "desc": True}]}
    limit = _transformed("limit", {"limitField": most})
    return found.with_transformation(_transformed("sortBy", by)).with_transformation(limit)


def _transformed(name: str, options: dict[str, Any]) -> DataTransformerConfig:
    return DataTransformerConfig(id_val=name, options=options)


def _common(panel: P, title: str, about: str, unit: str, queries: tuple[Query, ...], *, width: int, height: int) -> P:
    for query in queries:
        panel = panel.with_target(query)
    found = panel.title(title).description(about).unit(unit).span(width).height(height)
    return found.datasource(_source_of(queries[0]))


def _source_of(query: Query) -> DataSourceRef:
    model: Any = query.build()
    named = model.to_json()["datasource"]
    return SOURCES[named["type"] if isinstance(named, dict) else named.type_val]


def _thresholds(base: str, limits: dict[float, str]) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color=base), *(Threshold(value=value, color=c) for value, c in limits.items())]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
