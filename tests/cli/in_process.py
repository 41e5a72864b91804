"""deskctl as a person's shell sees it (exit code, both outputs), without a process for each command."""

import asyncio
import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import click
from structlog.testing import capture_logs

from deskd.cli import deskctl


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


async def ctl(config: Path, *arguments: str) -> Said:
    with capture_logs():  # the desk of a test speaks on the same output
        return await asyncio.to_thread(_run, ["--config", str(config), *arguments])


def _run(arguments: list[str]) -> Said:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code: object = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            deskctl.main(arguments)
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int), code
    return Said(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def commands(group: click.Group = deskctl.cli, path: str = "") -> dict[str, click.Command]:
    """Return every command that does something, by its words."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            found |= commands(command, words)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[words] = command
    return found


def takes_json(command: click.Command) -> bool:
    return any("--json" in param.opts for param in command.params)
