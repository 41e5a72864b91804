"""What jails bind lies where a strategy's uid can read it, complete and unchanging."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId
from deskd.supervision.staging import JailFolder, choose_jail_folder, stage_environment
from deskd.supervision.uids import Identity, can_map_uids

ME = Identity(os.geteuid(), os.getegid(), True)
ALICE = StrategyId("alice")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another uid")


def test_an_environment_is_staged_once(jail_root: Path) -> None:
    """The second start finds all in place and copies nothing."""
    folder = JailFolder(jail_root)
    folder.prepare()
    first = stage_environment(folder, None)
    before = first.folder.stat().st_mtime_ns
    again = stage_environment(folder, None)
    assert again == first
    assert again.folder.stat().st_mtime_ns == before
    assert not list(jail_root.glob("*/.*"))


def test_the_environment_has_what_members_import(jail_root: Path) -> None:
    """Protobuf and desk_client are there, compiled; the desk's own packages are not."""
    folder = JailFolder(jail_root)
    folder.prepare()
    environment = stage_environment(folder, None)
    program = (
        "import google.protobuf, desk_client, sys; print(google.protobuf.__file__, google.protobuf.__cached__);"
        "import importlib.util as u; print([n for n in ('deskd', 'aiohttp', 'pip') if u.find_spec(n)])"
    )
    command = [str(environment.folder / "bin" / "python3"), "-P", "-s", "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.split("\n")
    source, cached = said[0].split()
    assert source.startswith(str(environment.folder))
    assert Path(cached).exists()
    assert said[1] == "[]"


@needs_root
def test_everything_staged_can_be_read_by_any_uid(jail_root: Path) -> None:
    """Whatever modes the originals have, and wherever the checkout and the interpreter lie."""
    folder = JailFolder(jail_root)
    folder.prepare()
    environment = stage_environment(folder, None)
    places = [environment.folder, *(bind.source for bind in environment.binds)]
    for path in [inner for place in places for inner in (place, *place.rglob("*"))]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            assert mode & 0o004, path
            assert not path.is_dir() or mode & 0o001, path
            assert not mode & 0o022, path


@needs_root
def test_code_is_the_strategys_alone_and_unchanging(tmp_path: Path, jail_root: Path) -> None:
    """The copy belongs to that hash and that uid; editing the original changes nothing that runs."""
    folder, who = JailFolder(jail_root), Identity(200_777, 200_777, False)
    folder.prepare()
    (tmp_path / "lib").mkdir()
    (tmp_path / "strategy.py").write_text("one")
    (tmp_path / "lib" / "x.py").write_text("x")
    first, first_hash = folder.stage_code(ALICE, tmp_path, who)
    (tmp_path / "strategy.py").write_text("two")
    assert (first / "strategy.py").read_text() == "one"
    second, second_hash = folder.stage_code(ALICE, tmp_path, who)
    assert first_hash != second_hash
    assert not first.exists()
    assert (second / "lib" / "x.py").read_text() == "x"
    facts = (second / "strategy.py").stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (0, 200_777, 0o640)
    assert folder.stage_code(ALICE, tmp_path, who)[0] == second
    other, _ = folder.stage_code(ALICE, tmp_path, Identity(200_778, 200_778, False))
    assert ((other / "strategy.py").stat().st_gid, (other / "lib" / "x.py").read_text()) == (200_778, "x")


def test_who_runs_strategies_as_himself_needs_no_other_folder(tmp_path: Path) -> None:
    """A laptop's 0700 home is good enough where no strategy has a uid of its own."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    unsafe = SandboxSection(unsafe_without_jail=True)
    assert choose_jail_folder(unsafe, closed / "var").root == closed / "var"
    unsafe = SandboxSection(unsafe_without_jail=True, jail_dir=closed / "jails")
    assert choose_jail_folder(unsafe, tmp_path).root == closed / "jails"


@pytest.mark.skipif(not can_map_uids(), reason="needs the right to give strategies uids of their own")
def test_jails_lie_where_others_can_pass(tmp_path: Path) -> None:
    """A state_dir under a 0700 home is left for a folder that can be reached; a jail_dir is checked."""
    open_dir, closed = tmp_path / "open", tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    parents_open = all(part.stat().st_mode & 1 for part in tmp_path.parents)
    chosen = choose_jail_folder(SandboxSection(), closed / "var").root
    assert chosen.parent == Path("/var/lib")
    assert chosen.name.startswith("deskd-")
    assert choose_jail_folder(SandboxSection(), closed / "var").root == chosen
    if parents_open:
        assert choose_jail_folder(SandboxSection(), open_dir).root == open_dir
    with pytest.raises(SandboxUnavailable, match=r"strategies' uids cannot pass .* chmod o"):
        choose_jail_folder(SandboxSection(jail_dir=closed / "jails"), open_dir)


def test_a_socket_path_that_is_too_long_is_said(tmp_path: Path) -> None:
    """A socket's name has 107 bytes; the remedy is named."""
    folder = JailFolder(tmp_path / ("x" * 100))
    folder.prepare()
    with pytest.raises(SandboxUnavailable, match="jail_dir to a shorter one"):
        folder.socket_folder(200_000, ME)


def test_a_socket_folder_is_new_for_each_run(tmp_path: Path) -> None:
    """Nothing of an earlier run's door is left."""
    folder = JailFolder(tmp_path)
    folder.prepare()
    path = folder.socket_folder(7, ME)
    (path / "order.sock").touch()
    assert list(folder.socket_folder(7, ME).iterdir()) == []


def test_a_python_that_is_none_is_named(tmp_path: Path) -> None:
    """The setting and the remedy stand in the text."""
    folder = JailFolder(tmp_path)
    folder.prepare()
    with pytest.raises(SandboxUnavailable, match=r"\[sandbox\] python=/nonexistent/bin/python3|/nonexistent"):
        stage_environment(folder, Path("/nonexistent"))


def test_officers_packages_are_taken_along(tmp_path: Path) -> None:
    """`[sandbox] python` names an environment: its packages come along, and protobuf where it has none."""
    made = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    [site] = made.glob("lib/python3*/site-packages")
    (site / "indicators.py").write_text("RSI = 14\n")
    folder = JailFolder(tmp_path / "jails")
    folder.prepare()
    environment = stage_environment(folder, made)
    command = [
        str(environment.folder / "bin" / "python3"),
        "-P",
        "-s",
        "-c",
        "import google.protobuf, indicators as i; print(i.RSI)",
    ]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"14\n"


def test_what_a_real_desk_lends_is_left_as_it_is(tmp_path: Path) -> None:
    """A trial links to the packages that officers built: whoever tries a strategy may not own them."""
    lent = tmp_path / "own"
    lent.mkdir(mode=0o755)
    lent.chmod(0o755)
    (tmp_path / "jail").mkdir()
    (tmp_path / "jail" / "own").symlink_to(lent)
    JailFolder(tmp_path / "jail").prepare()
    assert lent.stat().st_mode & 0o777 == 0o755


def test_a_jails_configuration_is_the_last_one_alone(tmp_path: Path) -> None:
    """A shorter one leaves nothing of a longer one, nobody else can read it, and it goes through no link."""
    folder = JailFolder(tmp_path)
    folder.prepare()
    file = folder.write_config(StrategyId("alice"), "name: 'alice' # a long one\n")
    file.chmod(0o644)  # of an earlier desk
    assert folder.write_config(StrategyId("alice"), "name: 'é'\n") == file
    assert file.read_text(encoding="utf-8") == "name: 'é'\n"
    assert file.stat().st_mode & 0o777 == 0o600
    (tmp_path / "jails" / "bob.cfg").symlink_to(file)
    with pytest.raises(OSError, match=r"bob\.cfg"):
        folder.write_config(StrategyId("bob"), "name: 'bob'\n")
