"""What people can ask of the desk: every room's routes on the officers' socket, every room's figures on the page."""

from pathlib import Path

from tests.app.a_small_desk import a_built_desk

# One route of each file that adds any.
ROUTES = {
    "/status",
    "/pause",
    "/deploy",
    "/sign",
    "/events",
    "/why/{order}",
    "/kill",
    "/jail/test",
    "/config/reload",
    "/jobs",
    "/notifications",
    "/build",
}


async def test_the_officers_socket_has_the_routes_of_every_room(tmp_path: Path) -> None:
    """A room that was forgotten would be a command that the desk does not know."""
    async with a_built_desk(tmp_path) as daemon:
        app = daemon.control._app()
        known = {resource.canonical for resource in app.router.resources()}
    assert known >= ROUTES


async def test_the_page_of_figures_knows_broker_and_ledger(tmp_path: Path) -> None:
    """Before the start, too: not ready is a figure."""
    async with a_built_desk(tmp_path) as daemon:
        collector = daemon.metrics.collector
        text = {family.name: family for family in collector.families([], await collector.notifications())}
    assert text["deskd_ready"].samples[0].value == 0
    assert text["deskd_ledger_entries"].samples[0].value == 0
    assert text["deskd_notifications_dead"].samples == [], "there are no routes"
    assert text["deskd_journal_lost"].samples[0].value == 0
