"""The library fits everywhere: old Pythons, small machines, quick starts."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

SANDBOX = Path(__file__).parent.parent.parent / "sandbox"


def test_it_is_written_for_python_3_9() -> None:
    """A laptop's Python may be that old: no file uses younger syntax."""
    for path in SANDBOX.glob("desk_client/**/*.py"):
        ast.parse(path.read_text(), feature_version=(3, 9))
    project = tomllib.loads((SANDBOX / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.9"


def test_it_needs_protobuf_and_nothing_else() -> None:
    """Nothing heavy comes with it: importing it costs what protobuf costs."""
    script = (
        "import sys, desk_client\n"
        "ours = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(ours - set(sys.stdlib_module_names) - {'__main__', 'desk_client'}))\n"
        "print(*sorted({'asyncio', 'dataclasses', 'decimal', 'http', 'json', 'ssl', 'urllib', 'uuid'} & ours))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": f"{SANDBOX}:{_site_packages()}"},
        capture_output=True,
        text=True,
        check=True,
    )
    foreign, heavy = finished.stdout.split("\n")[:2]
    assert foreign == "google"
    assert heavy == ""


def _site_packages() -> str:
    import google.protobuf

    return str(Path(google.protobuf.__file__).parent.parent.parent)


def test_every_package_is_installed() -> None:
    """`pip install ./sandbox` takes all that `import desk_client` needs."""
    listed = set(tomllib.loads((SANDBOX / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {str(path.parent.relative_to(SANDBOX)).replace("/", ".") for path in SANDBOX.glob("**/__init__.py")}
    assert listed == found
