"""`git push` deploys: the hook that is shipped, under a real git and a real desk."""

import asyncio
import os
import sys
from pathlib import Path

from tests.whole.desk_process import DeskProcess, a_desk_process

ROOT = Path(__file__).parents[2]
PRINTS = "import sys\nprint('version {}', flush=True)\nfor line in sys.stdin: pass\n"
WHO = ["-c", "user.name=mo", "-c", "user.email=mo@club.example", "-c", "commit.gpgsign=false"]

ALONE = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}  # somebody's own settings have no say


async def git(where: Path, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Return git's exit code, and all that it says."""
    process = await asyncio.create_subprocess_exec(
        "git",
        *WHO,
        *arguments,
        cwd=where,
        env=os.environ | ALONE | (environment or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


class Member:
    """Somebody with a clone of their strategy's repository."""

    def __init__(self, desk: DeskProcess, folder: Path) -> None:
        self.bare, self.clone = folder / "mom.git", folder / "clone"
        deskctl = folder / "deskctl"
        config = desk.folder / "etc" / "desk.toml"
        deskctl.write_text(f'#!/bin/sh\nexec {sys.executable} -m deskd.cli.deskctl --config {config} "$@"\n')
        deskctl.chmod(0o755)
        self.environment = {"DESKCTL": str(deskctl), "PYTHONPATH": str(ROOT)}

    async def begin(self) -> None:
        await git(self.bare.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        (self.bare / "hooks" / "post-receive").unlink(missing_ok=True)
        (self.bare / "hooks" / "post-receive").symlink_to(ROOT / "tools" / "post-receive")
        await git(self.bare.parent, "clone", "--quiet", str(self.bare), str(self.clone))
        await git(self.clone, "checkout", "--quiet", "-B", "main")

    async def push(self, source: str, branch: str = "main", **environment: str) -> str:
        (self.clone / "strategy.py").write_text(source)
        await git(self.clone, "add", "strategy.py")
        await git(self.clone, "commit", "--quiet", "-m", "try it")
        code, said = await git(
            self.clone, "push", "origin", f"main:{branch}", environment=self.environment | environment
        )
        assert code == 0, said  # git keeps what was pushed, whatever the hook says
        return said


async def test_a_push_deploys_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    """The new version runs when the push returns; what fails a check is told to whoever pushed; other branches are only kept."""
    (place := tmp_path / "desk").mkdir()
    async with a_desk_process(place) as desk:
        desk.configure("[sandbox]\nunsafe_without_jail = true\n")
        await desk.start()
        member = Member(desk, tmp_path)
        await member.begin()
        assert "mom: version " in await member.push(PRINTS.format(1), DEPLOY_AS="shadow")
        await desk.hears("run_started")
        assert (desk.folder / "strategies" / "mom" / "strategy.py").read_text() == PRINTS.format(1)
        assert "stage shadow" in await member.push(PRINTS.format(2))
        await desk.hears("run_started", 2)
        said = await member.push("def broken(\n")
        assert "mom was not deployed: what ran before runs on" in said
        assert "strategy.py" in said
        assert "refs/heads/idea is kept, and not deployed" in await member.push(PRINTS.format(3), branch="idea")
        assert (desk.folder / "strategies" / "mom" / "strategy.py").read_text() == PRINTS.format(2)
        assert len([line for line in desk.log if line["event"] == "run_started"]) == 2
