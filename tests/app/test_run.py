"""The daemon as a process: its ends, whenever they are asked for (twin of deskd/app/__init__.py)."""

import asyncio
import os
import pty
import signal
import socket
from pathlib import Path

import pytest

from deskd.app import run
from deskd.config import BrokerSection, Config, DeskSection
from deskd.journal import Journal
from deskd.ledger.store import LedgerStore
from tests.a_journal import FakeJournal
from tests.hang import HANG_S
from tests.whole.desk_process import a_desk_process, all_gone

NO_BROKER = """
    [broker]
    mode = "alpaca"
    trading_url = "http://127.0.0.1:9"
    data_url = "http://127.0.0.1:9"
    data_stream_url = "ws://127.0.0.1:9/v2/iex"
    trade_stream_url = "ws://127.0.0.1:9/stream"
    [sandbox]
    unsafe_without_jail = true
"""
KEYS = {"APCA_API_KEY_ID": "PKTEST", "APCA_API_SECRET_KEY": "secret-of-a-test"}


@pytest.mark.parametrize("is_asked", [True, False], ids=["asked", "terminal_closed"])
async def test_a_desk_that_waits_for_its_broker_ends_at_once_when_asked(tmp_path: Path, *, is_asked: bool) -> None:
    """SIGTERM while it starts is obeyed, not kept for later: no strategy is started first, nothing is left behind."""
    ours, its = pty.openpty()
    async with a_desk_process(tmp_path) as desk:
        desk.environment = KEYS
        desk.configure(NO_BROKER)
        desk.strategy("ann", "print('I ran')")
        await desk.start(ready=False, terminal=its)
        os.close(its)
        await desk.hears("broker_unreachable")
        below = desk.children()
        began = asyncio.get_running_loop().time()
        if not is_asked:
            os.close(ours)
        assert await (desk.end() if is_asked else desk.dies()) == 0
        assert asyncio.get_running_loop().time() - began < 10
        told = [line.get("event") for line in desk.log]
        assert "desk_stopped" in told
        assert "run_started" not in told
        assert "Traceback" not in "".join(str(line) for line in desk.log)
        await all_gone(below)
    if is_asked:
        os.close(ours)


async def test_a_desk_at_work_ends_in_order_when_its_terminal_is_closed(tmp_path: Path) -> None:
    """Strategies end, orders are canceled, the ledger is closed: nobody watches it any more."""
    ours, its = pty.openpty()
    async with a_desk_process(tmp_path) as desk:
        desk.configure("[sandbox]\nunsafe_without_jail = true\n")
        await desk.start(terminal=its)
        os.close(its)
        os.close(ours)
        assert await desk.dies() == 0
        assert "desk_stopped" in [line["event"] for line in desk.log]


async def test_systemd_is_asked_to_wait_for_the_longest_grace(tmp_path: Path) -> None:
    """When a stop begins; so that no run is killed by the unit's timeout while the desk lets it end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(HANG_S)
        async with a_desk_process(tmp_path) as desk:
            desk.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
            desk.configure("[sandbox]\nunsafe_without_jail = true\nstop_grace_s = 600\n")
            await desk.start()
            assert await desk.end() == 0
        said: list[str] = []
        while "EXTEND_TIMEOUT_USEC=1228000000" not in said:  # all stages together
            said = ear.recv(4096).decode().split("\n")
        assert said[0] == "STOPPING=1"


async def test_a_desk_reads_its_configuration_again_when_it_is_sent_the_signal(tmp_path: Path) -> None:
    """By SIGHUP, with systemd or without: what changed is in the log, and the desk goes on."""
    async with a_desk_process(tmp_path) as desk:
        desk.configure("[sandbox]\nunsafe_without_jail = true\n")
        await desk.start()
        desk.configure('[sandbox]\nunsafe_without_jail = true\n[risk.strategy]\norder_notional_max = "1234"\n')
        assert desk.process is not None
        desk.process.send_signal(signal.SIGHUP)
        await desk.hears("config_reloaded")
        (changed,) = [line for line in desk.log if line["event"] == "config_changed"]
        assert (changed["key"], changed["new"], changed["by"]) == ("risk.strategy.order_notional_max", "1234", "SIGHUP")
        desk.configure("[sandbx]\n")
        desk.process.send_signal(signal.SIGHUP)
        await desk.hears("config_wrong")
        assert desk.process.returncode is None
        assert await desk.end() == 0


async def test_asked_twice_it_ends_in_order_all_the_same(tmp_path: Path) -> None:
    """An impatient second Ctrl-C does not cut the end of the desk short."""
    async with a_desk_process(tmp_path) as desk:
        desk.environment = KEYS
        desk.configure(NO_BROKER)
        await desk.start(ready=False)
        await desk.hears("broker_unreachable")
        assert desk.process is not None
        desk.process.send_signal(signal.SIGINT)
        assert await desk.end(signal.SIGINT) == 0
        assert "desk_stopped" in [line["event"] for line in desk.log]


def test_a_ledger_in_use_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    """Two desks on one ledger would be two writers."""
    config = Config(desk=DeskSection(state_dir=tmp_path))
    with asyncio.Runner() as runner:
        ledger = runner.run(LedgerStore.open(tmp_path / "desk.db"))
        assert run(config, keys=None) == 1
        runner.run(ledger.close())


def test_a_broker_without_keys_is_a_wrong_configuration(tmp_path: Path) -> None:
    """Another start would end the same: 78, and systemd leaves it alone."""
    config = Config(desk=DeskSection(state_dir=tmp_path), broker=BrokerSection(mode="alpaca"))
    assert run(config, keys=None) == 78


def test_why_a_desk_ends_stands_in_journal_and_status(tmp_path: Path) -> None:
    """`journalctl -p err` shows it as an error of the desk's own, and `systemctl status` in its line."""
    fake, ear = FakeJournal(tmp_path), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(str(tmp_path / "notify"))
    config = Config(desk=DeskSection(state_dir=tmp_path), broker=BrokerSection(mode="alpaca"))
    journal = Journal(fake.address)
    os.environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")  # the desk takes it out
    assert run(config, keys=None, journal=journal) == 78
    journal.close()
    (entry,) = [entry for entry in fake.entries() if entry["PRIORITY"] == "3"]
    assert entry["DESK_EVENT"] == "desk_ended"
    assert entry["DESK_WHY"].startswith('broker.mode = "alpaca" needs keys')
    status = ""
    ear.settimeout(HANG_S)
    while "needs keys" not in status:
        status = ear.recv(4096).decode()
    assert status.startswith('STATUS=broker.mode = "alpaca" needs keys')
    ear.close()
    fake.close()


async def test_systemd_hears_the_whole_life_of_a_desk(tmp_path: Path) -> None:
    """READY comes when orders are taken, a reload answers in the same process, STOPPING comes before the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)

        async def told(word: str) -> str:
            async with asyncio.timeout(HANG_S):
                while word not in (heard := (await asyncio.get_running_loop().sock_recv(ear, 4096)).decode()):
                    continue
            return heard

        async with a_desk_process(tmp_path) as desk:
            desk.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000000"}
            desk.configure("[sandbox]\nunsafe_without_jail = true\n")
            await desk.start()
            assert "STATUS=starting" in await told("STATUS=")
            assert "takes orders" in await told("READY=1")
            await told("WATCHDOG=1")
            desk.strategy("ann", "print('I am new')")
            assert desk.process is not None
            desk.process.send_signal(signal.SIGHUP)
            await told("RELOADING=1")
            assert "of 1 strategies" in await told("READY=1")
            assert await desk.end() == 0
            await told("STOPPING=1")
