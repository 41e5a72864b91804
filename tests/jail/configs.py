"""What a config.json can be that is an attack on whoever reads it."""

import json

from deskd.supervision.discovery import CONFIG_BYTES_MAX

ALL = CONFIG_BYTES_MAX - 100  # what is larger never comes to the parser
CONFIGS = {
    "deep lists": "[" * (ALL // 2) + "]" * (ALL // 2),
    "deep objects": '{"a":' * (ALL // 6) + "1" + "}" * (ALL // 6),
    "deep, never closed": "[" * ALL,
    "deep objects, never closed": '{"a":' * (ALL // 5),
    "deep where a limit stands": '{"limits": {"open_orders_max": ' + "[" * (ALL // 2) + "]" * (ALL // 2) + "}}",
    "a number of all its digits": '{"limits": {"open_orders_max": ' + "9" * ALL + "}}",
    "a fraction of all its digits": '{"limits": {"order_notional_max": "0.' + "9" * (ALL - 60) + '"}}',
    "a number of five thousand digits": '{"limits": {"open_orders_max": ' + "9" * 5_000 + "}}",
    "an endless exponent": '{"limits": {"open_orders_max": 1e999999999}}',
    "an endless exponent as text": '{"limits": {"open_orders_max": "1e999999999"}}',
    "a small exponent": '{"limits": {"order_notional_max": "1e-999999999"}}',
    "not a number": '{"limits": {"order_notional_max": NaN}}',
    "not a number as text": '{"limits": {"order_notional_max": "NaN"}}',
    "a signaling nan": '{"limits": {"order_notional_max": "sNaN"}}',
    "infinity": '{"limits": {"order_notional_max": Infinity}}',
    "less than nothing": '{"limits": {"order_notional_max": -Infinity}}',
    "digits of another script": '{"limits": {"order_notional_max": "\u0661\u0662"}}',
    "keys given twice": '{"user_id": "alice", "user_id": "bob"}',
    "limits given twice": '{"limits": {"open_orders_max": 1, "open_orders_max": 99}}',
    "a huge environment": json.dumps({"env": {f"V{n}": "x" * 1_000 for n in range(63)}}),
    "an environment of nothing but names": json.dumps({"env": {f"V{n}": "" for n in range(5_000)}}),
    "escapes and nothing else": '{"name": "' + "\\u001b" * (ALL // 7) + '"}',
    "unknown keys without end": json.dumps({f"k{n}": 1 for n in range(5_000)}),
    "keys that look like a known one": json.dumps({f"symbol{n}": [] for n in range(3_500)}),
    "a zero byte in the environment": '{"env": {"A": "x\\u0000y"}}',
    "a loader's variable": '{"env": {"LD_PRELOAD": "/tmp/x.so"}}',
    "Python's variable": '{"env": {"PYTHONPATH": "/state"}}',
    "the desk's variable": '{"env": {"DESK_SERVER_URL": "unix:///tmp/x"}}',
    "malloc's variable": '{"env": {"GLIBC_TUNABLES": "x"}}',
    "a line break in a name": '{"env": {"A\\nB": "1"}}',
    "half a character": '{"name": "\\ud800"}',
    "escapes in the name": '{"name": "\\u001b[2J"}',
    "reversed text": '{"name": "\\u202egnp"}',
    "another's name with a path": '{"user_id": "../alice"}',
    "a symbol that is a path": '{"symbols": ["../../SPY"]}',
    "seven thousand symbols": json.dumps({"symbols": [f"A{n}" for n in range(7_000)]}),
    "the same symbol without end": json.dumps({"symbols": ["A"] * 12_000}),
    "unknown keys": '{"__proto__": {}, "is_officer": true}',
    "no object": '"all of it"',
    "bytes that are no text": "\udcff\udcfe",
    "nothing at all": "",
    "a huge history": '{"history": {"bars": 1000000000}}',
    "code instead of JSON": "__import__('os').system('id')",
}
TOO_LARGE = {
    "a megabyte of nothing": " " * 1_000_000 + "{}",
    "deep lists, a hundred thousand": "[" * 100_000 + "]" * 100_000,
    "a number of a million digits": '{"limits": {"open_orders_max": ' + "9" * 1_000_000 + "}}",
}
