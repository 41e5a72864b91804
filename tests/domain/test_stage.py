"""Stages are in order: how much of a strategy's orders gets through."""

from itertools import pairwise

from deskd.domain.stage import Stage


def test_active_is_looser_than_shadow_and_shadow_than_paused() -> None:
    """The order is that of bringing a strategy into use."""
    for stricter, looser in pairwise([Stage.PAUSED, Stage.SHADOW, Stage.ACTIVE]):
        assert looser.is_looser_than(stricter)
        assert not stricter.is_looser_than(looser)
        assert not looser.is_looser_than(looser)
