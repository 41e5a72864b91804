"""Every key's place in a TOML text."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from deskd.config.locate import Place, locate

TEXT = '''# a = 1
[desk]
name = "a # b" # x = 1
"state dir" = 'x\\'
[ risk . strategy ]
allocation=1_000
tape = [ "a", # [
  """b ] \\" "c""", { x = 1, y.z = [2] } ]
many = """
[not.a.table]
k = 1
"""
last = true'''


def test_keys_are_found_behind_strings_comments_and_arrays() -> None:
    """Brackets, quotes and hashes inside of values are no structure."""
    assert locate(TEXT) == {
        ("desk",): Place(2, 1),
        ("desk", "name"): Place(3, 1),
        ("desk", "state dir"): Place(4, 1),
        ("risk", "strategy"): Place(5, 1),
        ("risk", "strategy", "allocation"): Place(6, 1),
        ("risk", "strategy", "tape"): Place(7, 1),
        ("risk", "strategy", "tape", "x"): Place(8, 22),
        ("risk", "strategy", "tape", "y", "z"): Place(8, 29),
        ("risk", "strategy", "many"): Place(9, 1),
        ("risk", "strategy", "last"): Place(13, 1),
    }


@given(st.text(alphabet="ab.=[]{},\"'# \n1", max_size=60))
def test_whatever_tomllib_reads_is_located(text: str) -> None:
    """A valid file never breaks the locator."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    tops = {path[0] for path in locate(text)}
    assert tables.keys() <= tops
