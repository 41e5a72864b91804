"""What is told of the account has Alpaca's defaults."""

from deskd.exchange.account import Asset, Configurations
from tests.exchange.given import a_buy, a_sell, trading


def test_new_account_trades_everything() -> None:
    """Fractions, shorts and four times margin are on until switched off."""
    switches = Configurations()
    assert (switches.suspend_trade, switches.no_shorting, switches.fractional_trading) == (False, False, True)
    assert switches.max_margin_multiplier == "4"
    asset = Asset(id="i", symbol="X", name="X", exchange="NYSE")
    assert asset.tradable
    assert asset.shortable
    assert asset.easy_to_borrow


def test_side_is_told_by_the_sign() -> None:
    """A position is long or short by its quantity."""
    world = trading()
    world.submit(a_buy(1))
    world.submit(a_sell(1, symbol="SPY"))
    assert [(p.symbol, p.side) for p in world.exchange.positions()] == [("AAPL", "long"), ("SPY", "short")]
