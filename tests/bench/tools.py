"""What the benches stand on: peers found or fetched, processes started and always ended, CPU read from the kernel."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from deskd.domain.ids import Symbol

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "var" / "bench" / "cache"
PYTHON = sys.executable
PEERS = (
    "redis[hiredis]",
    "pyzmq",
    "nats-py",
    "grpcio",
    "fastapi",
    "uvicorn",
    "httptools",
    "uvloop",
    "msgpack",
    "msgspec",
)
REDIS = ("redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1", "libssl3", "libsystemd0")
NATS = ("nats-server",)
FETCH_S = 120.0
START_S = 30.0
END_S = 5.0
FINISH_S = 20.0
ANSWER_S = 60.0  # a process that says nothing for so long is stuck


def say(text: str) -> None:
    print(text, flush=True)


def peers_python() -> Path | None:
    """Return the Python of the peers' own environment, made at the first call; None where it cannot be made."""
    python = CACHE / "venv" / "bin" / "python"
    stamp = CACHE / "venv" / "peers"
    if stamp.exists() and stamp.read_text() == " ".join(PEERS):
        return python
    say(f"making the peers' environment: {', '.join(PEERS)}")
    try:
        venv.create(CACHE / "venv", with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS]
        subprocess.run(install, check=True, timeout=FETCH_S, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError) as problem:
        say(f"no peers' environment: {problem}")
        return None
    stamp.write_text(" ".join(PEERS))
    return python


def debian_program(name: str, packages: Sequence[str]) -> list[str] | None:
    """Return the command of a server that is installed, or unpacked into the cache; None where neither is possible.

    Packages are downloaded and unpacked only: nothing of the machine is changed.
    """
    if found := shutil.which(name):
        return [found]
    folder = CACHE / name
    program = next(folder.glob(f"usr/*bin/{name}"), None)
    if program is None:
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            return None
        say(f"unpacking {name}")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", *packages], cwd=folder, check=True, timeout=60, capture_output=True)
            for package in folder.glob("*.deb"):
                subprocess.run(["dpkg", "-x", package, folder], check=True, timeout=60, capture_output=True)
        except (OSError, subprocess.SubprocessError) as problem:
            say(f"no {name}: {problem}")
            return None
        program = next(folder.glob(f"usr/*bin/{name}"), None)
    libraries = ":".join(sorted({str(path.parent) for path in folder.rglob("*.so*")}))
    return ["env", f"LD_LIBRARY_PATH={libraries}", str(program)] if program else None


def compiled(source: str) -> Path | None:
    """Return the program of a C file of this folder, compiled anew where it changed; None without a compiler."""
    path, program = Path(__file__).parent / source, CACHE / Path(source).stem
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    if not program.exists() or program.stat().st_mtime < path.stat().st_mtime:
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", program, path], check=True)
    return program


@contextlib.contextmanager
def process(
    command: Sequence[str | Path],
    *,
    pass_fds: Sequence[int] = (),
    environment: dict[str, str] | None = None,
    is_quiet: bool = False,
    keeps_errors_in: Path | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run a process while the block lasts; whatever happens, it is gone afterwards."""
    errors = keeps_errors_in.open("w") if keeps_errors_in else None
    running = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL if is_quiet else subprocess.PIPE,
        stderr=subprocess.DEVNULL if is_quiet else errors,
        text=True,
        bufsize=1,
        pass_fds=pass_fds,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'sandbox'}"} | (environment or {}),
        start_new_session=True,
    )
    try:
        yield running
    finally:
        end(running)
        if errors is not None:
            errors.close()


def end(running: subprocess.Popen[str]) -> None:
    """Terminate the process, then kill what of its session is left."""
    if running.poll() is None:
        running.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    for file in (running.stdin, running.stdout):
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


def finish(running: subprocess.Popen[str]) -> None:
    """Let a process that reads orders end by itself: a desk removes its cgroups when it is not killed."""
    assert running.stdin is not None
    running.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(FINISH_S)


def answer(running: subprocess.Popen[str], word: str) -> list[str]:
    """Return the rest of the next line that begins with *word*; raise where the process ended instead."""
    assert running.stdout is not None
    bound = threading.Timer(ANSWER_S, running.kill)
    bound.start()
    try:
        for line in running.stdout:
            first, *rest = line.split()
            if first == word:
                return rest
    finally:
        bound.cancel()
    raise RuntimeError(f"{running.args!r} ended before it said {word!r}")


def order(running: subprocess.Popen[str], text: str) -> None:
    """Give the process a line to do."""
    assert running.stdin is not None
    running.stdin.write(text + "\n")
    running.stdin.flush()


def wait_for(path: Path) -> None:
    """Return when the path exists."""
    deadline = time.monotonic() + START_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not come to be within {START_S:g} s")
        time.sleep(0.01)


def cpu_ns(*pids: int) -> int:
    """Return the CPU time of these processes, all threads, to the nanosecond."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


async def no_gap(symbols: Sequence[Symbol], start: datetime, end: datetime) -> Mapping[Symbol, Sequence[Any]]:
    """Return no bars: the bench's stream is never lost."""
    return {}


async def no_time() -> datetime:
    """Never asked, as above."""
    raise AssertionError
