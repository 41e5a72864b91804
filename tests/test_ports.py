"""The one place that reads the machine's clock."""

from datetime import UTC

from deskd.ports import SystemClock


def test_the_systems_clock_is_utc_and_its_other_hand_only_goes_forward() -> None:
    """Instants are aware; durations are measured where nobody sets the time back."""
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()
