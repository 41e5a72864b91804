"""Build the packages that all strategies share, as `[sandbox] packages` of the configuration lists them.

`make strategy-env` calls it for a checkout, tools/install.sh (`install`, `strategy-env`) for an installed desk, as its user.
Called again with nothing changed it does nothing.
    tools/strategy_env.py [--config FILE] [--at-install] [--list] [-- OPTIONS OF PIP]
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deskd.cli.place import NoConfiguration, config_file, root_of
from deskd.config import SandboxSection
from deskd.config.load import load
from deskd.domain.errors import ConfigError, SandboxUnavailable
from deskd.supervision import environment
from deskd.supervision.environment_build import build
from deskd.supervision.staging import choose_jail_folder, stage_environment
from deskd.supervision.tool_jail import a_workshop, can_import


def main(arguments: Sequence[str]) -> int:
    """Return 0 when the packages are there, compiled, and were imported in a jail."""
    parser = argparse.ArgumentParser(description="Build the packages that all strategies share.")
    parser.add_argument("--config", type=Path, help="the desk's configuration")
    parser.add_argument("pip", nargs="*", help="options for pip, after --: where packages come from")
    parser.add_argument("--list", action="store_true", help="print the list as shipped, for the lock, and end")
    parser.add_argument("--at-install", action="store_true", help="pass over a configuration that asks for none")
    given = parser.parse_args(arguments)
    if given.list:
        print("\n".join(SandboxSection().packages))
        return 0
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"strategy-env: {text}", flush=True)

    try:
        file = config_file(given.config)
        config = load(file, root=root_of(file), environment=os.environ).config
        if given.at_install and (none := asks_for_none(config.sandbox)):
            say(none)
            return 0
        check_user(config.desk.state_dir, os.geteuid())
        folder = choose_jail_folder(config.sandbox, config.desk.state_dir)
        folder.prepare()
        staged = stage_environment(folder, config.sandbox.python)
        with a_workshop(config.sandbox, folder, staged) as shop:
            built = build(
                config.sandbox,
                folder,
                say=say,
                prove=lambda site, names: can_import(shop, site, names),
                pip_options=given.pip,
            )
    except (ConfigError, NoConfiguration) as error:
        print(error, file=sys.stderr)
        return 78
    except SandboxUnavailable as error:
        print(f"strategy-env: {error}", file=sys.stderr)
        return 1
    say(f"strategies have {environment.described(built.installed)}")
    if built.is_new:
        took = time.monotonic() - began
        say(f"built in {took:.0f} s, in {built.site.parent}; a running desk takes them when it starts again")
    return 0


def asks_for_none(section: SandboxSection) -> str | None:
    """Return why there is nothing to build, where the configuration says so."""
    if section.python is not None:
        return f"strategies have the packages of [sandbox] python={section.python}"
    return None if section.packages else "[sandbox] packages is empty: strategies have the standard library alone"


def check_user(state_dir: Path, euid: int) -> None:
    """Raise SandboxUnavailable where the desk is somebody else's: it could neither use nor remove what we would leave."""
    if state_dir.is_dir() and (owner := state_dir.stat().st_uid) != euid:
        raise SandboxUnavailable(
            f"{state_dir} belongs to uid {owner}, and this is uid {euid}: build as that user; of an installed desk: "
            f"{environment.BUILD_INSTALLED}"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
