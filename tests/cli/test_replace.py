"""What `deskctl replace` takes; what it does is tested with the other commands over a socket."""

from click.testing import CliRunner

from deskd.cli.replace import replace


def test_a_replacement_that_changes_nothing_is_a_mistake_in_the_command() -> None:
    """It is told before any desk is asked."""
    said = CliRunner().invoke(replace, ["alice-1"])
    assert said.exit_code == 2
    assert "nothing is to change: give --qty, a price or --time-in-force" in said.output
