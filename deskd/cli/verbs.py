"""How commands are found: by an unambiguous beginning, and a wrong one is answered with the nearest right one.

What takes strategies' names completes them in the shell: from the desk where it answers at once, else from the folder.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from deskd.cli.place import NoConfiguration, control_socket, strategies_dir

ANSWER_S = 0.08  # for a completion: who waits for it has a finger on the key
LISTED_MAX = 200
_NAMES = frozenset({"name", "names", "strategy"})  # of parameters that mean strategies


class StrategyName(click.types.StringParamType):
    """A strategy's name, as it is typed: the desk resolves it."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin so, those left out that stand there already."""
        given = ctx.params.get(param.name or "") or ()
        typed = set(given) if isinstance(given, list | tuple) else set()
        names = names_of(ctx.find_root().params.get("config"))
        begun = [name for name in names if name.startswith(incomplete) and name not in typed]
        return [CompletionItem(name) for name in begun[:LISTED_MAX]]


def names_of(config: Path | None) -> list[str]:
    """Return the strategies' names: as the desk says, else as the folder does. It never takes longer than a blink."""
    from deskd.cli.client import Desk, DeskNotReachable, NotDone

    try:
        rows = Desk(control_socket(config, os.environ)).look("/status", timeout_s=ANSWER_S)["strategies"]
        return sorted(str(row["strategy_id"]) for row in rows)
    except (DeskNotReachable, NotDone, NoConfiguration, KeyError, ValueError):
        pass
    try:
        with os.scandir(strategies_dir(config, os.environ)) as listed:
            return sorted(entry.name for entry in listed if entry.name[0] not in "._" and entry.is_dir())
    except (OSError, NoConfiguration):
        return []


class Verbs(click.Group):
    """A group of commands that may be shortened, and that may be of a file that is imported when one of them is meant."""

    group_class = type  # groups in it are of this kind, too

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._later: dict[str, tuple[str, str]] = {}

    def add_later(self, module: str, *names: str) -> None:
        """Take the commands of deskd.cli.MODULE, which are called there as here; it is imported when one is meant."""
        self._later |= {name: (f"deskd.cli.{module}", name) for name in names}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self._later})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name."""
        if cmd_name in self._later:
            from importlib import import_module

            module, name = self._later.pop(cmd_name)
            self.add_command(getattr(import_module(module), name))
        return super().get_command(ctx, cmd_name)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Take the command; its parameters that mean strategies complete their names."""
        for param in cmd.params:
            if param.name in _NAMES and type(param.type) is click.types.StringParamType and cmd.name != "new":
                param.type = StrategyName()
        super().add_command(cmd, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command meant: itself, or the only one that begins so."""
        if args and not args[0].startswith("-"):
            args = [self._meant(ctx, args[0]), *args[1:]]
        return super().resolve_command(ctx, args)

    def _meant(self, ctx: click.Context, typed: str) -> str:
        names = self.list_commands(ctx)
        if typed in names:
            return typed
        begun = [name for name in names if typed and name.startswith(typed)]
        if len(begun) == 1:
            return begun[0]
        if ctx.resilient_parsing:
            return typed
        raise click.UsageError(_no_such(typed, begun, names), ctx)


def _no_such(typed: str, begun: Sequence[str], names: Sequence[str]) -> str:
    if begun:
        return f"command {typed!r} is ambiguous: {', '.join(begun)}; type more of it"
    from difflib import get_close_matches

    near = get_close_matches(typed, names, n=3, cutoff=0.6)
    meant = f"did you mean {' or '.join(near)}?" if near else "`deskctl --help` lists them"
    return f"there is no command {typed!r}: {meant}"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes the shell complete commands, options and strategies' names.

    bash: eval "$(deskctl completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc;
    fish: deskctl completion fish > ~/.config/fish/completions/deskctl.fish
    """
    from click.shell_completion import get_completion_class

    kind: Any = get_completion_class(shell)
    assert kind is not None, "click knows the three"
    finder = kind(context.find_root().command, {}, "deskctl", "_DESKCTL_COMPLETE")
    print(finder.source_template % finder.source_vars())  # `source` would start a bash only to ask for its version
