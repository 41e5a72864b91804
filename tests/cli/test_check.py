"""What the doctor says of one thing."""

from deskd.cli.check import BAD, Check, not_yours


def test_a_check_is_a_row_of_the_table() -> None:
    """The table and the JSON say the same."""
    check = Check("disk", BAD, "full", "make room")
    assert check.row() == {"check": "disk", "verdict": "bad", "found": "full", "remedy": "make room"}


def test_what_is_not_yours_is_neither_good_nor_bad() -> None:
    """Who may look is named."""
    check = not_yours("ledger", "desk.db")
    assert (check.verdict, check.found) == ("not yours", "desk.db is not yours to see")
    assert "officer" in str(check.remedy)
