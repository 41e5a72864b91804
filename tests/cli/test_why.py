"""`deskctl why`: pages as people read them, held as they are in tests/cli/pages (rewritten by --update-golden)."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from deskd.cli.why import PAGE, lines
from deskd.control.order_page import order_page
from deskd.domain import events as ev
from deskd.ledger.fact_reader import FactReader
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from tests.cli.told_orders import FATES, a_ledger_of_fates, write
from tests.control.a_running_desk import a_running_desk
from tests.core.some_splits import a_split_story
from tests.hang import HANG_S

PAGES = Path(__file__).parent / "pages"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("told") / "desk.db"
    asyncio.run(write(path))
    return path


def told(ledger: Path, order: str) -> str:
    with FactReader(ledger) as history:
        return click.unstyle("\n".join(lines(order_page(history, order, lambda _user_id: True)))) + "\n"


@pytest.mark.parametrize("fate", FATES)
def test_a_page_reads_as_it_was_approved(ledger: Path, fate: str, request: pytest.FixtureRequest) -> None:
    """A change of a page is seen, read and meant."""
    page, golden = told(ledger, f"order-{fate}"), PAGES / f"{fate}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(page)
    assert page == golden.read_text()


@pytest.mark.parametrize("fate", FATES)
def test_a_page_fits_a_terminal_of_100_columns(ledger: Path, fate: str) -> None:
    """Nothing is folded by the terminal."""
    assert max(map(len, told(ledger, f"order-{fate}").splitlines())) <= PAGE


@pytest.mark.parametrize("fate", FATES)
def test_a_page_tells_every_fact_of_its_order(ledger: Path, fate: str) -> None:
    """Each fact of the ledger about the order stands in its timeline once, in the ledger's order."""
    oid = f"order-{fate}"
    facts, _ = a_ledger_of_fates()
    own = [
        seq
        for seq, fact in enumerate(facts, 1)
        if getattr(getattr(fact, "request", fact), "client_order_id", None) == oid
        and not isinstance(fact, ev.CommandGiven)
    ]
    with FactReader(ledger) as history:
        page = order_page(history, oid, lambda _user_id: True)
    seqs = [row["seq"] for row in page["timeline"]]
    assert seqs == sorted(seqs)
    assert seqs[1:] == own if fate == "leg" else seqs == own
    assert json.loads(json.dumps(page)) == page


def test_an_order_of_an_old_ledger_says_that_its_checks_were_not_kept(ledger: Path) -> None:
    """Nothing is invented for what was not written down."""
    with FactReader(ledger) as history:
        page = order_page(history, "order-filled", lambda _user_id: True)
    text = "\n".join(lines(page | {"checks": []}))
    assert "not kept: the ledger is from before they were" in text


def test_an_order_of_a_burst_tells_that_its_line_is_the_last_of_several(ledger: Path) -> None:
    """Which of them the script was at work on, only it knows: the page does not say more than that."""
    with FactReader(ledger) as history:
        page = order_page(history, "order-filled", lambda _user_id: True)
    assert page["lines_together"] is None
    text = " ".join("\n".join(lines(page | {"lines_together": 16})).split())
    assert "at work on trade AAPL 2026-01-05T17:00:00.984000Z, the last of 16 lines that it read together" in text


def test_what_members_wrote_does_not_steer_the_terminal(ledger: Path) -> None:
    """An escape sequence is shown, not obeyed."""
    with FactReader(ledger) as history:
        page = order_page(history, "order-filled", lambda _user_id: True)
    page["run"]["exit_detail"] = "\x1b[2Jboo"
    assert "\\x1b[2Jboo" in "\n".join(lines(page))


def deskctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deskd.cli.deskctl", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=HANG_S)


def test_a_ledger_is_read_without_a_desk(ledger: Path) -> None:
    """A backup, a copy from faculty, a desk that is down: the page is the same."""
    said = deskctl("why", "--db", str(ledger), "order-fil")
    assert (said.returncode, said.stdout) == (0, (PAGES / "filled.txt").read_text())
    as_json = deskctl("why", "--db", str(ledger), "--json", "order-denied")
    assert json.loads(as_json.stdout)["status"] == "denied"
    unknown = deskctl("why", "--db", str(ledger), "zebra")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("deskctl: there is no order 'zebra'")
    assert deskctl("why", "--db", str(ledger.parent / "none.db"), "order-fil").returncode == 2


async def test_a_running_desk_is_asked_over_its_socket(tmp_path: Path) -> None:
    """Nothing has to be stopped to look."""
    async with a_running_desk(tmp_path) as desk:
        said = await asyncio.to_thread(deskctl, "--config", str(desk.config), "why", "alice-1")
    assert said.returncode == 0
    assert "Filled: bought 10 AAPL at 100 on average" in said.stdout


async def test_the_page_of_an_order_in_parts_names_them(tmp_path: Path) -> None:
    """Each part with how far it came, and the id under which the broker's own page has it."""
    facts, desk = a_split_story()
    store = await LedgerStore.open(tmp_path / "desk.db")
    await store.append(facts, project(facts, desk))
    await store.close()
    page = told(tmp_path / "desk.db", "alice-sale~2")
    assert page.startswith("Order alice-sale\n")
    assert "part        alice-sale~1: filled, 5 of 5 filled; the broker's id b-alice-sale~1" in page
    assert "part        alice-sale~2: filled, 7 of 7 filled; the broker's id b-alice-sale~2" in page
    assert max(map(len, page.splitlines())) <= PAGE
