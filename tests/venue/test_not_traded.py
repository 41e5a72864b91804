"""What this exchange does not trade is answered honestly: nothing there, or a clear 404."""

from pathlib import Path

from tests.venue.serving import served, settings, write_tape


async def test_options_and_announcements_are_empty_or_absent(tmp_path: Path) -> None:
    """Lists are empty in Alpaca's shape; a single one does not exist; nothing can be exercised."""
    async with served(settings(write_tape(tmp_path / "tape"))) as (_, session):
        for method, path, status in (
            ("GET", "/v2/options/contracts", 200),
            ("GET", "/v2/options/contracts/X", 404),
            ("POST", "/v2/positions/X/exercise", 403),
            ("GET", "/v2/corporate_actions/announcements", 200),
            ("GET", "/v2/corporate_actions/announcements/1", 404),
        ):
            async with session.request(method, path) as answer:
                assert answer.status == status, path
                body = await answer.json()
                assert body in ([], {"option_contracts": [], "next_page_token": None}) or body["message"]
