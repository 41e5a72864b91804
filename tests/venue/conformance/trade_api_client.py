"""What a member of ten years ago would run: alpaca-trade-api 3.2.0, unmodified, configured by its own variables.

It runs in an environment of its own, knows nothing of deskd, and ends with 0 when everything was as expected.
"""

import asyncio
import sys
from typing import Any

import alpaca_trade_api  # type: ignore[import-not-found]  # lives in its own environment
from alpaca_trade_api.rest import APIError, TimeFrame  # type: ignore[import-not-found]


def rest() -> None:
    """Call what the REST class has, and look at the answers."""
    api = alpaca_trade_api.REST()
    account = api.get_account()
    assert account.status == "ACTIVE"
    assert float(account.cash) == 100000
    assert api.get_clock().is_open
    assert [str(day.date.date()) for day in api.get_calendar("2013-10-07", "2013-10-08")] == [
        "2013-10-07",
        "2013-10-08",
    ]
    assert {asset.symbol for asset in api.list_assets(status="active")} == {"AAPL", "SPY", "IBM"}
    assert api.get_asset("AAPL").tradable
    assert api.get_account_configurations().no_shorting is False
    assert api.update_account_configurations(no_shorting=True).no_shorting is True

    bought = api.submit_order("AAPL", 10, "buy", "market", "day", client_order_id="mine")
    assert bought.status == "pending_new"
    assert api.get_order(bought.id).status == "filled"
    assert api.get_order_by_client_order_id("mine").filled_avg_price == "100.01"
    assert api.get_position("AAPL").qty == "10"
    resting = api.submit_order("AAPL", 1, "buy", "limit", "gtc", limit_price="90")
    replaced = api.replace_order(resting.id, qty="2", limit_price="91")
    assert (replaced.replaces, replaced.qty) == (resting.id, "2")
    assert [order.id for order in api.list_orders(status="open", nested=True)] == [replaced.id]
    api.cancel_order(replaced.id)
    api.submit_order("SPY", 1, "buy", "limit", "day", limit_price=40)
    api.cancel_all_orders()
    assert api.list_orders() == []
    bracket = api.submit_order(
        "SPY", 1, "buy", "market", "day",
        order_class="bracket", take_profit={"limit_price": 60}, stop_loss={"stop_price": 40},
    )  # fmt: skip
    assert len(bracket.legs) == 2
    api.cancel_all_orders()
    api.close_position("AAPL", qty=4)
    api.close_all_positions()
    assert api.list_positions() == []
    fills = api.get_activities("FILL", direction="asc")
    assert [fill.side for fill in fills][:2] == ["buy", "buy"]
    assert api.get_portfolio_history(period="1M", timeframe="1D").equity

    watchlist = api.create_watchlist("old", ["AAPL"])
    assert api.get_watchlist_by_name("old").id == watchlist.id
    api.delete_watchlist(watchlist.id)

    assert api.get_latest_quote("AAPL").bp == 100.0
    assert api.get_latest_trade("AAPL").p == 100.0
    assert api.get_snapshot("AAPL").latest_quote.ap == 100.01
    bars = api.get_bars("AAPL", TimeFrame.Minute, "2013-10-08T13:00:00Z", "2013-10-08T13:30:00Z")
    assert len(bars) > 20
    assert len(list(api.get_trades("AAPL", "2013-10-08T13:00:00Z", "2013-10-08T13:10:00Z", limit=5))) == 5
    refusal = None
    try:
        api.submit_order("AAPL", 1, "buy", "limit", "day")
    except APIError as error:
        refusal = (error.status_code, str(error))
    assert refusal == (422, "limit orders require a limit price")


async def streams() -> None:
    """Hear quotes, and the fill of an order."""
    api, stream = alpaca_trade_api.REST(), alpaca_trade_api.Stream()
    fills: asyncio.Queue[Any] = asyncio.Queue()
    quotes: asyncio.Queue[Any] = asyncio.Queue()

    async def on_update(update: Any) -> None:
        if update.event == "fill":
            await fills.put(update)

    async def on_quote(quote: Any) -> None:
        await quotes.put(quote)

    stream.subscribe_trade_updates(on_update)
    stream.subscribe_quotes(on_quote, "AAPL")
    running = asyncio.get_running_loop().create_task(stream._run_forever())
    try:
        for _ in range(100):  # the stream has no sign of being connected: an order is what it would hear
            api.submit_order("AAPL", 1, "buy", "market", "day")
            await asyncio.sleep(0.1)
            if not fills.empty():
                break
        fill = await asyncio.wait_for(fills.get(), 10)
        assert fill.order["filled_avg_price"] == "100.01"
        quote = await asyncio.wait_for(quotes.get(), 30)
        assert quote.symbol == "AAPL"
    finally:
        running.cancel()
        await asyncio.wait([running])


if __name__ == "__main__":
    rest()
    asyncio.run(streams())
    sys.stdout.write("all well\n")
