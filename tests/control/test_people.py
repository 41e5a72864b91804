"""Who calls is told by the kernel."""

import os
import pwd
import socket

import pytest

from deskd.control.people import Caller, login_of_member, look_up, peer_of
from deskd.domain.ids import UserId


def test_the_peer_of_a_socket_is_the_uid_that_connected() -> None:
    """Nothing the caller says counts."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours.fileno()) == os.geteuid()


def test_root_and_the_desks_own_user_are_officers() -> None:
    """A desk can always be commanded by who started it."""
    for uid in (0, os.geteuid()):
        caller = look_up(uid)
        assert caller.is_officer
        assert caller.name == pwd.getpwuid(uid).pw_name


def test_a_uid_without_a_name_is_nobody() -> None:
    """Strategies' own uids have no login: they command nothing."""
    caller = look_up(3_999_999_999)
    assert caller == Caller(uid=3_999_999_999, name="3999999999", is_officer=False)
    assert not caller.may_manage(UserId("alice"))


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (Caller(uid=1, name="alice", is_officer=False), True),
        (Caller(uid=2, name="bob", is_officer=False), False),
        (Caller(uid=3, name="ada", is_officer=True), True),
    ],
)
def test_a_member_manages_what_bears_their_login(caller: Caller, may: bool) -> None:
    """Officers manage everything."""
    assert caller.may_manage(UserId("alice")) is may


def test_whose_folder_it_is_tells_only_a_members_login() -> None:
    """An officer's says nothing of a member, and a uid without a name is nobody's."""
    nobody = pwd.getpwnam("nobody")
    assert login_of_member(nobody.pw_uid) == "nobody"
    assert login_of_member(os.geteuid()) is None
    assert login_of_member(3_999_999_999) is None
