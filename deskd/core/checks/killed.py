"""Checks under a kill: nothing passes one that stops new orders, and only what reduces one that is REDUCE_ONLY."""

from deskd.core.checks.evidence import Evidence, Finding, Valued
from deskd.domain.kill import KillDepth
from deskd.domain.money import plain
from deskd.domain.reasons import DenialReason as R

_NO_KILL = Finding(True, R.KILLED, "kill=none")
_NOT_REDUCED = Finding(True, R.REDUCE_ONLY, "kill=none")


def is_not_killed(e: Evidence) -> Finding:
    """Deny every order under a kill that stops new ones; the desk's own closing orders under one that cancels."""
    if e.kill is None:
        return _NO_KILL
    is_good = not e.kill.depth.reaches(KillDepth.CANCEL if e.is_closing else KillDepth.STOP_NEW)
    remedy = "only an officer releases it (deskctl release); cancels pass"
    return Finding(is_good, R.KILLED, e.kill.in_words, remedy=remedy)


def only_reduces(e: Evidence, v: Valued) -> Finding:
    """Deny what opens or grows a position under a kill that lets positions shrink only."""
    if e.kill is None:
        return _NOT_REDUCED
    figure = f"{e.kill.in_words} qty={plain(v.qty)}"
    limit = f"closing_qty={plain(v.closing_qty)}"
    lifts = "the breaker lets you try again by itself" if e.kill.until else "only an officer releases the kill"
    remedy = f"trade at most what closes the position; {lifts} (deskctl release)"
    return Finding(not v.opens, R.REDUCE_ONLY, figure, limit, remedy)
