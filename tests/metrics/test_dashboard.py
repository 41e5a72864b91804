"""The dashboard that ships shows figures that exist, each with its own labels."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deskd.metrics.families import FAMILIES

DASHBOARD = Path(__file__).parents[2] / "etc/grafana/deskd.json"
OF_THE_PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
BEHIND = {"histogram": ("_bucket", "_sum", "_count")}
FREE_LABELS = {"instance", "job", "le"}  # Prometheus's own
WITHOUT_PANEL = {
    "deskd_info",  # the variables ask for it
    "deskd_uptime_seconds",
    "deskd_strategies_left_out",
    "deskd_strategy_info",
    "deskd_strategy_running",
    "deskd_strategy_lines_delivered_total",
    "deskd_strategy_orders_open",
    "deskd_strategy_positions",
    "deskd_runs_started_total",
}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def queries() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def series() -> dict[str, tuple[str, ...]]:
    """Return the labels of every series by its name."""
    named = {}
    for one in FAMILIES:
        for suffix in BEHIND.get(one.kind, ("",)):
            named[one.name + suffix] = one.labels
    return named | dict.fromkeys(OF_THE_PROCESS, ())


def names_in(query: str) -> set[str]:
    return set(re.findall(r"\b(?:deskd|process)_[a-z_]+", query))


def test_the_dashboard_names_only_figures_that_exist() -> None:
    """A panel without data is worse than none: it looks as if all were well."""
    variables = [one["query"] for one in dashboard()["templating"]["list"]]
    asked = set().union(*map(names_in, [*queries(), *variables]))
    assert asked - series().keys() == set()
    assert len(asked) > 50


def test_every_figure_has_its_panel() -> None:
    """What is measured is looked at, or stands in the list of what is not."""
    asked = set().union(*map(names_in, queries()))
    unseen = {f.name for f in FAMILIES if not any(name.startswith(f.name) for name in asked)}
    assert unseen == WITHOUT_PANEL


def test_the_dashboard_asks_for_labels_that_the_figures_have() -> None:
    """A selector on a label that is not there finds nothing."""
    for query in queries():
        for name, selector in re.findall(r"\b((?:deskd|process)_[a-z_]+)\{([^}]*)\}", query):
            labels = set(re.findall(r"([a-z]+)=", selector)) - FREE_LABELS
            assert labels <= set(series()[name]), query


def test_panels_do_not_lie_over_each_other() -> None:
    """Each has its own number and place."""
    panels = dashboard()["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    cells = [
        (x, y)
        for one in panels
        for x in range(one["gridPos"]["x"], one["gridPos"]["x"] + one["gridPos"]["w"])
        for y in range(one["gridPos"]["y"], one["gridPos"]["y"] + one["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
