"""Make the Python code of protos/*.proto, for the desk and for the members' library. `make proto` calls it.

The two sides never import each other: each gets its own copy of the same messages.
"""

import re
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
PROTOS = ROOT / "protos"
TARGETS = (Path("deskd/wire/pb"), Path("sandbox/desk_client/pb"))

# Generated code refuses a protobuf older than its compiler. A laptop may well have one, and the descriptor of these
# plain proto3 messages reads the same in all of them: the check costs a member's first evening and protects nothing.
_VERSION_CHECK = re.compile(
    r"^from google\.protobuf import runtime_version.*?\n|^_runtime_version\..*?^\)\n", re.MULTILINE | re.DOTALL
)


def generate() -> dict[str, str]:
    """Return the generated files by name, as they should be in each target."""
    with tempfile.TemporaryDirectory() as out:
        names = [path.name for path in sorted(PROTOS.glob("*.proto"))]
        stubs = Path(sys.executable).parent / "protoc-gen-mypy"
        arguments = [
            "protoc",
            f"-I{PROTOS}",
            f"--plugin=protoc-gen-mypy={stubs}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
            *names,
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc refused protos/: its message is above")
        files = {path.name: _VERSION_CHECK.sub("", path.read_text()) for path in sorted(Path(out).iterdir())}
    return {"__init__.py": '"""Generated from protos/ by `make proto`. Do not edit."""\n', **files}


def main() -> None:
    """Write the files where they belong."""
    for target in TARGETS:
        for name, text in generate().items():
            (ROOT / target / name).write_text(text)
            print(f"wrote {target / name}")


if __name__ == "__main__":
    main()
