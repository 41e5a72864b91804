"""Members' wishes in config.json reach the process that sends notifications."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.alerts.notes import http_receiver
from tests.whole.desk_process import DeskProcess, a_desk_process

DIES = "raise SystemExit(3)\n"


def told(desk: DeskProcess) -> dict[str, int]:
    """Return how many deliveries of its first death each strategy has."""
    sql = """SELECT strategy, count(d.notification_id) FROM notifications n LEFT JOIN deliveries d ON d.notification_id = n.id
        WHERE n.id IN (SELECT min(id) FROM notifications WHERE topic = 'system-alerts' GROUP BY strategy)
        AND strategy IS NOT NULL GROUP BY strategy"""
    with closing(sqlite3.connect(f"file:{desk.state}/notifications.db?mode=ro", uri=True)) as outbox:
        return dict(outbox.execute(sql).fetchall())


async def test_a_topic_that_a_member_turned_off_is_not_sent_for_that_strategy(folder: Path) -> None:
    """Another strategy of the same member is told of as before."""
    async with http_receiver() as receiver, a_desk_process(folder) as desk:
        routes = folder / "routes.toml"
        routes.write_text(f'[routes]\nann = "{receiver.address()}"\n[members]\nann = ["ann"]\n')
        routes.chmod(0o600)
        desk.configure(f'[sandbox]\nunsafe_without_jail = true\n[notify]\nroutes_file = "{routes}"\n')
        desk.strategy("loud", DIES, {"user_id": "ann"})
        desk.strategy("quiet", DIES, {"user_id": "ann", "notifications": {"off": ["system-alerts"]}})
        await desk.start()
        for name in ("loud", "quiet"):
            await desk.hears("run_ended", holds=lambda line, name=name: line["strategy_id"] == name)  # type: ignore[misc]
        assert await desk.end() == 0  # the worker reads on before it ends
        assert told(desk) == {"loud": 1, "quiet": 0}
