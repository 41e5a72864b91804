"""`deskctl new`: a strategy that is sound from its first minute, and never in the place of another."""

import json
import os
import pwd
from pathlib import Path

import pytest

from deskd.cli.new import templates
from deskd.config import Config
from deskd.supervision.inspection import inspect
from tests.cli.in_process import ctl

NOBODY = pwd.getpwnam("nobody")


def a_desk(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    config = tmp_path / "desk.toml"
    config.write_text('[desk]\nstrategies_dir = "mine"\n')
    return config


@pytest.mark.parametrize("template", templates())
async def test_each_template_is_sound(template: str, tmp_path: Path) -> None:
    """Nothing is to be said of it, not even a remark; tests/whole/test_templates.py lets them trade."""
    config = Config.model_validate({"desk": {"state_dir": str(tmp_path)}, "sandbox": {"jail_dir": str(tmp_path)}})
    said = await ctl(a_desk(tmp_path), "new", "ann", "--template", template)
    assert (said.code, said.err) == (0, "")
    spec, found = inspect(tmp_path / "mine" / "ann", config)
    assert found == []
    assert spec is not None
    assert spec.name == "ann"


async def test_it_lies_where_the_desk_looks_and_the_next_step_is_named(tmp_path: Path) -> None:
    """In [desk] strategies_dir, of the plain template, for whoever asks; an unambiguous beginning of a template is enough."""
    config = a_desk(tmp_path)
    folder = tmp_path / "mine" / "ann"
    said = await ctl(config, "new", "ann", "--user", "alice")
    assert said.out.splitlines() == [
        f"{folder}: config.json, strategy.py",
        f"edit it; deskctl check {folder} says what is wrong with it",
        "then: deskctl start ann",
    ]
    assert json.loads((folder / "config.json").read_text())["user_id"] == "alice"
    told = json.loads((await ctl(config, "new", "ben", "--template", "mom", "--json")).out)
    assert (told["template"], told["files"]) == ("momentum", ["config.json", "strategy.py"])
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["ann", "ben"]


async def test_elsewhere_it_is_deployed_from_there(tmp_path: Path) -> None:
    """Who may not write into the desk's folder begins at home."""
    said = await ctl(a_desk(tmp_path), "new", "ann", "--in", str(tmp_path))
    assert said.out.splitlines()[-1] == f"then: deskctl deploy {tmp_path / 'ann'}"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("taken", "taken: is there already: choose another name, or remove it"),
        ("Ann!", "'Ann!': a strategy's name has a-z, 0-9, _ and - only"),
        ("house", "is the desk's own book: choose another"),
        ("../ann", "a strategy's name has"),
        ("ann --template m", "template 'm' is ambiguous: market-maker, mean-reversion, momentum"),
        ("ann --template zzz", "template 'zzz' is none: there are class, exits"),
        ("ann --user a/b", "'a/b' is no member's name"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_remedy(arguments: str, told: str, tmp_path: Path) -> None:
    """Exit 1, one sentence, and nothing is made."""
    config = a_desk(tmp_path)
    (tmp_path / "mine" / "taken").mkdir()
    said = await ctl(config, "new", *arguments.split())
    assert (said.code, said.out) == (1, "")
    assert told in said.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["taken"]


async def test_a_folder_that_cannot_be_written_names_the_other_way(tmp_path: Path) -> None:
    """A member of an installed desk."""
    config = tmp_path / "desk.toml"
    config.write_text('[desk]\nstrategies_dir = "/proc/none"\n')
    said = await ctl(config, "new", "ann")
    assert said.code == 1
    assert "deskctl new ann --in DIR" in said.err


async def test_without_a_name_there_is_only_the_list(tmp_path: Path) -> None:
    """Each with what it is."""
    config = a_desk(tmp_path)
    listed = await ctl(config, "new", "--list")
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == list(templates())
    assert (await ctl(config, "new")).code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_what_root_makes_for_a_member_belongs_to_the_member(tmp_path: Path) -> None:
    """Who is to edit it can."""
    await ctl(a_desk(tmp_path), "new", "ann", "--user", "nobody")
    folder = tmp_path / "mine" / "ann"
    assert {path.stat().st_uid for path in (folder, *folder.iterdir())} == {NOBODY.pw_uid}
