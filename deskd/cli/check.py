"""What the doctor says of one thing."""

from dataclasses import dataclass

GOOD, WARNING, BAD = "good", "warning", "bad"
NOT_YOURS = "not yours"  # it may be good: who asks may not look


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    check: str
    verdict: str
    found: str
    remedy: str | None = None

    def row(self) -> dict[str, str | None]:
        """Return it as the table and the JSON show it."""
        return {"check": self.check, "verdict": self.verdict, "found": self.found, "remedy": self.remedy}


def not_yours(check: str, what: str) -> Check:
    """Return that whoever asks may not see it, and who may."""
    return Check(check, NOT_YOURS, f"{what} is not yours to see", "an officer sees it: sudo deskctl doctor")
