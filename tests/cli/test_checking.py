"""`deskctl check`: what a member reads before deploying, without a desk, and what a script can rely on."""

import json
from pathlib import Path

from tests.cli.in_process import ctl
from tests.cli.test_outputs import misfits
from tests.control.a_running_desk import a_running_desk


def a_desk(tmp_path: Path) -> Path:
    config = tmp_path / "desk.toml"
    config.write_text(f'[sandbox]\njail_dir = "{tmp_path}"\n')
    return config


def a_folder(tmp_path: Path, source: str, config: str = "{}") -> Path:
    folder = tmp_path / "ann"
    folder.mkdir()
    (folder / "strategy.py").write_text(source)
    (folder / "config.json").write_text(config)
    return folder


async def test_a_good_strategy_is_called_good_and_its_remarks_are_told(tmp_path: Path) -> None:
    """Exit 0; a remark is no refusal."""
    folder = a_folder(tmp_path, "import sys\nfor line in sys.stdin:\n    print(line)\n")
    said = await ctl(a_desk(tmp_path), "check", str(folder))
    first, last = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert last == f"{folder}: good; 1 remark; symbols not checked: no desk is reachable here"
    assert first.startswith(f"{folder}/strategy.py:3:5: remark: prints on every line of the market")


async def test_what_does_not_work_is_told_as_compilers_do_and_ends_with_one(tmp_path: Path) -> None:
    """Editors find the place."""
    folder = a_folder(tmp_path, "import nonsuch\n", '{"symbol": ["SPY"]}')
    said = await ctl(a_desk(tmp_path), "check", str(folder))
    config, source, _, last = said.out.splitlines()
    assert (said.code, said.err, last) == (1, "", f"{folder}: 2 problems; 1 remark")
    assert config == f'{folder}/config.json:1:2: symbol: is no known key: did you mean "symbols"?'
    assert source.startswith(f"{folder}/strategy.py:1:1: nonsuch is not among this desk's packages")


async def test_programs_get_every_finding_by_a_stable_word(tmp_path: Path) -> None:
    """As documented; --name is the strategy that it would be."""
    folder = a_folder(tmp_path, "def f(:\n")
    said = await ctl(a_desk(tmp_path), "check", str(folder), "--name", "bob", "--json")
    told = json.loads(said.out)
    assert (said.code, list(misfits("check", said))) == (1, [])
    assert (told["strategy_id"], told["good"], told["user_id"]) == ("bob", False, None)
    assert [(one["rule"], one["file"], one["line"]) for one in told["findings"]] == [("syntax", "strategy.py", 1)]


async def test_a_running_desk_is_asked_whether_the_broker_lists_the_symbols(tmp_path: Path) -> None:
    """A mistyped ticker is a remark: the strategy would run, and wait for ever. Whether anybody was asked is told to programs, too."""
    async with a_running_desk(tmp_path) as desk:
        folder = a_folder(
            tmp_path, "import sys\nfor line in sys.stdin: pass\n", '{"symbols": ["AAPL", "TSLAA", "OLD"]}'
        )
        said = await ctl(desk.config, "check", str(folder))
        told = json.loads((await ctl(desk.config, "check", str(folder), "--json")).out)
        desk.instruments.clear()
        unheard = await ctl(desk.config, "check", str(folder))
    first, second, last = said.out.splitlines()
    assert (said.code, last) == (0, f"{folder}: good; 2 remarks")
    assert first.startswith(f"{folder}/config.json: remark: TSLAA: the broker lists no such symbol")
    assert second.startswith(f"{folder}/config.json: remark: OLD: the broker lists it and does not trade it")
    assert (told["symbols_checked"], [one["rule"] for one in told["findings"]]) == (True, ["symbol", "symbol"])
    assert "good; symbols not checked: the broker's list of what can be traded is not there yet" in unheard.out
    assert json.loads((await ctl(a_desk(tmp_path), "check", str(folder), "--json")).out)["symbols_checked"] is False


async def test_a_wrong_configuration_of_the_desk_is_told(tmp_path: Path) -> None:
    """Nothing can be judged by it."""
    config = a_desk(tmp_path)
    config.write_text("[sandbox]\npids = 1\n")
    said = await ctl(config, "check", str(a_folder(tmp_path, "")))
    assert (said.code, said.out) == (1, "")
    assert "sandbox.pids" in said.err
