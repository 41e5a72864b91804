"""What the tables of the file are made of: a frozen model, and the kinds of values that several of them have."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Wait = Annotated[float, Field(ge=0, le=86_400)]  # 0 turns off what it is for
# TOML knows no amounts, paths or tuples: these are made from its texts, numbers and lists. All else is taken as it is.
Money = Annotated[Decimal, Field(gt=0, max_digits=15, strict=False)]
USER_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
HHMM = r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$"
Percent = Annotated[Decimal, Field(ge=0, lt=100, max_digits=6, decimal_places=4, strict=False)]
Share = Annotated[Decimal, Field(gt=0, le=100, max_digits=12, strict=False)]  # 0.2 is a fifth
FilePath = Annotated[Path, Strict(strict=False)]
Texts = Annotated[tuple[str, ...], Strict(strict=False)]


class Section(BaseModel):
    """A table of the file: frozen, and nothing in it that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)
