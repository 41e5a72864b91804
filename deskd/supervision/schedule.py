"""The key `schedule` of config.json: when a strategy trades, inside what the desk allows."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from deskd.config import RiskScheduleSection
from deskd.config.section import HHMM
from deskd.domain.schedule import WEEK, Schedule, schedule_of
from deskd.supervision.folder import FolderError

type _Time = Annotated[str, Field(pattern=HHMM)]


class OwnSchedule(BaseModel):
    """What stands there. What is left out is the desk's."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    opens: _Time | None = None
    closes: _Time | None = None
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = Field(None, min_length=1)
    no_new_before_close_min: int | None = Field(None, ge=0, le=390)
    flatten_before_close_min: int | None = Field(None, ge=0, le=390)


def own_schedule(given: OwnSchedule, desk: RiskScheduleSection) -> Schedule:
    """Return when the strategy trades; raise FolderError where it wants more than the desk allows."""
    for name, is_looser in (
        ("opens", given.opens is not None and given.opens < desk.opens),
        ("closes", given.closes is not None and given.closes > desk.closes),
        ("days", given.days is not None and not set(given.days) <= set(desk.days)),
        (
            "no_new_before_close_min",
            given.no_new_before_close_min is not None and given.no_new_before_close_min < desk.no_new_before_close_min,
        ),
        (
            "flatten_before_close_min",
            given.flatten_before_close_min is not None
            and given.flatten_before_close_min < desk.flatten_before_close_min,
        ),
    ):
        if is_looser:
            own, bound = getattr(given, name), getattr(desk, name)
            raise FolderError(
                f"config.json: schedule.{name}: {_said(own)} is looser than the desk's {_said(bound)}: "
                "a strategy's schedule only tightens; change it, or ask an officer"
            )
    kept = {name: value for name in OwnSchedule.model_fields if (value := getattr(given, name)) is not None}
    whole = desk.model_copy(update=kept)
    if whole.opens >= whole.closes:
        text = f"opens={whole.opens} is not before closes={whole.closes}"
        raise FolderError(f"config.json: schedule: {text}: swap them, or leave them out")
    return schedule_of(
        opens=whole.opens,
        closes=whole.closes,
        days=tuple(day for day in WEEK if day in whole.days),
        no_new_min=whole.no_new_before_close_min,
        flatten_min=whole.flatten_before_close_min,
    )


def _said(value: object) -> str:
    return ",".join(value) if isinstance(value, list | tuple) else str(value)
