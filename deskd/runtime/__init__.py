"""The only live desk: its inbox, what it puts on record, and what it has done after that."""

from deskd.runtime.owner import Runtime

__all__ = ["Runtime"]
