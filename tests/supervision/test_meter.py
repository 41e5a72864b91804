"""Samples of what a run uses, from files that stay open."""

import os
from pathlib import Path

from deskd.supervision.cgroup_files import MeterFiles
from deskd.supervision.meter import Meter, Sample, Samples


def a_group(folder: Path, **files: str) -> MeterFiles:
    paths = {name: folder / name for name in files}
    for name, text in files.items():
        paths[name].write_text(text)
    return MeterFiles(**paths)


V1_STAT = "nr_periods 600\nnr_throttled 598\nthrottled_time 5000000000\n"
V2_STAT = "usage_usec 1500000\nuser_usec 1\nnr_periods 600\nnr_throttled 598\nthrottled_usec 5000000\n"


EXPECTED = Sample(
    at=7.0, memory_bytes=4096, cpu_seconds=1.5, throttled_periods=598, periods=600, forks_refused=12, pids=9
)


def test_both_kernels_kinds_of_files_are_read(tmp_path: Path) -> None:
    """v1 has CPU time in a file of its own, v2 in cpu.stat."""
    for number, files in enumerate(
        (
            {"memory": "4096\n", "cpu": "1500000000\n", "cpu_stat": V1_STAT, "pids_events": "max 12\n", "pids": "9\n"},
            {"memory": "4096\n", "cpu_stat": V2_STAT, "pids_events": "max 12\n", "pids": "9\n"},
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        meter = Meter.open(a_group(folder, **files))
        assert meter.sample(7.0) == EXPECTED
        meter.close()


def test_what_is_not_there_is_no_figure(tmp_path: Path) -> None:
    """A run without a cgroup, a group that is gone, a meter that is closed: no figure, and no error."""
    assert Meter.open(MeterFiles()).sample(1.0) == Sample(at=1.0)
    assert Meter.open(MeterFiles(memory=tmp_path / "gone", cpu_stat=tmp_path)).sample(1.0) == Sample(at=1.0)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    meter = Meter.open(a_group(tmp_path, memory="1"))
    meter.close()
    meter.close()
    assert meter.sample(2.0) == Sample(at=2.0)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_the_most_processes_are_kept_for_longer_than_a_minute() -> None:
    """A bound that was reached an hour ago was reached."""
    samples = Samples()
    assert samples.most_pids is None
    for at, pids in ((0, 3), (1, 64), (2, None), (500, 5)):
        samples.add(Sample(at=at, pids=pids))
    assert samples.most_pids == 64


def test_a_minute_is_kept() -> None:
    """A run of a year has as many samples as one of a minute."""
    samples = Samples()
    for at in range(1_000):
        samples.add(Sample(at=at))
    assert samples.since(0) == Sample(at=939)
    assert samples.since(990.5) == Sample(at=990)
    assert Samples().since(0) is None


def test_growth_is_from_the_least_of_the_last_seconds() -> None:
    """What was given back and taken again is growth, too; older samples do not count."""
    samples = Samples()
    assert samples.growth(0, 5) is None
    for at, used in enumerate([1, 90, 50, 60, 70]):
        samples.add(Sample(at=at * 4, memory_bytes=used))
    assert samples.growth(17, 100) == (50, 9)
    assert samples.growth(17, None) is None


def test_the_throttled_share_is_of_periods_in_which_it_worked() -> None:
    """A run that hardly works has none."""
    samples = Samples()
    samples.add(Sample(at=0, periods=0, throttled_periods=0))
    assert samples.throttled_share(Sample(at=5, periods=50, throttled_periods=25)) == 0.5
    assert samples.throttled_share(Sample(at=5, periods=5, throttled_periods=5)) is None
    assert samples.throttled_share(Sample(at=5)) is None
    assert Samples().throttled_share(Sample(at=5, periods=50, throttled_periods=5)) is None
