"""Roots: whoever has the public key can check them, whoever lacks the private one cannot make them."""

import os
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from deskd.domain.errors import LedgerError
from deskd.ledger import roots
from deskd.ledger.roots import (
    SigningKey,
    add_root,
    catch_up,
    half_line,
    is_signed,
    load_key,
    read_public_keys,
    read_roots,
)
from tests.factories import MONDAY, NOON

ROOT = SigningKey(bytes(range(32))).sign(MONDAY, 7, "ab" * 32, NOON)


def test_a_signature_covers_every_field() -> None:
    """Whatever is changed of a root, it is signed no more."""
    assert is_signed(ROOT)
    changed = [
        replace(ROOT, market_day=date(2026, 1, 6)),
        replace(ROOT, seq=8),
        replace(ROOT, root="cd" * 32),
        replace(ROOT, at=NOON + timedelta(microseconds=1)),
        replace(ROOT, public_key=SigningKey(bytes(32)).public),
        replace(ROOT, signature="00" * 64),
        replace(ROOT, signature="no hex"),
        replace(ROOT, public_key="00"),
    ]
    assert not [root for root in changed if is_signed(root)]


def test_the_signature_is_plain_ed25519_that_any_tool_can_check() -> None:
    """The vector stands here so that the stored form never changes by accident."""
    assert ROOT.public_key == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    assert (
        roots._message(MONDAY, 7, "ab", NOON) == b"deskd ledger root\n2026-01-05\n7\nab\n2026-01-05T17:00:00.000000Z\n"
    )


def test_a_key_is_made_once_for_the_desks_eyes_only(tmp_path: Path) -> None:
    """The next start signs with the same; the public part is for everybody."""
    first = load_key(tmp_path)
    assert load_key(tmp_path).public == first.public
    assert (tmp_path / "ledger-key").stat().st_mode & 0o777 == 0o600
    assert read_public_keys(tmp_path / "ledger-key.pub") == {first.public}
    assert first.public not in (tmp_path / "ledger-key").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ledger-key", "ledger-key.pub"]


def test_a_new_key_stands_beside_the_old_ones(tmp_path: Path) -> None:
    """Roots of before are still known as the desk's."""
    first = load_key(tmp_path)
    (tmp_path / "ledger-key").unlink()
    second = load_key(tmp_path)
    assert read_public_keys(tmp_path / "ledger-key.pub") == {first.public, second.public}


@pytest.mark.parametrize("content", ["", "abcd", "no hex at all", "\N{SNOWMAN}"])
def test_a_broken_key_is_refused_with_the_remedy(tmp_path: Path, content: str) -> None:
    """It is not silently replaced: roots would be signed by a stranger from then on."""
    (tmp_path / "ledger-key").write_text(content)
    with pytest.raises(LedgerError, match=r"ledger-key: is no key.*put the saved one back, or remove it"):
        load_key(tmp_path)


def test_public_keys_are_read_with_comments(tmp_path: Path) -> None:
    """An officer may note whose they are."""
    file = tmp_path / "keys"
    file.write_text(f"# the desk's\n{ROOT.public_key.upper()}  # since January\n\n")
    assert read_public_keys(file) == {ROOT.public_key}


@pytest.mark.parametrize(
    ("content", "wrong"), [("", "has no key"), ("hello", "key 1 is not 32 bytes in hex"), ("ab" * 31, "key 1 is not")]
)
def test_what_is_no_key_is_named(tmp_path: Path, content: str, wrong: str) -> None:
    """File and line."""
    (tmp_path / "keys").write_text(content)
    with pytest.raises(LedgerError, match=wrong):
        read_public_keys(tmp_path / "keys")
    with pytest.raises(LedgerError, match="cannot be read"):
        read_public_keys(tmp_path / "nowhere")


def test_roots_that_were_added_are_read(tmp_path: Path) -> None:
    """One a line, as the ledger has them."""
    other = SigningKey(bytes(32)).sign(MONDAY, 9, "ef" * 32, NOON)
    add_root(tmp_path / "roots.jsonl", ROOT)
    add_root(tmp_path / "roots.jsonl", other)
    assert read_roots(tmp_path / "roots.jsonl") == [ROOT, other]


def test_what_is_no_root_is_named_by_its_line(tmp_path: Path) -> None:
    """A copy that a mail program broke proves nothing."""
    add_root(tmp_path / "roots.jsonl", ROOT)
    with (tmp_path / "roots.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(LedgerError, match=r"line 2 is no root.*roots\.jsonl"):
        read_roots(tmp_path / "roots.jsonl")


def test_a_line_that_a_kill_cut_off_is_no_root_yet(tmp_path: Path) -> None:
    """The lines before it count; what it is, is said."""
    file = tmp_path / "roots.jsonl"
    add_root(file, ROOT)
    assert half_line(file) is None
    add_root(file, ROOT)
    os.truncate(file, file.stat().st_size - 1)
    assert read_roots(file) == [ROOT]
    assert "line 2 is cut off" in (half_line(file) or "")


def test_roots_that_a_kill_kept_from_the_file_are_added_later(tmp_path: Path) -> None:
    """Those that are there are not added twice; a line that was cut off is written whole."""
    file = tmp_path / "roots.jsonl"
    other = SigningKey(bytes(32)).sign(MONDAY, 9, "ef" * 32, NOON)
    assert catch_up(file, [ROOT]) == [ROOT]
    add_root(file, other)
    os.truncate(file, file.stat().st_size - 10)
    assert catch_up(file, [ROOT, other]) == [other]
    assert catch_up(file, [ROOT, other]) == []
    assert read_roots(file) == [ROOT, other]
