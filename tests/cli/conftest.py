"""The folder that jails bind, staged once."""

from tests.supervised import jail_root, needs_jail

__all__ = ["jail_root", "needs_jail"]
