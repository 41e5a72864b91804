"""The desk's own tools run on hostile things in jails with bounds on all they can use up."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.supervision.staging import JailFolder, open_to_all, stage_environment
from deskd.supervision.tool_jail import Tool, Workshop, a_workshop, can_import, prepare_work, remove_work, run_tool
from deskd.supervision.uids import Identity, can_map_uids

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]
WHO = Identity(200_900, 200_900, False) if can_map_uids() else Identity(os.geteuid(), os.getegid(), True)


@pytest.fixture
def shop(jail_root: Path) -> Iterator[Workshop]:
    """Have a workshop beside no desk."""
    folder = JailFolder(jail_root)
    folder.prepare()
    with a_workshop(SandboxSection(), folder, stage_environment(folder, None)) as made:
        yield made


def ran(
    shop: Workshop, code: str, *, out_mb: int = 4, timeout_s: int = 20, has_network: bool = False
) -> tuple[str, str | None]:
    work = shop.folder.root / "build" / "tool"
    prepare_work(work, {"given.txt": b"given"}, WHO)
    tool = Tool(
        name="tool",
        who=WHO,
        work=work,
        arguments=["-c", code],
        env={"EXTRA": "1"},
        out_mb=out_mb,
        timeout_s=timeout_s,
        has_network=has_network,
    )
    try:
        outcome = run_tool(shop, tool)
    finally:
        remove_work(work, WHO)
    assert not work.exists()
    return outcome.said, outcome.problem


def test_a_tool_reads_what_it_was_given_and_writes_to_one_place(shop: Workshop) -> None:
    """The rest is the jail of a strategy."""
    code = """
import os
print(open('/strategy/given.txt').read(), os.environ['EXTRA'], 'DESK_SERVER_URL' in os.environ)
open('/out/a', 'w').write('x')
os.makedirs('/out/deep/er'); os.symlink('/etc/shadow', '/out/link')
for place in ('/strategy/x', '/venv/x'):
    try: open(place, 'w')
    except OSError as error: print(error.strerror)
"""
    assert ran(shop, code) == ("given 1 False\nRead-only file system\nRead-only file system\n", None)


def test_a_tool_cannot_keep_what_it_made_out_of_sight(shop: Workshop) -> None:
    """Without root the desk has no more rights on a tool's files than others: it looks and removes as the tool's uid."""
    shut = "import os, time\nos.makedirs('/out/deep/er'); open('/out/deep/er/x', 'w')\n"
    quick = f"{shut}os.chmod('/out/deep/er', 0); os.chmod('/out/deep', 0o300); os.chmod('/out', 0)"
    ran(shop, quick)
    said, problem = ran(shop, f"{quick}\ntime.sleep(60)")
    assert said == ""
    assert problem == "it shut a folder that it made, so that nobody can see how large it is"
    fills = "for n in range(100): open(f'/out/deep/er/{n}', 'wb').write(bytes(1 << 20)); time.sleep(0.02)"
    assert "it needs more than 4 MB" in str(ran(shop, f"{shut}os.chmod('/out/deep', 0o700)\n{fills}")[1])


def test_a_tools_files_are_the_desks_to_read(shop: Workshop, jail_root: Path) -> None:
    """Whatever the desk's umask: its unit closes what it makes to all others."""
    work = jail_root / "build" / "reads"
    before = os.umask(0o027)
    try:
        prepare_work(work, {}, WHO)
        code = "import os; os.makedirs('/out/a/b'); open('/out/a/b/c', 'w')"
        run_tool(shop, Tool(name="t", who=WHO, work=work, arguments=["-c", code], env={}, out_mb=4, timeout_s=20))
        modes = [path.stat().st_mode & 0o777 for path in (work / "out", *sorted((work / "out").rglob("*")))]
    finally:
        os.umask(before)
        remove_work(work, WHO)
    assert modes == [0o755, 0o755, 0o755, 0o644]


INET = "import socket\nfor f in (socket.AF_INET, socket.AF_UNIX, socket.AF_NETLINK, socket.AF_VSOCK):\n  try: socket.socket(f); print('made')\n  except OSError as e: print(e.errno)"


def test_only_who_fetches_has_a_network(shop: Workshop) -> None:
    """And of it only what a download takes: no netlink, no vsock, and none of the machine's sockets without a file."""
    assert ran(shop, INET) == ("97\nmade\n97\n97\n", None)
    assert ran(shop, INET, has_network=True) == ("made\n97\n97\n97\n", None)


def test_a_shop_that_closes_ends_its_tools(shop: Workshop) -> None:
    """The one at work within a moment, and none that comes after it begins in earnest: a stop has a bound."""
    timer = threading.Timer(0.5, shop.is_closing.set)
    timer.start()
    began = time.monotonic()
    assert ran(shop, "import time; time.sleep(60)", timeout_s=60)[1] == "the desk stops"
    assert ran(shop, "import time; time.sleep(60)", timeout_s=60)[1] == "the desk stops"
    assert time.monotonic() - began < 30
    timer.join()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import time; time.sleep(60)", "it took longer than 1 s"),
        ("while True: pass", "it took longer than 1 s"),
        (
            "import time\nfor n in range(100): open(f'/out/{n}', 'wb').write(bytes(1 << 20)); time.sleep(0.02)",
            "it needs more than 4 MB",
        ),
        ("open('/out/a', 'wb').write(bytes(9 << 20))", "File too large"),
        ("import sys; sys.stderr.write('why\\x1b[2J\\n'); sys.exit(3)", "why\\x1b[2J"),
        ("import sys; sys.exit(3)", "it ended with status 3"),
    ],
    ids=["sleeps", "spins", "fills", "one_large", "says_why", "says_nothing"],
)
def test_a_tool_ends_at_its_bound_and_says_why(shop: Workshop, code: str, says: str) -> None:
    """Control characters are shown as what they are."""
    _, problem = ran(shop, code, timeout_s=1 if "longer" in says else 20)
    assert problem is not None
    assert says in problem


def test_what_a_tool_says_is_kept_to_its_end(shop: Workshop) -> None:
    """A flood does not fill the desk's memory, and does not make the tool wait for ever."""
    said, problem = ran(shop, "for _ in range(300_000): print('flood ' * 5)\nprint('end')")
    assert problem is None
    assert said.endswith("end\n")
    assert len(said) <= 65_536


def test_an_import_is_proved_where_strategies_do_it(shop: Workshop, jail_root: Path) -> None:
    """The first module that fails is named."""
    site = jail_root / "some-site"
    (site / "good").mkdir(parents=True)
    (site / "good" / "__init__.py").write_text("import json")
    (site / "bad.py").write_text("import nothing_of_that_name")
    open_to_all(site)
    assert can_import(shop, site, ["good"]) is None
    problem = can_import(shop, site, ["good", "bad"])
    assert problem is not None
    assert "No module named 'nothing_of_that_name'" in problem
