"""What the trading API answers has Alpaca's keys, types and spelling; alpaca-py's models take it strictly."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from alpaca.trading import models
from hypothesis import given
from hypothesis import strategies as st

from deskd.domain.events import BrokerStatus
from deskd.domain.market import MarketClock
from deskd.domain.money import Cash, Price, Qty
from deskd.domain.order import OrderClass, OrderType, Side, TimeInForce
from deskd.exchange import errors
from deskd.exchange.account import AccountView, Activity, Asset, Configurations, EquityPoint, PositionView
from deskd.exchange.order import ExchangeOrder, OrderEvent, OrderWord, PositionIntent
from deskd.wire.alpaca import venue_replies as replies

AT = datetime(2026, 10, 8, 15, 10, 18, 909428, tzinfo=UTC)
ID = "61d1feca-aa11-4863-8b79-64c5e4731a98"
ASSET_ID = "3795cafe-fd54-4f66-a31e-66774be875ca"

# the keys of a real paper account's answers in October 2026
ORDER_KEYS = set(
    """asset_class asset_id canceled_at client_order_id created_at expired_at expires_at extended_hours failed_at
    filled_at filled_avg_price filled_qty hwm id legs limit_price notional order_class order_type position_intent qty
    replaced_at replaced_by replaces side source status stop_price submitted_at subtag symbol time_in_force
    trail_percent trail_price type updated_at""".split()  # noqa: SIM905  as one reads it in the recording
)


def an_order(**fields: object) -> ExchangeOrder:
    order = ExchangeOrder(
        id=ID,
        client_order_id="rec20261008151015-2",
        status=BrokerStatus.PENDING_NEW,
        created_at=AT,
        updated_at=AT + timedelta(microseconds=855),
        submitted_at=AT,
        asset_id=ASSET_ID,
        symbol="KO",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        position_intent=PositionIntent.BUY_TO_OPEN,
        qty=Qty(Decimal(1)),
        expires_at=datetime(2026, 10, 8, 20, tzinfo=UTC),
    )
    for name, value in fields.items():
        setattr(order, name, value)
    return order


def test_an_order_is_the_recorded_one_key_by_key() -> None:
    """The answer to a real POST, figure by figure."""
    body = replies.order(an_order())
    assert set(body) == ORDER_KEYS
    assert {
        name: body[name] for name in ("qty", "filled_qty", "filled_avg_price", "order_class", "legs", "notional")
    } == {
        "qty": "1",
        "filled_qty": "0",
        "filled_avg_price": None,
        "order_class": "",
        "legs": None,
        "notional": None,
    }
    assert body["created_at"] == body["submitted_at"] == "2026-10-08T15:10:18.909428Z"
    assert body["expires_at"] == "2026-10-08T20:00:00Z"
    assert (body["status"], body["type"], body["order_type"]) == ("pending_new", "market", "market")
    models.Order(**body)


@pytest.mark.parametrize("status", [status for status in BrokerStatus if status is not BrokerStatus.UNKNOWN])
def test_alpaca_py_takes_every_status(status: BrokerStatus) -> None:
    """No status of ours is lost in a strict client."""
    assert models.Order(**replies.order(an_order(status=status))).status == status.value


@pytest.mark.parametrize("order_type", OrderType)
@pytest.mark.parametrize("time_in_force", TimeInForce)
def test_alpaca_py_takes_every_type_and_time(order_type: OrderType, time_in_force: TimeInForce) -> None:
    """Every order type with every time in force is read back as it is."""
    order = models.Order(**replies.order(an_order(order_type=order_type, time_in_force=time_in_force)))
    assert (order.type, order.time_in_force) == (order_type.value, time_in_force.value)


def test_a_complex_order_carries_its_legs_and_group() -> None:
    """Legs stand inside of the parent, and only complex orders have the group's keys."""
    group = {"order_class": OrderClass.BRACKET, "group_id": ID, "group_role": "entry"}
    body = replies.order(an_order(**group), [an_order(**group | {"group_role": "stop_loss"})])
    assert set(body) == ORDER_KEYS | {"group_id", "group_role"}
    order = models.Order(**body)
    assert order.legs is not None
    assert len(order.legs) == 1


def test_a_fill_has_price_quantities_and_position_and_others_have_not() -> None:
    """The stream's messages: the snapshot without legs, and three more keys on an execution."""
    fill = OrderEvent(
        event=OrderWord.FILL,
        event_id="01JAB3C4D5E6F7G8H9JKMNPQRS",
        execution_id=ID,
        at=AT,
        order=an_order(
            status=BrokerStatus.FILLED, filled_qty=Qty(Decimal(1)), filled_avg_price=Price(Decimal("86.880"))
        ),
        price=Price(Decimal("86.880")),
        qty=Qty(Decimal(1)),
        position_qty=Qty(Decimal(-3)),
    )
    message = replies.trade_update(fill)
    data = message["data"]
    assert message["stream"] == "trade_updates"
    assert isinstance(data, dict)
    assert (data["event"], data["price"], data["qty"], data["position_qty"]) == ("fill", "86.88", "1", "-3")
    assert data["order"]["legs"] is None
    models.TradeUpdate(**data)
    new = OrderEvent(event=OrderWord.NEW, event_id="x", execution_id=ID, at=AT, order=an_order())
    data = replies.trade_update(new)["data"]
    assert isinstance(data, dict)
    assert set(data) == {"event", "event_id", "at", "execution_id", "timestamp", "order"}
    models.TradeUpdate(**data)


@pytest.mark.parametrize(
    ("value", "text"),
    [("10.00", "10"), ("0.057436865", "0.057436865"), ("1E+2", "100"), ("-0", "0"), ("0.00000000049", "0"),
     ("86.8799999999", "86.88"), ("1E-9", "0.000000001")],
)  # fmt: skip
def test_figures_are_plain_strings(value: str, text: str) -> None:
    """No exponent, no trailing zeros, at most nine places."""
    assert replies.figure(Decimal(value)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**12), max_value=10**12))
def test_a_figure_says_exactly_its_number(value: Decimal) -> None:
    """Up to nine places nothing is lost."""
    text = replies.figure(value)
    assert Decimal(text) == value
    assert "E" not in text
    assert not ("." in text and text.endswith("0"))


@pytest.mark.parametrize(("micros", "text"), [(0, "18Z"), (95_216, "18.095216Z"), (500_000, "18.5Z")])
def test_instants_are_trimmed(micros: int, text: str) -> None:
    """The fraction has as many digits as it needs."""
    assert replies.instant(AT.replace(microsecond=micros)) == "2026-10-08T15:10:" + text


def test_a_refusal_keeps_text_code_and_extras() -> None:
    """Extras stand beside code and message; 401 has no code."""
    short = errors.buying_power_is_short(Decimal("399514.64"), Decimal(900000003))
    assert replies.error(short) == {
        "code": 40310000,
        "message": "insufficient buying power",
        "buying_power": "399514.64",
        "cost_basis": "900000003",
    }
    assert replies.error(errors.unauthorized()) == {"message": "unauthorized."}


def test_the_account_has_the_recorded_keys_and_no_removed_ones() -> None:
    """Every key of a real account in 2026, and none of the day-trading ones that are gone."""
    money = Cash(Decimal("100005.83"))
    body = replies.account(
        AccountView(
            id=ID,
            account_number="PA3TEST",
            created_at=AT,
            balance_asof=date(2026, 10, 7),
            cash=money,
            equity=money,
            last_equity=Cash(Decimal("100003.74258806517")),
            long_market_value=Cash(Decimal(0)),
            short_market_value=Cash(Decimal(0)),
            position_market_value=Cash(Decimal(0)),
            multiplier="4",
            buying_power=Cash(money * 4),
            regt_buying_power=Cash(money * 2),
            non_marginable_buying_power=money,
            initial_margin=Cash(Decimal(0)),
            maintenance_margin=Cash(Decimal(0)),
            last_maintenance_margin=Cash(Decimal(0)),
            sma=money,
            shorting_enabled=True,
            trade_suspended_by_user=False,
        )
    )
    assert set(body) == set(
        """account_blocked account_number accrued_fees admin_configurations balance_asof buying_power cash created_at
        crypto_status crypto_tier currency effective_buying_power equity id initial_margin intraday_adjustments
        last_equity last_maintenance_margin long_market_value maintenance_margin multiplier non_marginable_buying_power
        options_approved_level options_buying_power options_trading_level pending_reg_taf_fees portfolio_value
        position_market_value regt_buying_power short_market_value shorting_enabled sma status trade_suspended_by_user
        trading_blocked transfers_blocked user_configurations""".split()  # noqa: SIM905  as in the recording
    )
    account = models.TradeAccount(**body)
    assert (account.cash, account.portfolio_value) == ("100005.83", "100005.83")


def test_configurations_assets_and_clock_are_taken() -> None:
    """alpaca-py's models take them, and the clock speaks New York's time."""
    models.AccountConfiguration(**replies.configurations(Configurations()))
    asset = Asset(id=ASSET_ID, symbol="KO", name="Coca-Cola Company", exchange="NYSE")
    assert models.Asset(**replies.asset(asset)).symbol == "KO"
    assert replies.asset(asset)["borrow_status"] == "easy_to_borrow"
    body = replies.clock(
        MarketClock(timestamp=AT, is_open=True, next_open=AT + timedelta(days=1), next_close=AT + timedelta(hours=5))
    )
    assert body["timestamp"] == "2026-10-08T11:10:18.909428-04:00"
    models.Clock(**body)


def test_a_short_position_is_negative() -> None:
    """Quantity, value and basis of a short are negative; figures have six places."""
    body = replies.position(
        PositionView(
            asset_id=ASSET_ID,
            symbol="KO",
            exchange="NYSE",
            asset_marginable=True,
            qty=Qty(Decimal(-3)),
            qty_available=Qty(Decimal(-3)),
            avg_entry_price=Price(Decimal("86.87989123456")),
            cost_basis=Cash(Decimal("-260.64")),
            current_price=Price(Decimal("86.88")),
            lastday_price=Price(Decimal("85.82")),
            market_value=Cash(Decimal("-260.64")),
            unrealized_pl=Cash(Decimal("0.00000001")),
            unrealized_plpc=Decimal("0.123456789"),
            unrealized_intraday_pl=Cash(Decimal(0)),
            unrealized_intraday_plpc=Decimal(0),
            change_today=Decimal("0.0123514"),
        )
    )
    assert (body["side"], body["qty"], body["market_value"]) == ("short", "-3", "-260.64")
    assert (body["avg_entry_price"], body["unrealized_plpc"], body["unrealized_pl"]) == ("86.879891", "0.123457", "0")
    models.Position(**body)


def test_activities_are_the_recorded_rows() -> None:
    """A fill and a deposit, key by key."""
    fill = Activity(
        id=f"20261008111019061::{ID}",
        activity_type="FILL",
        sequence=2,
        at=AT,
        order_id=ID,
        order_status=BrokerStatus.FILLED,
        type="fill",
        side=Side.SELL,
        is_short_sale=True,
        symbol="KO",
        qty=Qty(Decimal(1)),
        price=Price(Decimal("86.88")),
        cum_qty=Qty(Decimal(1)),
        leaves_qty=Qty(Decimal(0)),
    )
    body = replies.activity(fill)
    assert set(body) == set(
        """activity_type cum_qty id leaves_qty order_id order_status price qty side symbol transaction_time
        type""".split()  # noqa: SIM905  as in the recording
    )
    assert (body["side"], body["leaves_qty"]) == ("sell_short", "0")
    models.TradeActivity(**body | {"side": "sell"}, account_id=ID)  # the model does not know the real sell_short
    deposit = Activity(id="x", activity_type="CSD", sequence=1, at=AT, net_amount=Cash(Decimal(100000)))
    assert replies.activity(deposit) == {
        "activity_type": "CSD",
        "date": "2026-10-08",
        "description": "",
        "id": "x",
        "net_amount": "100000",
        "status": "executed",
    }


def test_portfolio_history_is_in_numbers() -> None:
    """Gains are measured from the base; nothing divides by zero."""
    base = EquityPoint(day=date(2026, 10, 7), at=AT, equity=Cash(Decimal(100000)))
    later = EquityPoint(day=date(2026, 10, 8), at=AT, equity=Cash(Decimal(101000)))
    body = replies.portfolio_history([base, later], base, "1D")
    assert (body["profit_loss"], body["profit_loss_pct"]) == ([0.0, 1000.0], [0.0, 0.01])
    models.PortfolioHistory(**body)
    nothing = EquityPoint(day=date(2026, 10, 7), at=AT, equity=Cash(Decimal(0)))
    assert replies.portfolio_history([nothing], nothing, "1D")["profit_loss_pct"] == [0.0]


def test_items_of_a_multi_status_carry_their_errors() -> None:
    """Each item of a 207 has its own status, and a body where there is one."""
    assert replies.canceled(ID, None) == {"id": ID, "status": 200}
    item = replies.canceled(ID, errors.order_is_final("filled"))
    assert (item["status"], item["body"]) == (422, {"code": 42210000, "message": 'order is already in "filled" state'})
    assert replies.closed("KO", an_order())["status"] == 200
    assert replies.closed("KO", errors.position_not_found())["status"] == 404
