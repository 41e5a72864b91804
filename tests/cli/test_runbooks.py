"""Runbooks and guides name what there is: commands with their options, keys, events, settings, each other.

Whoever follows one at three in the morning must not find out that a word of it is wrong.
"""

import re
import shlex
from pathlib import Path

import click
import pytest

from deskd.cli.daemon import cli as daemon
from deskd.cli.deskctl import cli
from deskd.config import Config
from deskd.config.changes import values
from deskd.config.leaves import leaves
from deskd.domain.job import JobName
from deskd.domain.notifications import Topic

ROOT = Path(__file__).parents[2]
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
FLOWS = ROOT / "docs" / "flows.md"
EARLIER_FLOWS = [
    "fetch_market_data",
    "validate_data_quality",
    "archive_old_data",
    "run_strategy",
    "calculate_indicators",
    "generate_signals",
    "backtest_strategy",
    "execute_trades",
    "manage_orders",
    "update_positions",
    "reconcile_trades",
    "calculate_position_size",
    "validate_risk_limits",
    "monitor_portfolio_risk",
    "generate_risk_alerts",
    "calculate_performance",
    "generate_reports",
    "run_backtest",
    "analyze_trades",
    "send_trade_alerts",
    "monitor_system_health",
    "aggregate_logs",
    "send_daily_summary",
]
PAGES = [*RUNBOOKS, FLOWS, ROOT / "docs" / "officers-guide.md", ROOT / "docs" / "members-guide.md"]
COMMAND = re.compile(r"(?:`|^ {4,}(?:sudo )?)(deskctl [a-z](?:[^`\n#|]|\|(?! ))*)", re.MULTILINE)
CODE = "\n".join(path.read_text() for folder in ("deskd", "sandbox", "tools") for path in (ROOT / folder).rglob("*.py"))


def problem(line: str, command: click.Command = cli) -> str | None:
    """Return why deskctl would not take the line as it is written; capital words stand for what a person fills in."""
    words = [word.partition("|")[0] for word in shlex.split(re.sub(r"\[[^\]]*\]", "", line).replace("…", "..."))][1:]
    context = click.Context(command, info_name="deskctl")
    while isinstance(command, click.Group):
        if not words:
            return None if command is not cli and command.invoke_without_command else "names no command"
        name = words.pop(0)
        found = command.get_command(context, name)
        if found is None:
            return f"there is no {name}"
        command, context = found, click.Context(found, context, info_name=name)
    try:
        given, left, _ = command.make_parser(context).parse_args(words)
    except click.UsageError as error:
        return error.format_message()
    if left and left != ["..."]:
        return f"takes no {left}"
    lacking = [
        p.name for p in command.params if isinstance(p, click.Argument) and p.required and not given.get(str(p.name))
    ]
    return f"lacks {lacking}" if lacking and words else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_can_be_typed_as_it_is_written(page: Path) -> None:
    """With its options; `deskctl NAME` alone stands for the command."""
    lines = [match.strip() for match in COMMAND.findall(page.read_text())]
    assert [f"{line}: {why}" for line in lines if (why := problem(line))] == []
    assert lines


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_other_command_of_ours_is_one(page: Path) -> None:
    """What the daemon's program takes, and what make makes."""
    text = page.read_text()
    lines = [
        line.strip()
        for line in re.findall(r"(?:`|^ {4,})(deskd (?:run|exchange|record)\b[^`\n#]*)", text, re.MULTILINE)
    ]
    assert [f"{line}: {why}" for line in lines if (why := problem(line.replace("…", "PATH"), daemon))] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4,})(?:sudo )?make ([a-z-]+)", text, re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_setting_is_one(page: Path) -> None:
    """Those in brackets and those with a dot; a section alone, too."""
    text, known = page.read_text(), {re.sub(r"\.[A-Z]+\.", ".", key) for key in leaves()}
    sections = {key.rpartition(".")[0] for key in known}
    given = [".".join(pair) for pair in re.findall(r"`\[([a-z_.]+)\] ([a-z_]+)", text)]
    dotted = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", text)
    given += [
        key
        for key in dotted
        if key.partition(".")[0] in sections and not key.endswith((".toml", ".db", ".snapshot", ".new"))
    ]
    assert [key for key in given if key not in known] == []
    assert [name for name in re.findall(r"`\[([a-z_.]+)\]`", text) if name not in sections] == []


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_every_word_of_the_desks_is_one(page: Path) -> None:
    """Events, reasons and files in backticks stand in the code; settings in the configuration."""
    known = {key.rpartition(".")[2] for key, _ in values(Config())} | {key.rpartition(".")[2] for key in leaves()}
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+|[A-Z]+(?:_[A-Z]+)+)`", page.read_text()))
    assert [word for word in sorted(words) if word not in known and not re.search(rf"\b{word}\b", CODE)] == []
    keys = set(re.findall(r"`\[(\w+)\] (\w+)`", page.read_text()))
    assert [f"{section}.{key}" for section, key in sorted(keys) if f"{section}.{key}" not in leaves()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a page that is there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
    tests = re.findall(r"`(tests/[\w/.]+)`", page.read_text())
    assert [test for test in tests if not (ROOT / test).exists()] == []


def test_each_flow_of_the_earlier_systems_is_a_job_or_a_command() -> None:
    """Whoever comes from there finds what he ran by night: all 23, each with something to type or a job by its name."""
    rows = [line.strip("|").split("|", 1) for line in FLOWS.read_text().splitlines() if re.match(r"\| [a-z]+_", line)]
    found = [name for flows, _ in rows for name in flows.strip().split(", ")]
    assert sorted(found) == sorted(EARLIER_FLOWS)
    for flows, now in rows:
        jobs = set(re.findall(r"job `([a-z]+)`", now))
        assert jobs <= set(JobName), flows
        assert jobs or re.search(r"`desk(?:ctl|d) [a-z]", now), flows
    topics = {
        word
        for line in FLOWS.read_text().splitlines()
        if "topic" in line
        for word in re.findall(r"`([a-z]+(?:-[a-z]+)?)`", line)
    }
    assert topics - {str(topic) for topic in Topic} <= {str(job) for job in JobName}
