"""The order of a start: on record first, then in step with the broker, and orders only after that."""

from pathlib import Path

from structlog.testing import capture_logs

from deskd.app.daemon import opened
from deskd.config import BrokerSection
from deskd.domain import events as ev
from tests.app.a_small_desk import a_config


async def test_a_start_is_on_record_and_in_step_with_the_broker_before_orders_are_taken(tmp_path: Path) -> None:
    """The first fact says that the desk starts; the door stays shut until `trade`, and what is ready then is said."""
    facts: list[ev.Fact] = []
    with capture_logs() as told:
        async with opened(a_config(tmp_path, broker=BrokerSection()), None) as daemon:
            daemon.runtime.on_fact.append(facts.append)
            await daemon.start()
            assert isinstance(facts[0], ev.DeskStarted)
            assert any(isinstance(fact, ev.AccountReconciled) for fact in facts)
            assert daemon.runtime.desk.is_synced
            assert daemon.runtime.desk.instruments
            assert "the desk is starting" in str(daemon.runtime.refusal())
            await daemon.trade()
            assert daemon.runtime.refusal() is None
            await daemon.stop()
    assert sum(isinstance(fact, ev.DeskStopped) for fact in facts) == 1
    assert [line["broker"] for line in told if line["event"] == "desk_ready"] == ["embedded"]
