"""The last step of set-up: stage what jails bind, prove a jail with the configuration of this checkout, and look around."""

import os
import sys

from deskd.cli.check import BAD
from deskd.cli.doctor import examine
from deskd.cli.place import config_file, root_of
from deskd.config.load import load
from deskd.domain.errors import ConfigError, SandboxUnavailable
from deskd.supervision.hello import hello_jail
from deskd.supervision.staging import choose_jail_folder, stage_environment


def main() -> int:
    """Return 0 only where a strategy would be jailed, or where the configuration says loudly that it is not."""
    file = config_file(None)
    try:
        config = load(file, root=root_of(file), environment=os.environ).config
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 78
    if config.sandbox.unsafe_without_jail:
        print("setup: WARNING: sandbox.unsafe_without_jail = true: strategies will run WITHOUT any protection")
        return 0
    try:
        folder = choose_jail_folder(config.sandbox, config.desk.state_dir)
        folder.prepare()
        problem = hello_jail(config.sandbox, folder, stage_environment(folder, config.sandbox.python))
    except (SandboxUnavailable, OSError) as error:
        problem = str(error)
    if problem is not None:
        print(f"setup: no jail can be made here: {problem}", file=sys.stderr)
        return 1
    for check in examine(file, os.environ, is_brief=True):
        if check.verdict == BAD:
            print(f"setup: {check.check}: {check.found}; {check.remedy}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
