"""What a member puts into a strategy's folder is an attack on the desk itself: it is read by the desk, in no jail."""

import json
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

DEFAULTS = Defaults(market=MarketSection(), risk=RiskStrategySection())
READ_MAX_S = 5.0  # of CPU, for any folder: it is read in a thread, and others wait for it

ALL = CONFIG_BYTES_MAX - 100  # what is larger never comes to the parser
CONFIGS = {
    "deep lists": "[" * (ALL // 2) + "]" * (ALL // 2),
    "deep objects": '{"a":' * (ALL // 6) + "1" + "}" * (ALL // 6),
    "deep, never closed": "[" * ALL,
    "deep objects, never closed": '{"a":' * (ALL // 5),
    "deep where a limit stands": '{"limits": {"open_orders_max": ' + "[" * (ALL // 2) + "]" * (ALL // 2) + "}}",
    "a number of all its digits": '{"limits": {"open_orders_max": ' + "9" * ALL + "}}",
    "a fraction of all its digits": '{"limits": {"order_notional_max": "0.' + "9" * (ALL - 60) + '"}}',
    "a number of five thousand digits": '{"limits": {"open_orders_max": ' + "9" * 5_000 + "}}",
    "an endless exponent": '{"limits": {"open_orders_max": 1e999999999}}',
    "an endless exponent as text": '{"limits": {"open_orders_max": "1e999999999"}}',
    "a small exponent": '{"limits": {"order_notional_max": "1e-999999999"}}',
    "not a number": '{"limits": {"order_notional_max": NaN}}',
    "not a number as text": '{"limits": {"order_notional_max": "NaN"}}',
    "a signaling nan": '{"limits": {"order_notional_max": "sNaN"}}',
    "infinity": '{"limits": {"order_notional_max": Infinity}}',
    "less than nothing": '{"limits": {"order_notional_max": -Infinity}}',
    "digits of another script": '{"limits": {"order_notional_max": "\u0661\u0662"}}',
    "keys given twice": '{"user_id": "alice", "user_id": "bob"}',
    "limits given twice": '{"limits": {"open_orders_max": 1, "open_orders_max": 99}}',
    "a huge environment": json.dumps({"env": {f"V{n}": "x" * 1_000 for n in range(63)}}),
    "an environment of nothing but names": json.dumps({"env": {f"V{n}": "" for n in range(5_000)}}),
    "escapes and nothing else": '{"name": "' + "\\u001b" * (ALL // 7) + '"}',
    "unknown keys without end": json.dumps({f"k{n}": 1 for n in range(5_000)}),
    "keys that look like a known one": json.dumps({f"symbol{n}": [] for n in range(3_500)}),
    "a zero byte in the environment": '{"env": {"A": "x\\u0000y"}}',
    "a loader's variable": '{"env": {"LD_PRELOAD": "/tmp/x.so"}}',
    "Python's variable": '{"env": {"PYTHONPATH": "/state"}}',
    "the desk's variable": '{"env": {"DESK_SERVER_URL": "unix:///tmp/x"}}',
    "malloc's variable": '{"env": {"GLIBC_TUNABLES": "x"}}',
    "a line break in a name": '{"env": {"A\\nB": "1"}}',
    "half a character": '{"name": "\\ud800"}',
    "escapes in the name": '{"name": "\\u001b[2J"}',
    "reversed text": '{"name": "\\u202egnp"}',
    "another's name with a path": '{"user_id": "../alice"}',
    "a symbol that is a path": '{"symbols": ["../../SPY"]}',
    "seven thousand symbols": json.dumps({"symbols": [f"A{n}" for n in range(7_000)]}),
    "the same symbol without end": json.dumps({"symbols": ["A"] * 12_000}),
    "unknown keys": '{"__proto__": {}, "is_officer": true}',
    "no object": '"all of it"',
    "bytes that are no text": "\udcff\udcfe",
    "nothing at all": "",
    "a huge history": '{"history": {"bars": 1000000000}}',
    "code instead of JSON": "__import__('os').system('id')",
}
TOO_LARGE = {
    "a megabyte of nothing": " " * 1_000_000 + "{}",
    "deep lists, a hundred thousand": "[" * 100_000 + "]" * 100_000,
    "a number of a million digits": '{"limits": {"open_orders_max": ' + "9" * 1_000_000 + "}}",
}


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
