"""Which configuration is meant, and where the running desk listens. Light: `deskctl` starts in a blink."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import deskd

CHECKOUT = Path(deskd.__file__).parents[1]
INSTALLED = Path("/etc/deskd/desk.toml")
SHIPPED = Path("etc/desk.toml")


class NoConfiguration(Exception):
    """There is no desk.toml where one is looked for. The text says where, and what to do."""


def config_file(named: Path | None) -> Path:
    """Return the configuration to use: the named one, the checkout's, or the installed one."""
    if named is not None:
        return named
    for file in (CHECKOUT / SHIPPED, INSTALLED):
        if file.exists():
            return file
    raise NoConfiguration(f"there is no {CHECKOUT / SHIPPED} and no {INSTALLED}; name a configuration with --config")


def root_of(file: Path) -> Path:
    """Return what the file's relative paths start from: the checkout above `etc/`, or the file's own folder."""
    folder = file.absolute().parent
    return folder.parent if folder.name == "etc" else folder


def control_socket(named: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the control socket of the desk that uses this configuration, without judging the rest of it."""
    return _folder(named, environment, "runtime_dir", "var/run") / "control.sock"


def strategies_dir(named: Path | None, environment: Mapping[str, str]) -> Path:
    """Return where that desk's strategies lie."""
    return _folder(named, environment, "strategies_dir", "strategies")


def _folder(named: Path | None, environment: Mapping[str, str], key: str, default: str) -> Path:
    file = config_file(named)
    try:
        desk = tomllib.loads(file.read_text()).get("desk", {})
    except OSError as error:
        raise NoConfiguration(f"{file}: cannot be read: {error.strerror}; name another file with --config") from error
    except ValueError as error:
        raise NoConfiguration(f"{file}: cannot be read ({error}); `deskctl config check` says more") from error
    in_file = desk.get(key) if isinstance(desk, dict) else None
    folder = environment.get(f"DESKD_DESK__{key.upper()}") or (in_file if isinstance(in_file, str) else default)
    return root_of(file) / os.path.expanduser(folder)  # noqa: PTH111  as config.rules does
