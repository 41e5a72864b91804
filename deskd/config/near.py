"""The nearest of what there is: what was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, among: Iterable[str]) -> str | None:
    """Return the name that was probably meant, or None. For dotted keys the last part counts on its own, too."""
    names = list(among)
    exact = {n.lower(): n for n in names}
    if name.lower() in exact:
        return exact[name.lower()]
    last = name.rpartition(".")[2]
    by_last = {n.rpartition(".")[2]: n for n in reversed(names)}
    if last in by_last:
        return by_last[last]  # the right key in the wrong section
    close = get_close_matches(name, names, n=1, cutoff=0.75)
    if close:
        return close[0]
    found = get_close_matches(last, by_last, n=1, cutoff=0.75)
    return by_last[found[0]] if found else None
