"""The packages of `[sandbox] packages`, as `make strategy-env` built them, work in a real jail at its default bounds."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.run import ExitReason
from deskd.supervision import environment
from deskd.supervision.staging import JailFolder, choose_jail_folder, describe
from tests.leftovers import sweep_up
from tests.supervised import World, a_world

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]
ROOT = Path(__file__).parents[2]
DEFAULT = {"memory_mb": SandboxSection().memory_mb}


@pytest.fixture(scope="module")
def packages() -> Iterator[Path]:
    """Have a jail folder with the checkout's own packages; skip, with the reason, where they were not built."""
    python = str(describe(None)["name"])
    try:
        built = environment.home_of(choose_jail_folder(SandboxSection(), ROOT / "var").root).current(python)
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    if built is None:
        pytest.skip(f"the packages of strategies were not built here: run `{environment.BUILD_COMMAND}`")
    with tempfile.TemporaryDirectory(prefix="deskd-jails-", dir="/tmp") as name:
        root = Path(name)
        root.chmod(0o711)
        JailFolder(root).prepare()
        environment.home_of(root).link(python).symlink_to(built.parent)
        yield root
        sweep_up(root)


async def printed(world: World, name: str) -> list[str]:
    end = await world.run(name)
    assert end.reason is ExitReason.CLEAN, (end, world.log(name))
    return world.printed(name)


WORK = {
    "numpy": "import numpy as np; a = np.random.default_rng(1).random((300, 300)); print(int(np.linalg.matrix_rank(a @ a.T)))",
    "pandas": (
        "import pandas as pd; i = pd.date_range('2026-01-02 09:30', periods=500, freq='min', tz='America/New_York');"
        "s = pd.Series(range(500), index=i); print(s.rolling(10).mean().resample('5min').last().iloc[-1])"
    ),
    "scipy": "from scipy import optimize, stats; print(round(optimize.brentq(lambda x: x**2 - 2, 0, 2), 6))",
    "polars": (
        "import polars as pl; print(pl.thread_pool_size(),"
        "pl.LazyFrame({'g': [1, 1, 2], 'x': [1.0, 2.0, 4.0]}).group_by('g').agg(pl.col('x').sum()).sort('g').collect()['x'].to_list())"
    ),
    "talib": "import numpy, talib; print(talib.SMA(numpy.arange(30.0), 10)[-1], round(talib.RSI(numpy.arange(30.0))[-1], 1))",
    "talipp": "from talipp.indicators import SMA; print(SMA(period=3, input_values=[1, 2, 3, 4])[-1])",
    "all": "import numpy, pandas, scipy.stats, scipy.signal, polars, talib, talipp.indicators, desk_client; print('all')",
}
ANSWERS = {
    "numpy": "300",
    "pandas": "494.5",
    "scipy": "1.414214",
    "polars": "1 [3.0, 4.0]",
    "talib": "24.5 100.0",
    "talipp": "3.0",
    "all": "all",
}


@pytest.mark.slow
async def test_every_package_does_its_work_within_the_bounds(tmp_path: Path, packages: Path) -> None:
    """BLAS, time zones, the thread pool of polars, TA-Lib's C library: no network, no /proc, 64 processes, 512 MiB."""
    async with a_world(tmp_path, packages, WORK, sandbox=DEFAULT) as world:
        for name, answer in ANSWERS.items():
            assert await printed(world, name) == [answer]


@pytest.mark.slow
async def test_what_is_imported_was_compiled_before(tmp_path: Path, packages: Path) -> None:
    """No module is compiled at a start, which would cost seconds of each; nothing can be written there."""
    source = """
        import os, sys
        before = set(sys.modules)
        import numpy, pandas, desk_client
        missing = []
        for name, module in list(sys.modules.items()):
            spec = getattr(module, "__spec__", None)
            is_source = spec is not None and spec.has_location and spec.origin.endswith(".py")
            if name not in before and is_source and not os.path.exists(spec.cached or ""):
                missing.append(name)
        print(missing)
        print(numpy.__file__)
        try:
            open("/packages/shared/evil.py", "w")
        except OSError as error:
            print(error.strerror)
    """
    async with a_world(tmp_path, packages, {"alice": source}, sandbox=DEFAULT) as world:
        said = await printed(world, "alice")
    assert said == ["[]", "/packages/shared/numpy/__init__.py", "Read-only file system"]
