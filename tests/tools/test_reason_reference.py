"""The table of reason codes says of every code what it means, which rule gives it, and what to do."""

from enum import StrEnum

import pytest

from deskd.core import gate
from deskd.domain.reasons import DenialReason
from tools import reason_reference


@pytest.mark.parametrize("enum", [enum for enum, _ in reason_reference.KINDS.values()])
def test_every_code_has_a_remedy(enum: type[StrEnum]) -> None:
    """Whoever adds one says what its author can do."""
    assert all(reason_reference.ADVICE[member].remedy for member in enum)


def test_no_code_that_is_gone_stays_in_the_table() -> None:
    """The table is about the codes that there are."""
    known = {member.value for enum, _ in reason_reference.KINDS.values() for member in enum}
    assert {member.value for member in reason_reference.ADVICE} == known


def test_every_key_is_one_of_the_configuration() -> None:
    """None that was renamed stays in the table."""
    assert reason_reference.keys_unknown() == []


def test_every_check_of_the_gate_is_the_rule_of_a_reason() -> None:
    """Told from the checks themselves: what none of them gives is the order lane's, the desk's or the kill's."""
    rules = reason_reference.rules_by_reason()
    named = {name for names in rules.values() for name in names}
    checks = (*gate.CHECKS, *gate.VALUE_CHECKS, *gate.CLOSING_VALUE_CHECKS)
    assert {check.__name__ for check in checks} == named
    assert rules.keys() <= {reason.name for reason in DenialReason}
    assert rules["POSITION_QTY_MAX"] == ["position_qty_is_small"]
