"""Whose a strategy is. Nobody leaves his limits, his losses or a kill behind by a line in config.json.

Rule 1: officers decide: `member` in [risk.strategies.NAME], whatever else says.
Rule 2: a strategy stays the member's whose it is on record, until officers say otherwise.
Rule 3: a new folder that belongs to a login of its own is that login's: members are known by their logins. What belongs
        to root, to the desk, to an officer, or to whoever owns strategies_dir, may name any member.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deskd.domain.ids import StrategyId, UserId
from deskd.supervision.folder import FolderError


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """What is known of whose strategies are."""

    named: Mapping[str, str] = field(default_factory=dict)  # by officers: strategy and member
    on_record: Callable[[StrategyId], UserId | None] = lambda _: None
    login: Callable[[int], str | None] = lambda _: None  # of the uid; None: nobody's, or an officer's

    def member(self, name: StrategyId, said: str | None, folder: Path) -> UserId:
        """Return whose the strategy is; raise FolderError where config.json says *said*, and that cannot be."""
        if (named := self.named.get(name)) is not None:
            return UserId(named)
        known = self.on_record(name)
        is_records = known is not None
        if known is None and (login := self._login_of(folder)) is not None:
            known = UserId(login)
        if known is None or said in {None, known}:
            return known or UserId(said or name)
        why = f"{name} is {known}'s on record" if is_records else f"the folder belongs to the login {known}"
        raise FolderError(
            f'config.json: user_id: is "{said}", and {why}: write "{known}", or leave it out; '
            f'an officer gives it to another member with member = "{said}" in [risk.strategies.{name}]'
        )

    def _login_of(self, folder: Path) -> str | None:
        """Return whose the folder is, where that is another than who owns what it lies in."""
        try:
            uid = folder.stat().st_uid
            return None if uid == folder.parent.stat().st_uid else self.login(uid)
        except OSError:
            return None  # it cannot be read, and whoever reads it says so
