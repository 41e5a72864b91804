"""Every template of `deskctl new` trades on the embedded exchange, in a jail, as it lies there."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deskd.cli.new import templates
from tests.cli.in_process import ctl
from tests.whole.desk_process import a_desk_process

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]


def is_of(name: str, line: dict[str, Any]) -> bool:
    return bool(line["strategy_id"] == name)


async def test_every_template_trades(folder: Path) -> None:
    """Unmodified, within minutes of the market: it reads, it orders, it goes on."""
    async with a_desk_process(folder) as desk:
        desk.configure("""
            [exchange]
            speed = 60.0
            fills = "immediate"
            [risk.desk]
            orders_wait_for_open = true
        """)
        config = folder / "etc" / "desk.toml"
        for template in templates():
            assert (await ctl(config, "new", f"my-{template}", "--template", template)).code == 0
        await desk.start()
        for template in templates():
            await desk.hears("order_approved", holds=partial(is_of, f"my-{template}"))
        assert [line for line in desk.log if line.get("event") == "run_ended"] == []
        assert await desk.end() == 0
