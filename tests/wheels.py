"""Small wheels for the tests of packages: an index is a folder of them."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def a_wheel(
    index: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, str | bytes] | None = None,
    needs: Sequence[str] = (),
    entries: Sequence[tuple[zipfile.ZipInfo, bytes]] = (),
) -> Path:
    """Put a wheel into the folder *index*. *entries* go in as they are, however hostile."""
    index.mkdir(exist_ok=True)
    index.chmod(0o755)
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    contents = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(files if files is not None else {f"{module}/__init__.py": f"VERSION = {version!r}\n"}),
    }
    path = index / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        record = ""
        for place, content in contents.items():
            held = content.encode() if isinstance(content, str) else content
            wheel.writestr(place, held)
            digest = base64.urlsafe_b64encode(hashlib.sha256(held).digest()).rstrip(b"=").decode()
            record += f"{place},sha256={digest},{len(held)}\n"
        wheel.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
        for entry, content in entries:
            wheel.writestr(entry, content)
    path.chmod(0o644)
    return path
