"""Chaos needs real jails."""

from tests.supervised import jail_root, needs_jail

__all__ = ["jail_root", "needs_jail"]
