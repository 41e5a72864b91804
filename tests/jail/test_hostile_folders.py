"""What a member puts into a strategy's folder is an attack on the desk itself: it is read by the desk, in no jail."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deskd.config import MarketSection, RiskStrategySection
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.supervision.discovery import CONFIG_BYTES_MAX, Defaults, discover, discover_one
from deskd.supervision.folder import FolderError, read_folder
from tests.jail.configs import CONFIGS, TOO_LARGE

DEFAULTS = Defaults(market=MarketSection(), risk=RiskStrategySection())
READ_MAX_S = 5.0  # of CPU, for any folder: it is read in a thread, and others wait for it


def nothing_wrong(sources: Any) -> list[str | None]:
    return [None for _ in sources]


def read(folder: Path) -> StrategySpec | BrokenStrategy:
    """Read it as the desk does, within the time that any folder may take."""
    began = time.thread_time()
    found = discover_one(folder, DEFAULTS, nothing_wrong)
    assert time.thread_time() - began < READ_MAX_S
    return found


def a_folder(tmp_path: Path, name: str = "mallory") -> Path:
    folder = tmp_path / "strategies" / name
    folder.mkdir(parents=True)
    (folder / "strategy.py").write_text("print(1)\n")
    return folder


def test_hostile_configs_come_to_the_parser() -> None:
    """None of them is so large that its size alone keeps it out: see TOO_LARGE for those."""
    sizes = {name: len(text.encode("utf-8", "surrogateescape")) for name, text in CONFIGS.items()}
    assert {name: size for name, size in sizes.items() if size > CONFIG_BYTES_MAX} == {}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_config_over_its_size_is_not_parsed(tmp_path: Path, name: str) -> None:
    """It is told its size, whatever is in it."""
    folder = a_folder(tmp_path)
    (folder / "config.json").write_text(TOO_LARGE[name])
    found = read(folder)
    assert isinstance(found, BrokenStrategy), found
    assert str(CONFIG_BYTES_MAX) in found.problem.replace(",", "")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_config_breaks_its_own_strategy_alone(tmp_path: Path, name: str) -> None:
    """It is told in one printable line what is wrong; the desk neither falls nor believes it."""
    folder = a_folder(tmp_path)
    (folder / "config.json").write_bytes(CONFIGS[name].encode("utf-8", "surrogateescape"))
    found = read(folder)
    assert isinstance(found, BrokenStrategy), found
    assert found.problem.isprintable()
    assert len(found.problem) < 1_000


def test_hostile_names_are_refused_and_shown_in_safe_words(tmp_path: Path) -> None:
    """A name is a path, a cgroup, a host name and a column of tables: it has a few plain characters, or it is nothing."""
    names = [
        "a.b",
        "..a",
        "a b",
        "-rf",
        "ä",
        "\u0410",
        "a\nb",
        "a\x1b[2J",
        "$(id)",
        "A",
        "a" * 49,
        "a%2fb",
        "\u202ea",
        "a\tb",
    ]
    for name in names:
        a_folder(tmp_path, name)
    (a_folder(tmp_path).parent / os.fsdecode(b"\xff\xfe")).mkdir()
    found = discover(tmp_path / "strategies", DEFAULTS, nothing_wrong)
    good = [one.strategy_id for one in found if isinstance(one, StrategySpec)]
    assert good == ["mallory"]


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "data")


def listening(folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{here}/sock")
    os.close(here)


def strategy_as(target: str) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / "strategy.py").unlink()
        (folder / "strategy.py").symlink_to(target)

    return put


def config_as(target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "config.json").symlink_to(target)


def many(folder: Path) -> None:
    for number in range(2_100):
        (folder / f"f{number}").touch()


def sparse(folder: Path) -> None:
    with (folder / "model.bin").open("wb") as file:
        file.truncate(1 << 40)


def deep(folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def loop(folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")


FOLDERS: dict[str, Callable[[Path], None]] = {
    "a fifo": fifo,
    "a socket": listening,
    "a link to the shadow file": strategy_as("/etc/shadow"),
    "a link to endless zeros": strategy_as("/dev/zero"),
    "a link out of the folder": strategy_as("../bob/strategy.py"),
    "a configuration of the host's": config_as("/etc/passwd"),
    "a configuration of a process": config_as("/proc/self/environ"),
    "a loop of links": loop,
    "too many files": many,
    "a sparse terabyte": sparse,
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_hostile_folder_is_no_strategy(tmp_path: Path, name: str) -> None:
    """Links, pipes, devices and bulk are refused without waiting, and nothing outside of the folder is read."""
    folder = a_folder(tmp_path)
    (a_folder(tmp_path, "bob") / "strategy.py").write_text("secret = 'of bob'\n")
    FOLDERS[name](folder)
    found = read(folder)
    assert isinstance(found, BrokenStrategy), found
    assert "of bob" not in found.problem
    assert "root:" not in found.problem


def test_a_link_that_is_swapped_in_while_the_desk_reads_leads_nowhere(tmp_path: Path) -> None:
    """What was a file or a folder when it was looked at may be a link when it is opened: then it is not read."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file.py").write_text("of bob")
    folder = a_folder(tmp_path)
    (folder / "lib").mkdir()
    (folder / "lib" / "file.py").write_text("of mallory")
    (folder / "file.py").write_text("of mallory")
    is_over = threading.Event()

    def race() -> None:
        """Put a link in the place of a file and of a folder, and each of them back, as fast as can be."""
        while not is_over.is_set():
            (folder / "link").symlink_to(secret / "file.py")
            (folder / "link").replace(folder / "file.py")
            (folder / "plain").write_text("of mallory")
            (folder / "plain").replace(folder / "file.py")
            (folder / "lib").rename(folder / "away")
            (folder / "lib").symlink_to(secret)
            (folder / "lib").unlink()
            (folder / "away").rename(folder / "lib")

    racer = threading.Thread(target=race)
    racer.start()
    read_well, said = 0, set[str]()
    try:
        for _ in range(1_500):
            try:
                files, _ = read_folder(folder)
            except FolderError as error:
                said.add(str(error).partition(": ")[2])
                continue
            read_well += 1
            assert b"of bob" not in files.values()
    finally:
        is_over.set()
        racer.join()
    assert read_well
    assert said <= {
        "changed while it was read: try again when it rests",
        "is a link that does not lead to a file of this folder: copy the file into it",
    }


def test_folders_nested_beyond_any_path_end_nobody(tmp_path: Path) -> None:
    """Read by descriptor, or refused: both are answers."""
    folder = a_folder(tmp_path)
    deep(folder)
    assert isinstance(read(folder), StrategySpec | BrokenStrategy)


def test_nothing_in_the_desk_unpickles_or_evaluates_what_it_reads() -> None:
    """No pickle, marshal, shelve or eval anywhere: a file can at most be wrong."""
    sources = Path(__file__).parents[2].joinpath("deskd").rglob("*.py")
    words = (
        "import pickle",
        "import marshal",
        "import shelve",
        "import dill",
        "pickle.load",
        "yaml.load",
        " eval(",
        " exec(",
    )
    found = [(path.name, word) for path in sources for word in words if word in path.read_text()]
    assert found == []
