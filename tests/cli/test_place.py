"""Which configuration is meant, and where the running desk listens."""

from pathlib import Path

import pytest

from deskd.cli.place import CHECKOUT, NoConfiguration, config_file, control_socket, root_of
from deskd.config.load import load


def test_the_checkouts_configuration_is_the_default() -> None:
    """In a checkout nobody has to name it."""
    assert config_file(None) == CHECKOUT / "etc/desk.toml"
    assert config_file(Path("x.toml")) == Path("x.toml")


def test_relative_paths_start_above_etc_or_beside_the_file(tmp_path: Path) -> None:
    """A checkout's file means the checkout, any other its own folder."""
    assert root_of(tmp_path / "etc/desk.toml") == tmp_path
    assert root_of(tmp_path / "my.toml") == tmp_path


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("", {}),
        ('[desk]\nruntime_dir = "here"\n', {}),
        ('[desk]\nruntime_dir = "/run/deskd"\n', {}),
        ('[desk]\nruntime_dir = "~/run"\n', {}),
        ('[desk]\nruntime_dir = "here"\n', {"DESKD_DESK__RUNTIME_DIR": "there"}),
    ],
)
def test_deskctl_looks_where_the_desk_listens(tmp_path: Path, text: str, environment: dict[str, str]) -> None:
    """The light reading of the file agrees with the loader's."""
    file = tmp_path / "desk.toml"
    file.write_text(text)
    loaded = load(file, root=root_of(file), environment=environment)
    assert control_socket(file, environment) == loaded.config.desk.runtime_dir / "control.sock"


def test_a_wrong_setting_elsewhere_does_not_hide_the_desk(tmp_path: Path) -> None:
    """The running desk can be asked while somebody edits its configuration."""
    file = tmp_path / "desk.toml"
    file.write_text("[sandbox]\npids = 1\n")
    assert control_socket(file, {}) == tmp_path / "var/run/control.sock"
    file.write_text("[desk\n")
    with pytest.raises(NoConfiguration, match="`deskctl config check` says more"):
        control_socket(file, {})
