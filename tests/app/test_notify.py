"""systemd hears when the desk is ready, that it lives, and nothing where it does not listen."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskd.app.notify import STATUS_EVERY_S, STATUS_MAX, Notifier, extend_timeout


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        yield listener


def told(ear: socket.socket) -> list[str]:
    return ear.recv(4096).decode().split("\n")


def test_what_systemd_left_is_taken_out_of_the_environment() -> None:
    """No child of ours can speak in the desk's name, or be taken for it."""
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7", "PATH": "/bin"}
    notifier = Notifier.of(environment, 7)
    assert environment == {"PATH": "/bin"}
    assert (notifier.address, notifier.watchdog_s, notifier.every_s) == ("/run/x", 30.0, 10.0)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "30000000"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"},
    ],
)
def test_a_watchdog_that_is_not_for_us_is_not_fed(environment: dict[str, str]) -> None:
    """Another process's watchdog, or none, changes nothing."""
    notifier = Notifier.of(environment, 7)
    assert notifier.watchdog_s is None
    assert notifier.every_s == STATUS_EVERY_S


def test_the_status_is_one_line_that_people_can_read(ear: socket.socket) -> None:
    """A broker's message cannot smuggle an assignment of its own in."""
    notifier = Notifier(ear.getsockname(), None)
    notifier.say("READY=1", status="up\nMAINPID=1\x1b[2J")
    assert told(ear) == ["READY=1", r"STATUS=up\nMAINPID=1\x1b[2J"]
    notifier.say(status="x" * 1000)
    assert told(ear) == [f"STATUS={'x' * STATUS_MAX}"]


def test_a_reload_says_when_it_began(ear: socket.socket) -> None:
    """Systemd tells an old answer from a new one by the machine's monotonic clock."""
    Notifier(ear.getsockname(), None).reloading()
    first, second = told(ear)
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_nobody_listening_is_no_trouble(tmp_path: Path) -> None:
    """A desk on a laptop, or one whose systemd is busy, goes on."""
    Notifier(None, None).say("READY=1")
    late = Notifier(str(tmp_path / "late"), None)
    late.say("READY=1", status="up")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "late"))
        listener.settimeout(5)
        late.say(status="up again")
        assert told(listener) == ["STATUS=up again"]


def test_an_abstract_address_is_understood() -> None:
    """Systemd writes its first byte as @."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0deskd-test-notify")
        listener.settimeout(5)
        Notifier("@deskd-test-notify", None).say("READY=1")
        assert told(listener) == ["READY=1"]


async def test_the_watchdog_is_fed_by_the_loop(ear: socket.socket) -> None:
    """Three feeds fit into one watch, each with the newest status; without an ear nothing runs."""
    notifier = Notifier(ear.getsockname(), 0.03)
    states = iter(["one", "two", "three"])
    telling = asyncio.get_running_loop().create_task(notifier.keep_telling(lambda: next(states, "later")))
    said = [await asyncio.to_thread(told, ear) for _ in range(3)]
    telling.cancel()
    assert said == [["WATCHDOG=1", f"STATUS={word}"] for word in ("one", "two", "three")]
    await Notifier(None, None).keep_telling(lambda: "never")


async def test_systemd_hears_how_the_desk_is_until_the_body_ends(ear: socket.socket) -> None:
    """The last stages of a stop feed the watchdog, too; then nothing more is said."""
    notifier = Notifier(ear.getsockname(), 0.03)
    async with notifier.telling(lambda: "stopping"):
        assert await asyncio.to_thread(told, ear) == ["WATCHDOG=1", "STATUS=stopping"]
    ear.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while told(ear):
            pass
    await asyncio.sleep(0.03)
    with pytest.raises(BlockingIOError):
        told(ear)


def test_systemd_is_asked_for_more_time_in_its_own_unit() -> None:
    """Microseconds, whole ones."""
    assert extend_timeout(38.5) == "EXTEND_TIMEOUT_USEC=38500000"
