"""Real receivers take what is sent; whatever they do, no part of an address is in what is said of it."""

import asyncio
import io
import logging
import socket

import pytest

from deskd.alerts.digest import Message
from deskd.alerts.receiver import _place, _receiver, flaw, masked, send, unreachable
from deskd.domain.notifications import Severity
from tests.alerts.notes import Mailbox, http_receiver, mail_server

A_MESSAGE = Message(title="[club] KILL desk", text="By ada\nTo do: release", severity=Severity.CRITICAL)
SECRETS = ("s3cr3t-pass", "t0k3n-of-club")


async def test_an_http_receiver_gets_title_text_and_severity() -> None:
    """Apprise's json:// speaks with a real server."""
    async with http_receiver() as receiver:
        assert await asyncio.to_thread(send, receiver.address(), A_MESSAGE) is None
        [body] = receiver.got
    assert (body["title"], body["message"], body["type"]) == (A_MESSAGE.title, A_MESSAGE.text, "failure")


async def test_a_receiver_that_fails_is_told_without_its_address() -> None:
    """The status is there; user, password, token and host are not."""
    async with http_receiver() as receiver:
        receiver.status = 500
        problem = await asyncio.to_thread(send, receiver.address(), A_MESSAGE)
    assert problem is not None
    assert "500" in problem, problem
    assert not any(secret in problem for secret in (*SECRETS, "127.0.0.1"))


async def test_a_receiver_that_hangs_is_given_up() -> None:
    """After its own timeout, by the thread that waits for it alone."""
    async with http_receiver() as receiver:
        receiver.is_hanging = True
        problem = await asyncio.to_thread(send, receiver.address(read_s=0.2), A_MESSAGE)
    assert problem is not None
    assert not any(secret in problem for secret in SECRETS)


def test_nobody_there_and_no_address_at_all_are_failures() -> None:
    """A port that nobody listens on; a text that apprise does not know."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    problem = send(f"json://robot:s3cr3t-pass@127.0.0.1:{port}/t0k3n-of-club?cto=1&rto=1", A_MESSAGE)
    assert problem is not None
    assert not any(secret in problem for secret in SECRETS)
    assert "does not know this kind of address" in str(send("no address", A_MESSAGE))


@pytest.mark.parametrize("refusal", [None, "554 no room"])
async def test_a_mail_server_gets_a_mail(refusal: str | None) -> None:
    """By SMTP; a refusal is a failure."""
    mailbox = Mailbox(refusal=refusal)
    async with mail_server(mailbox) as port:
        address = f"mailto://127.0.0.1:{port}?from=desk@club.test&to=ada@club.test&mode=insecure&cto=2"
        problem = await asyncio.to_thread(send, address, A_MESSAGE)
    if refusal is not None:
        assert problem is not None
        return
    assert problem is None
    [mail] = mailbox.mails
    assert mail["Subject"] == A_MESSAGE.title
    assert "ada@club.test" in mail["To"]
    assert "To do: release" in mail.as_string()


def test_every_part_of_an_address_is_masked() -> None:
    """As it stands there, and as it is once unquoted, whatever the case."""
    address = "slack://bot@T0KENA/T0KENB/p%40ssw0rd?key=abcdefg"
    said = masked("POST t0kena to T0KENB with p@ssw0rd and p%40ssw0rd\nkey abcdefg failed: 404", address)
    assert "failed: 404" in said
    assert not any(part in said.lower() for part in ("t0ken", "ssw0rd", "abcdefg"))


def test_an_address_is_judged_without_sending() -> None:
    """As it is written: known and whole, or not; no log of the program's hears of it."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logging.getLogger().addHandler(handler)
    try:
        assert flaw("json://robot:s3cr3t-pass@127.0.0.1/t0k3n-of-club") is None
        for wrong in ("json://", "slack://t0k3n-of-club", "carrier-pigeon://s3cr3t-pass", "no address"):
            assert "not whole" in str(flaw(wrong))
    finally:
        logging.getLogger().removeHandler(handler)
    assert not heard.getvalue()


def test_a_host_is_knocked_at() -> None:
    """One that listens, and one that does not; where an address names none, nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert unreachable(f"json://127.0.0.1:{port}/t0k3n-of-club", 2) is None
    problem = unreachable(f"json://robot:s3cr3t-pass@127.0.0.1:{port}/t0k3n-of-club", 2)
    assert f"port {port}" in str(problem)
    assert not any(secret in str(problem) for secret in (*SECRETS, "127.0.0.1"))
    assert unreachable("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", 2) is None


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", ("discord.com", 443)),
        ("ntfys://topic", ("ntfy.sh", 443)),
        ("ntfy://ntfy.club.test/topic", ("ntfy.club.test", 80)),
        ("mailtos://ada:s3cr3t-pass@mail.club.test:465?to=b@club.test", ("mail.club.test", 465)),
        ("jsons://club.test/x", ("club.test", 443)),
    ],
)
def test_the_host_is_the_one_that_apprise_speaks_with(address: str, place: tuple[str, int]) -> None:
    """The service's own, where the address only holds a token."""
    assert _place(_receiver(address)) == place
