"""A terminal that was closed is told from a signal that somebody sent."""

from deskd.app.terminal import Terminal


def test_only_a_terminal_that_was_there_can_be_gone() -> None:
    """A desk without one has nothing to lose; one that is there was not closed."""
    is_there = True
    terminal = Terminal(lambda: is_there)
    assert (terminal.had_one, terminal.is_gone) == (True, False)
    is_there = False
    assert terminal.is_gone
    none = Terminal(lambda: False)
    assert (none.had_one, none.is_gone) == (False, False)


def test_a_process_knows_its_own() -> None:
    """Whether it has one or not: it is asked of the kernel, and never gone while it runs."""
    assert not Terminal().is_gone
