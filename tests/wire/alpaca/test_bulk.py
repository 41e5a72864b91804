"""An answer for each order is read, and what cannot be read costs no other order its own."""

import pytest

from deskd.domain.errors import WireError
from deskd.wire.alpaca.bulk import ID_MAX, Item, decode_canceled


def test_each_order_has_its_status_and_words() -> None:
    """The form of ALPACA.md 2.2: a status for each, with the error's body where it is one."""
    body = b"""[{"id": "a", "status": 200},
        {"id": "b", "status": 422, "body": {"code": 42210000, "message": "order is filled"}},
        {"id": "c", "status": 500, "body": null}, {"id": "d", "status": 404, "body": "gone"}]"""
    assert decode_canceled(body) == {
        "a": Item(200, None),
        "b": Item(422, "order is filled (code=42210000)"),
        "c": Item(500, None),
        "d": Item(404, None),
    }
    assert decode_canceled(b"[]") == {}


def test_a_part_that_cannot_be_read_is_left_out() -> None:
    """Of its order nothing is known; the others' answers hold."""
    long = "x" * (ID_MAX + 1)
    body = '[{"id": 5, "status": 200}, {"id": "a"}, {"id": "b", "status": true}, {"id": "", "status": 200},'
    body += f'{{"id": "{long}", "status": 200}}, {{"id": "c", "status": 200}}]'
    assert decode_canceled(body.encode()) == {"c": Item(200, None)}


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"[1]"])
def test_what_is_no_list_of_objects_is_an_error(body: bytes) -> None:
    """Then nothing is known of any order."""
    with pytest.raises(WireError):
        decode_canceled(body)
