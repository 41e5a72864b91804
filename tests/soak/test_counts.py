"""What is flat, and what is a leak."""

from dataclasses import replace

from tests.soak.counts import Counts, broken

FLAT = Counts(
    starts=0,
    fds=27,
    tasks=20,
    threads=13,
    children=1,
    cgroups=0,
    sockets=0,
    files=196,
    uids=28,
    scratch=2,
    rss_mib=130.0,
)


def test_one_thing_kept_is_a_leak() -> None:
    """Whatever is counted in whole things must be given back to the last one; fewer are no leak."""
    assert broken([FLAT, replace(FLAT, starts=500)]) == []
    assert broken([FLAT, replace(FLAT, starts=500, fds=26)]) == []
    assert broken([FLAT, replace(FLAT, starts=500, fds=28)]) == ["fds: 27 after 0 starts, 28 after 500"]
    assert broken([FLAT]) == ["1 samples say nothing: take at least two"]


def test_memory_settles_before_it_is_judged() -> None:
    """What the first starts take for good is no leak; what every start takes is, however little it be."""
    settles = [replace(FLAT, starts=500 * n, rss_mib=130.0 + min(n, 2) * 10) for n in range(21)]
    assert broken(settles) == []
    leaks = [replace(FLAT, starts=500 * n, rss_mib=130.0 + n) for n in range(21)]
    assert broken(leaks) == ["rss: 132.5 MiB early, 149.5 MiB late"]
