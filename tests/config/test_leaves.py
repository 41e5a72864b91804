"""Every key of the tree is known with what may stand there."""

from deskd.config.leaves import leaves, sections


def test_every_key_has_a_description_and_says_what_is_allowed() -> None:
    """An error can always say what would be right."""
    for key, leaf in leaves().items():
        assert leaf.description, key
        assert leaf.allowed, key


def test_bounds_are_read_from_the_tree() -> None:
    """What a message allows is what is checked."""
    known = leaves()
    assert known["sandbox.memory_mb"].allowed == "a whole number from 16 to 65536"
    assert known["restart.backoff_max_s"].allowed == "a number over 0 to 86400"
    assert known["desk.db_path"].allowed == "a path in quotes"
    assert known["exchange.fills"].choices == ("paper", "immediate")


def test_sections_keep_the_order_of_the_tree() -> None:
    """The shipped file reads as the tree does."""
    names = [section.name for section in sections()]
    assert names[:3] == ["desk", "broker", "exchange"]
    assert "risk.strategy" in names
    assert "risk" not in names
