"""What the doctor finds is in the log of the start, and hinders nothing."""

import json
import os
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deskd.app.examining import examine

ROWS = [
    {"check": "disk", "verdict": "bad", "found": "0.1 GB free", "remedy": "make room"},
    {"check": "privacy", "verdict": "warning", "found": "open to all", "remedy": "close it"},
]


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


async def test_what_is_not_good_is_a_warning_with_its_remedy() -> None:
    """One line each, its figures as fields: nobody need have called the doctor. A doctor that found something exits with 1."""
    with capture_logs() as logs:
        await examine(python(f"print({json.dumps(ROWS)!r}); raise SystemExit(1)"), wait_s=0)
    assert logs == [{"event": "machine_not_good", "log_level": "warning"} | row for row in ROWS]


async def test_where_all_is_good_nothing_is_said() -> None:
    """No line of a good machine."""
    with capture_logs() as logs:
        await examine(python("print('[]')"), wait_s=0)
    assert logs == []


@pytest.mark.parametrize("source", ["print('no JSON')", "print('{}')", "raise SystemExit(3)"])
async def test_a_doctor_that_fails_is_one_warning(source: str) -> None:
    """The desk goes on; an officer can call it by hand."""
    with capture_logs() as logs:
        await examine(python(source), wait_s=0)
    assert [(line["event"], line["remedy"]) for line in logs] == [("machine_not_examined", "run: deskctl doctor")]


async def test_a_doctor_that_hangs_is_ended(tmp_path: Path) -> None:
    """It is bounded, and leaves no process."""
    told = tmp_path / "pid"
    source = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    with capture_logs() as logs:
        await examine(python(source), wait_s=0, timeout_s=2)
    assert [line["event"] for line in logs] == ["machine_not_examined"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)
