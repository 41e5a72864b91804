"""What a build's jails hand on is a claim: read within bounds, without links, and held against its hashes."""

import json
import os
from pathlib import Path

import pytest

from deskd.supervision.requirements_build import PACKAGES_MAX, CannotBuild, Wheel, read_report, staged_pip, take_tree

GOOD = {
    "metadata": {"name": "TA", "version": "0.11.0"},
    "download_info": {"url": "https://index.example/ta.whl", "archive_info": {"hashes": {"sha256": "ab" * 32}}},
}


def test_a_report_is_names_versions_and_hashes() -> None:
    """What is fetched then is this content or nothing."""
    [wheel] = read_report(json.dumps({"install": [GOOD]}).encode())
    assert wheel == Wheel("ta", "0.11.0", "ab" * 32)
    assert wheel.line() == f"ta==0.11.0 --hash=sha256:{'ab' * 32}\n"


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"[" * 100_000,
        b'{"install": 7}',
        b"[]",
        json.dumps({"install": [{}]}).encode(),
        json.dumps({"install": [GOOD | {"metadata": {"name": "ta\n--index-url x", "version": "1"}}]}).encode(),
        json.dumps({"install": [GOOD | {"metadata": {"name": "ta", "version": "1 --pre"}}]}).encode(),
        json.dumps({"install": [GOOD | {"metadata": {"name": "ta", "version": 1}}]}).encode(),
        json.dumps({"install": [GOOD | {"download_info": {"dir_info": {}}}]}).encode(),
        json.dumps({"install": [GOOD] * (PACKAGES_MAX + 1)}).encode(),
    ],
    ids=range(10),
)
def test_a_report_that_says_anything_else_ends_the_build(report: bytes) -> None:
    """It comes from a jail that read what the network said."""
    with pytest.raises(CannotBuild, match="resolving"):
        read_report(report)


def a_tree(folder: Path) -> Path:
    (folder / "pkg").mkdir(parents=True)
    (folder / "pkg" / "__init__.py").write_text("x = 1")
    return folder


def test_plain_files_are_taken_with_their_times(tmp_path: Path) -> None:
    """A .pyc is valid for its source's own time stamp."""
    source = a_tree(tmp_path / "from")
    os.utime(source / "pkg" / "__init__.py", (1_000, 1_000))
    take_tree(source, tmp_path / "to", bytes_max=100, files_max=10)
    assert (tmp_path / "to" / "pkg" / "__init__.py").stat().st_mtime == 1_000


@pytest.mark.parametrize("what", ["link", "folder_link", "fifo", "many", "large", "root_link"])
def test_anything_else_is_left_where_it_is(tmp_path: Path, what: str) -> None:
    """Whoever broke out of the compiler can put a link to a secret there, or a pipe that nobody writes."""
    secret, source = tmp_path / "secret", a_tree(tmp_path / "from")
    secret.mkdir()
    (secret / "key").write_text("k")
    match what:
        case "link":
            (source / "pkg" / "a.py").symlink_to(secret / "key")
        case "folder_link":
            (source / "sub").symlink_to(secret)
        case "fifo":
            os.mkfifo(source / "pipe.py")
        case "many":
            for number in range(11):
                (source / f"{number}.py").touch()
        case "large":
            (source / "large.py").write_bytes(bytes(101))
        case _:
            (tmp_path / "link").symlink_to(secret)
            source = tmp_path / "link"
    with pytest.raises(CannotBuild, match="nothing is taken"):
        take_tree(source, tmp_path / "to", bytes_max=100, files_max=10)
    assert not list((tmp_path).glob("to/**/key"))


def test_pip_is_staged_once(tmp_path: Path) -> None:
    """The desk's own, where a build's uid can read it."""
    place = staged_pip(tmp_path)
    before = place.stat().st_mtime_ns
    assert staged_pip(tmp_path) == place
    assert place.stat().st_mtime_ns == before
    assert (place / "pip" / "__main__.py").stat().st_mode & 0o004
