"""Every refusal has Alpaca's status, code and text."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deskd.exchange import errors
from deskd.exchange.errors import ApiError

D = Decimal
CATALOGUE: list[tuple[ApiError, int, int | None, str, dict[str, object]]] = [
    (errors.body_format_is_invalid(), 400, 40010000, "request body format is invalid", {}),
    (errors.unauthorized(), 401, None, "unauthorized.", {}),
    (errors.rate_limit_exceeded(), 429, 42910000, "rate limit exceeded", {}),
    (errors.order_not_found("x-1"), 404, 40410000, "order not found for x-1", {}),
    (errors.position_not_found(), 404, 40410000, "position does not exist", {}),
    (errors.asset_not_found("X"), 404, 40410000, "asset not found for X", {}),
    (errors.symbol_not_found("X"), 404, 40410000, "symbol not found: X", {}),
    (errors.activity_type_is_invalid("INVALID"), 422, 40010001, "invalid activity type: INVALID", {}),
    (
        errors.buying_power_is_short(D("399514.64"), D(900000003)),
        403,
        40310000,
        "insufficient buying power",
        {"buying_power": "399514.64", "cost_basis": "900000003"},
    ),
    (
        errors.qty_is_short("OKE", requested=D(9), available=D(0), existing=D(9), held=D(9), related=["o-1"]),
        403,
        40310000,
        "insufficient qty available for order (requested: 9, available: 0)",
        {"available": "0", "existing_qty": "9", "held_for_orders": "9", "symbol": "OKE", "related_orders": ["o-1"]},
    ),
    (
        errors.qty_is_short("KO", requested=D("1.5"), available=D(1), existing=D(1), held=D(0), related=[]),
        403,
        40310000,
        "insufficient qty available for order (requested: 1.5, available: 1)",
        {"available": "1", "existing_qty": "1", "held_for_orders": "0", "symbol": "KO"},
    ),
    (
        errors.wash_trade("o-1", is_limit=False),
        403,
        40310000,
        "potential wash trade detected. use complex orders",
        {"existing_order_id": "o-1", "reject_reason": "opposite side market/stop order exists"},
    ),
    (
        errors.wash_trade("o-1", is_limit=True),
        403,
        40310000,
        "potential wash trade detected. use complex orders",
        {
            "existing_order_id": "o-1",
            "reject_reason": "opposite side limit order exists. use complex/limit/stop_limit orders",
        },
    ),
    (errors.asset_is_not_fractionable("OCGN"), 403, 40310000, 'asset "OCGN" is not fractionable', {}),
    (errors.cost_is_under_minimum(), 403, 40310000, "cost basis must be >= minimal amount of order 1", {}),
    (errors.account_may_not_short(), 403, 40310000, "account is not allowed to short", {}),
    (
        errors.long_buy_against_short_sell(),
        403,
        40310000,
        "cannot open a long buy while a short sell order is open",
        {},
    ),
    (errors.opg_is_too_late(), 403, 40310000, "opg orders must be submitted after 7:00pm and before 9:28am", {}),
    (errors.fractional_is_disabled(), 403, 40310000, "fractional trading is disabled for this account", {}),
    (errors.client_order_id_is_taken(), 422, 40010001, "client_order_id must be unique", {}),
    (
        errors.client_order_id_is_too_long(),
        422,
        40010001,
        "client_order_id must be no more than 128 characters",
        {},
    ),
    (errors.qty_is_not_positive(), 422, 40010001, "qty must be > 0", {}),
    (errors.price_is_not_positive("limit_price"), 422, 40010001, "limit price must be > 0", {}),
    (errors.limit_order_has_no_limit_price(), 422, 40010001, "limit orders require a limit price", {}),
    (errors.limit_order_has_stop_price(), 422, 40010001, "limit orders require only limit price", {}),
    (errors.stop_order_has_no_stop_price(), 422, 40010001, "stop orders require a stop price", {}),
    (
        errors.stop_limit_order_lacks_price(),
        422,
        40010001,
        "stop limit orders require both stop and limit price",
        {},
    ),
    (errors.qty_and_notional_are_exclusive(), 422, 40010001, "only one of qty or notional is accepted", {}),
    (errors.qty_or_notional_is_required(), 422, 40010001, "qty or notional is required", {}),
    (
        errors.trailing_stop_needs_one_trail(),
        422,
        40010001,
        "trailing stop orders must specify one of trail_price or trail_percent",
        {},
    ),
    (errors.market_order_has_price(), 422, 40010001, "market orders require no stop or limit price", {}),
    (
        errors.bracket_lacks("take_profit.limit_price"),
        422,
        40010001,
        "bracket orders require take_profit.limit_price",
        {},
    ),
    (
        errors.bracket_is_not_market_or_limit("bracket"),
        422,
        40010001,
        "bracket orders must be market or limit orders",
        {},
    ),
    (errors.oco_is_not_limit(), 422, 40010001, "oco orders must be limit orders", {}),
    (errors.asset_is_unknown("X"), 422, 42210000, 'asset "X" not found', {}),
    (errors.asset_is_not_tradable("X"), 422, 42210000, 'asset "X" is not tradable', {}),
    (errors.asset_is_not_shortable("TXN"), 422, 42210000, 'asset "TXN" cannot be sold short', {}),
    (
        errors.price_is_sub_penny("limit_price", D("290.123")),
        422,
        42210000,
        "invalid limit_price 290.123. sub-penny increment does not fulfill minimum pricing criteria",
        {},
    ),
    (errors.order_is_final("filled"), 422, 42210000, 'order is already in "filled" state', {}),
    (errors.order_is_not_open(), 422, 42210000, "unable to replace order, order is not open", {}),
    (
        errors.stop_is_not_under_market(D(10), D("10.5")),
        422,
        42210000,
        "stop price must be less than current price",
        {"market_price": "10", "stop_price": "10.5"},
    ),
    (
        errors.stop_is_not_over_market(D(10), D("9.5")),
        422,
        42210000,
        "stop price must be greater than current price",
        {"market_price": "10", "stop_price": "9.5"},
    ),
    (errors.fractional_must_be("DAY orders"), 422, 42210000, "fractional orders must be DAY orders", {}),
    (errors.fractional_is_short(), 422, 42210000, "fractional orders cannot be sold short", {}),
    (
        errors.take_profit_is_under_base(D("5.10")),
        422,
        42210000,
        "take_profit.limit_price must be >= base_price + 0.01",
        {"base_price": "5.1"},
    ),
    (
        errors.stop_loss_is_over_base(D(5)),
        422,
        42210000,
        "stop_loss.stop_price must be <= base_price - 0.01",
        {"base_price": "5"},
    ),
    (
        errors.take_profit_is_not_under_stop(),
        422,
        42210000,
        "take_profit.limit_price must be < stop_loss.stop_price",
        {},
    ),
    (
        errors.extended_hours_is_not_limit(),
        422,
        42210000,
        "extended hours order must be DAY or GTC limit orders",
        {},
    ),
    (errors.order_is_not_entry("bracket"), 422, 42210000, "bracket orders must be entry orders", {}),
    (errors.oco_is_not_exit(), 422, 42210000, "oco orders must be exit orders", {}),
    (errors.short_is_not_day(), 422, 42210000, "only day orders are allowed for hard-to-borrow asset", {}),
    (
        errors.intent_does_not_match("buy_to_open", "sell_to_open"),
        422,
        42210000,
        "position intent mismatch, inferred: buy_to_open, specified: sell_to_open",
        {},
    ),
]


@pytest.mark.parametrize(("error", "http", "code", "message", "extras"), CATALOGUE, ids=lambda v: str(v)[:40])
def test_refusal_reads_as_alpacas(
    error: ApiError, http: int, code: int | None, message: str, extras: dict[str, object]
) -> None:
    """A client that matches Alpaca's status, code, text and extras matches ours."""
    assert (error.http, error.code, error.message, dict(error.extras)) == (http, code, message, extras)


def test_recorded_bodies_are_covered(recorded: list[dict[str, Any]]) -> None:
    """Every recorded body of the trading API has one of our texts, or is not ours to send."""
    ours = {error.message.split(" (")[0].split(" for ")[0] for error, *_ in CATALOGUE}
    not_sent = {"trade denied due to pattern day trading protection", "request is not authorized"}
    for body in recorded:
        message = body["body"]["message"]
        is_data_api = "subscription" in message
        assert is_data_api or message in not_sent or message.split(" (")[0].split(" for ")[0] in ours, message


@pytest.fixture
def recorded() -> list[dict[str, Any]]:
    path = Path(__file__).parents[3] / "shared" / "data" / "wire" / "error_bodies.jsonl"
    if not path.exists():
        pytest.skip(f"no recorded bodies at {path}")
    return [json.loads(line) for line in path.read_text().splitlines()]
