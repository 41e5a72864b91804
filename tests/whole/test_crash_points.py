"""SIGKILL at every point that matters, again and again over one ledger: nothing is lost, doubled or left behind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.whole.crash_story import Story, a_story
from tests.whole.crashing_desk import POINTS

pytestmark = pytest.mark.timeout(
    300
)  # up to eight lives of a desk each: some seconds alone, a minute on a busy machine

IN_DOUBT = {"rest": [{"method": "POST", "path": "/v2/orders", "times": 50, "status": 504, "after_accepting": True}]}


@dataclass(frozen=True)
class Case:
    """Lives of a desk, each ended where a point is crossed for the n-th time; then a life that goes on."""

    name: str
    deaths: tuple[tuple[str, int], ...]
    stops: bool = False  # the points lie on the way to an orderly end
    fault: Mapping[str, Any] | None = None  # of the exchange, for the points to be crossed
    is_first: bool = False  # they are crossed by the first desk over a ledger only


CASES = (
    Case(
        "the first migration",
        (
            ("a migration: its statements are done", 1),
            ("a migration: before the commit", 1),
            ("a migration: after the commit", 1),
        ),
        is_first=True,
    ),
    Case(
        "the replay",
        (("replay: a fact applied", 1), ("replay: a fact applied", 5), ("replay: done", 1), ("replay: done", 1)),
    ),
    Case("the start", (("runs: ready for them", 1), ("start: done", 1), ("start: trading", 1), ("start: done", 1))),
    Case(
        "the append",
        (("append: called", 1), ("append: called", 40), *(("append: returned", n) for n in (1, 2, 40))),
    ),
    Case(
        "the commit",
        (
            ("facts: written, and not what follows from them", 1),
            ("facts: written, and not what follows from them", 20),
            *(("facts: before the commit", n) for n in (1, 2, 40)),
        ),
    ),
    Case(
        "what follows from a commit",
        (
            ("live: a fill applied", 1),
            ("effect: before Record", 60),
            ("effect: before Tell", 10),
            ("effect: before Reply", 3),
            ("live: a fill applied", 8),
        ),
    ),
    Case(
        "the order's way out",
        (
            *(("effect: before Submit", n) for n in (1, 6)),
            *(("effect: after Submit", n) for n in (1, 6)),
            *(("submit: called", n) for n in (1, 4)),
        ),
    ),
    Case("the broker's answer", tuple((point, n) for point in ("submit: sent", "submit: answered") for n in (1, 1, 4))),
    Case(
        "the cancel",
        (
            ("effect: before Cancel", 1),
            ("cancel: called", 3),
            ("cancel: sent", 1),
            ("cancel: sent", 3),
            ("cancel: answered", 2),
        ),
    ),
    Case(
        "the replace",
        (
            ("effect: before Replace", 2),
            ("replace: called", 1),
            ("replace: sent", 1),
            ("replace: sent", 2),
            ("replace: answered", 2),
        ),
    ),
    Case("the snapshot", (("snapshot: under way", 1), ("snapshot: taken", 1), ("append: returned", 3))),
    Case(
        "the doubt",
        (("effect: before LookUp", 1), ("look-up: called", 1), ("look-up: answered", 1), ("look-up: answered", 2)),
        fault=IN_DOUBT,
    ),
    Case(
        "the trade stream",
        (
            ("stream: listening", 1),
            ("stream: new arrived", 3),
            ("stream: canceled arrived", 2),
            ("stream: partial_fill arrived", 1),
        ),
    ),
    Case("the fill", tuple((point, n) for point in ("stream: fill arrived", "stream: fill posted") for n in (1, 8))),
    Case(
        "the look at the account",
        (
            ("effect: before Reconcile", 1),
            ("look: begins", 1),
            ("look: orders are known", 1),
            ("look: orders are known", 1),
            ("look: positions are known", 1),
            ("look: taken", 1),
        ),
    ),
    Case(
        "the run",
        (
            ("run: started on record, and not yet started", 1),
            ("run: prepared", 3),
            ("run: its process lives", 1),
            ("run: its process lives", 3),
        ),
    ),
    Case(
        "the stop",
        (("stop: begins", 1), ("run: to be ended on record", 1), ("stop: runs have ended", 1)),
        stops=True,
    ),
    Case(
        "the stop's end",
        (
            ("stop: orders to be canceled", 1),
            ("stop: orders canceled", 1),
            ("stop: the last fact is on disk", 1),
            ("stop: to be closed", 1),
            ("stop: closed", 1),
        ),
        stops=True,
    ),
)
# Where the desk's own exchange goes down with it, in the middle of what it does.
WITH_ITS_EXCHANGE = (
    Case(
        "its start",
        (("exchange: launched", 1), ("exchange: answers", 1), ("exchange: answers", 1), ("look: orders are known", 1)),
    ),
    Case("the order", (("facts: before the commit", 30), ("append: returned", 30), ("effect: after Submit", 3))),
    Case("the wire", (("submit: sent", 1), ("submit: sent", 5), ("submit: answered", 3), ("cancel: sent", 2))),
    Case("the fill", (("stream: fill arrived", 3), ("stream: fill posted", 1))),
    Case("the stop", (("stop: orders to be canceled", 1), ("stop: begins", 1)), stops=True),
)
IN_JAILS = (
    Case("trading", (("append: returned", 30), ("run: its process lives", 3), ("run: its process lives", 1))),
    Case("the stop", (("stop: begins", 1),), stops=True),
)


def name_of(case: Case) -> str:
    return case.name


class Stories:
    """Hands out one story to many tests: an old ledger is what a desk has. A test that fails leaves none to the next."""

    def __init__(self, *, lives_on: bool) -> None:
        self.lives_on = lives_on
        self._made: Any = None
        self._story: Story | None = None

    def take(self) -> Story:
        """Return the story; it is forgotten unless `give_back` is called."""
        story, self._story = self._story, None
        if story is None:
            self.end()
            self._made = a_story(lives_on=self.lives_on)
            story = self._made.__enter__()
        return story

    def give_back(self, story: Story) -> None:
        self._story = story

    def end(self) -> None:
        if self._made is not None:
            self._made.__exit__(None, None, None)
            self._made = None


@pytest.fixture(scope="module")
def living_on() -> Iterator[Stories]:
    stories = Stories(lives_on=True)
    yield stories
    stories.end()


@pytest.fixture(scope="module")
def childs() -> Iterator[Stories]:
    stories = Stories(lives_on=False)
    yield stories
    stories.end()


@pytest.fixture(scope="module")
def in_jails() -> Iterator[Stories]:
    stories = Stories(lives_on=False)
    yield stories
    stories.end()


async def told(case: Case, stories: Stories, *, is_jailed: bool = False) -> None:
    """Live through the case."""
    if case.is_first:
        with a_story(lives_on=stories.lives_on) as story:
            await lived(case, story)
        return
    story = stories.take()
    if not story.healed:
        async with story.a_desk(is_jailed=is_jailed) as desk:
            await story.heals(desk)
    await lived(case, story, is_jailed=is_jailed)
    stories.give_back(story)


async def lived(case: Case, story: Story, *, is_jailed: bool = False) -> None:
    async with story.a_desk(is_jailed=is_jailed) as desk:
        for point, times in case.deaths:
            async with story.misbehaving(case.fault):
                await story.dies(desk, point, times, stops=case.stops)
        await story.heals(desk)


@pytest.mark.parametrize("case", CASES, ids=name_of)
async def test_killed_at_any_point_the_desk_finds_its_exchange_where_it_went_on(case: Case, living_on: Stories) -> None:
    """While the desk is dead the exchange fills and cancels; the next desk's books agree to the cent, share and fill."""
    await told(case, living_on)


@pytest.mark.parametrize("case", WITH_ITS_EXCHANGE, ids=name_of)
async def test_killed_at_any_point_with_its_exchange_both_agree_again(case: Case, childs: Stories) -> None:
    """The embedded exchange dies with its desk, and comes back with it: neither has forgotten what the other knows."""
    await told(case, childs)


@pytest.mark.slow
@pytest.mark.needs_nsjail
@pytest.mark.usefixtures("needs_jail")
@pytest.mark.parametrize("case", IN_JAILS, ids=name_of)
async def test_killed_with_jails_no_jail_is_left(case: Case, in_jails: Stories) -> None:
    """Runs end with the desk, wherever that happens, and the next one starts them anew."""
    await told(case, in_jails, is_jailed=True)


def test_every_point_is_tried() -> None:
    """A point that nobody dies at proves nothing; and each test above asserts that its desk died there."""
    assert {point for case in (*CASES, *WITH_ITS_EXCHANGE, *IN_JAILS) for point, _ in case.deaths} == set(POINTS)
