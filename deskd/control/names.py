"""Names as people type them: an unambiguous prefix is enough, a wrong one is answered with the nearest right one."""

from collections.abc import Iterable
from difflib import get_close_matches

LISTED_MAX = 50  # a club's strategies, the events there are: nobody has to look up the names elsewhere


class NoSuchName(Exception):
    """The name means nothing, or more than one thing. The text says what there is."""


def the_one(kind: str, typed: str, among: Iterable[str]) -> str:
    """Return the name meant by *typed*: itself, or the only one that begins with it."""
    names = sorted(set(among))
    if typed in names:
        return typed
    begun = [name for name in names if typed and name.startswith(typed)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise NoSuchName(f"{kind} {typed!r} is ambiguous: {_list(begun)}; type more of it")
    near = get_close_matches(typed, names, n=1, cutoff=0.6)
    if near:
        raise NoSuchName(f"there is no {kind} {typed!r}; did you mean {near[0]}?")
    raise NoSuchName(
        f"there is no {kind} {typed!r}; there {f'is: {_list(names)}' if names else f'is no {kind} at all'}"
    )


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:LISTED_MAX])
    return shown if len(names) <= LISTED_MAX else f"{shown}, … ({len(names)} in all)"
