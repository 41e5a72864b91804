"""`make strategy-env` says each step, and one thing to do where it cannot go on."""

import os
import re
import sys
from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.environment import BUILD_COMMAND, BUILD_INSTALLED
from tests.supervised import jail_root, needs_jail
from tests.wheels import a_wheel
from tools import strategy_env

ROOT = Path(__file__).parents[2]
__all__ = ["jail_root", "needs_jail"]  # fixtures


def a_desk(tmp_path: Path, jail_root: Path, sandbox: str) -> Path:
    file = tmp_path / "etc" / "desk.toml"
    file.parent.mkdir()
    file.write_text(f'[sandbox]\njail_dir = "{jail_root / tmp_path.name}"\n{sandbox}\n')
    return file


@pytest.mark.needs_nsjail
@pytest.mark.usefixtures("needs_jail")
def test_packages_are_built_and_proved_in_a_jail(
    tmp_path: Path, jail_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From pip's index to an import as strategies do it; the second call has nothing to do."""
    a_wheel(tmp_path / "index", "signals")
    file = a_desk(tmp_path, jail_root, 'packages = ["signals"]')
    call = ["--config", str(file), "--", "--no-index", "--find-links", str(tmp_path / "index")]
    assert strategy_env.main(call) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:4] == [
        "strategy-env: installing signals",
        "strategy-env: compiling",
        "strategy-env: importing signals in a jail",
        "strategy-env: strategies have signals 1.0",
    ]
    assert strategy_env.main(call) == 0
    assert capsys.readouterr().out.splitlines() == ["strategy-env: strategies have signals 1.0"]


def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, jail_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong configuration, and a package that is nowhere."""
    wrong = a_desk(tmp_path, jail_root, 'packages = ["a b"]')
    assert strategy_env.main(["--config", str(wrong)]) == 78
    assert '"a b" is no package' in capsys.readouterr().err
    wrong.write_text(wrong.read_text().replace("a b", "absent"))
    (tmp_path / "index").mkdir()
    assert strategy_env.main(["--config", str(wrong), "--", "--no-index", "--find-links", str(tmp_path / "index")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("strategy-env: pip could not install the packages (")


def test_an_installation_passes_over_what_is_not_asked_for(
    tmp_path: Path, jail_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An officer who lists nothing, or has an environment of their own, needs no network."""
    file = a_desk(tmp_path, jail_root, "packages = []")
    assert strategy_env.main(["--config", str(file), "--at-install"]) == 0
    assert "standard library alone" in capsys.readouterr().out
    file.write_text(f'[sandbox]\njail_dir = "{jail_root / tmp_path.name}"\npython = "{sys.executable}"\n')
    assert strategy_env.main(["--config", str(file), "--at-install"]) == 0
    assert f"packages of [sandbox] python={sys.executable}" in capsys.readouterr().out
    assert strategy_env.main(["--config", str(file)]) == 1  # who asks for it by name is told that it is not done


def test_nobody_builds_for_another_users_desk(tmp_path: Path) -> None:
    """Root's folders in the desk's state would be in its way at the next start; the right command is named."""
    strategy_env.check_user(tmp_path, os.geteuid())
    strategy_env.check_user(tmp_path / "none yet", os.geteuid() + 1)
    with pytest.raises(SandboxUnavailable, match=re.escape(BUILD_INSTALLED)):
        strategy_env.check_user(tmp_path, os.geteuid() + 1)
    assert BUILD_COMMAND == "make strategy-env"  # of a checkout
    assert (ROOT / "tools/install.sh").is_file()


def test_the_list_for_the_lock_is_the_shipped_one(capsys: pytest.CaptureFixture[str]) -> None:
    """`make lock` pins just that."""
    assert strategy_env.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == list(SandboxSection().packages)
