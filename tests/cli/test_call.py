"""What verbs share."""

from pathlib import Path

from deskd.cli.call import Call


def test_the_desk_is_the_one_of_the_configuration(tmp_path: Path) -> None:
    """--config names a desk by what it would run."""
    config = tmp_path / "desk.toml"
    config.write_text('[desk]\nruntime_dir = "run"\n')
    assert Call(config).desk().path == tmp_path / "run" / "control.sock"
