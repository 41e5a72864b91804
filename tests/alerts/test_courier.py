"""What is sent when: no route holds up another, failures wait ever longer, nothing is lost."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from deskd.alerts.courier import BACKOFF_MAX, SEND_MAX, Attempt, Courier
from deskd.alerts.outbox import Outbox, opened
from deskd.alerts.plan import Plan
from deskd.domain.notifications import Topic
from tests.alerts.notes import HandClock, a_note
from tests.factories import NOON

PLAN = Plan(topics={Topic.SYSTEM_ALERTS: ["club", "mail"], Topic.RISK: ["club"]}, per_minute=3, tries_max=3)


@dataclass
class Post:
    """A courier, what it began to send, and the clock."""

    outbox: Outbox
    clock: HandClock = field(default_factory=HandClock)
    begun: list[Attempt] = field(default_factory=list)
    courier: Courier = field(init=False)

    def __post_init__(self) -> None:
        self.courier = Courier(
            outbox=self.outbox,
            desk="club",
            plan=PLAN,
            start=self.begun.append,
            jitter=lambda: 1.0,
            routes={"club", "mail"},
        )

    def happens(self, *keys: str, topic: Topic = Topic.RISK) -> list[Attempt]:
        """Keep notifications, let a step pass, and return what it began."""
        self.outbox.add([a_note(key, topic=topic) for key in keys], PLAN, self.clock.now())
        return self.step()

    def step(self, seconds: float = 0) -> list[Attempt]:
        self.begun.clear()
        self.courier.step(self.clock.pass_s(seconds))
        return list(self.begun)


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    with opened(tmp_path / "o.db") as outbox:
        yield Post(outbox)


def test_one_message_at_a_time_on_a_route_and_each_route_for_itself(post: Post) -> None:
    """What comes meanwhile goes along in the next."""
    first = post.happens("a", topic=Topic.SYSTEM_ALERTS)
    assert [one.route for one in first] == ["club", "mail"]
    assert post.happens("b", "c") == []  # the club's is on its way
    assert post.courier.ended(first[0], None, NOON) is None
    [next_] = post.step()
    assert (next_.route, "2 notifications" in next_.message.title) == ("club", True)
    assert not post.courier.is_idle


def test_a_failure_waits_ever_longer_and_is_dead_after_its_tries(post: Post) -> None:
    """5 s, 10 s, ... with jitter; then somebody must have it sent again."""
    [attempt] = post.happens("a")
    for wait in (5, 10):
        trouble = post.courier.ended(attempt, "HTTP 500", post.clock.now())
        assert trouble is not None
        assert ((trouble.next_at - post.clock.now()).total_seconds(), trouble.dead) == (wait, 0)
        assert post.step(wait - 1) == []
        assert post.courier.wake_at(post.clock.now()) == trouble.next_at
        [attempt] = post.step(1)
    trouble = post.courier.ended(attempt, "HTTP 500", post.clock.now())
    assert trouble is not None
    assert (trouble.dead, trouble.failures) == (1, 3)
    assert post.step(3600) == []
    post.outbox.retry(post.clock.now())
    assert len(post.step()) == 1


def test_the_wait_after_failures_has_a_bound(post: Post) -> None:
    """A receiver that was away for a weekend is found again within a quarter of an hour."""
    [attempt] = post.happens("a")
    for _ in range(30):
        post.outbox.failed("club", (), "away", next_at=NOON, tries_max=99, now=NOON)
    trouble = post.courier.ended(attempt, "away", NOON)
    assert trouble is not None
    assert trouble.next_at - NOON == BACKOFF_MAX


def test_a_route_sends_no_more_than_its_messages_a_minute(post: Post) -> None:
    """A flood becomes a digest, not a ban by the receiver."""
    for n in range(3):
        [attempt] = post.happens(f"n{n}")
        post.courier.ended(attempt, None, post.clock.now())
    assert post.happens("x", "y") == []
    assert post.courier.wake_at(post.clock.now()) == NOON + timedelta(minutes=1)
    [attempt] = post.step(60)
    assert "2 notifications" in attempt.message.title


def test_a_send_that_hangs_counts_as_failed_and_its_late_success_counts(post: Post) -> None:
    """The route is tried again; a receiver that took it after all gets it no third time."""
    [hanging] = post.happens("a")
    assert post.courier.wake_at(NOON) == NOON + SEND_MAX
    post.clock.pass_s(SEND_MAX.total_seconds())
    [trouble] = post.courier.step(post.clock.now())
    assert (trouble.problem, post.courier.lost, post.courier.is_idle) == ("no answer within 60 s", 1, True)
    assert post.courier.ended(hanging, None, post.clock.now()) is None
    assert (post.courier.lost, post.step(3600)) == (0, [])
    assert post.outbox.rows()[0]["status"] == "sent"


def test_a_late_failure_of_what_counted_as_failed_is_no_news(post: Post) -> None:
    """It is not counted twice."""
    [hanging] = post.happens("a")
    post.step(SEND_MAX.total_seconds())
    assert post.courier.ended(hanging, "cut", post.clock.now()) is None
    assert post.outbox.failures("club") == 1


def test_what_has_no_address_waits(post: Post) -> None:
    """An officer took a route away: nothing is lost, nothing crashes."""
    post.courier.routes = {"mail"}
    assert [one.route for one in post.happens("a", topic=Topic.SYSTEM_ALERTS)] == ["mail"]
    post.courier.routes = {"mail", "club"}
    assert [one.route for one in post.step()] == ["club"]
