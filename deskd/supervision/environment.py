"""The packages that all strategies share: where they lie, which they are, and what to do where one is missing.

Below the jail folder:

    packages/KEY/site/        one set of packages, precompiled; bound read-only at /packages/shared
    packages/KEY/about.json   what it was made from
    packages/current-PYTHON   a link to the set that the next start of the desk takes, per version of Python

A set is never changed: another list is another KEY (environment_build.py). In jails a .pth line of the environment puts
the shared packages, and then the strategy's own (requirements.py), behind the standard library. .pth files among the
packages themselves are not read: only the interpreter's own site-packages is searched for them, and it holds an empty
sitecustomize.py. So none of a package's code runs before the strategy imports it.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePath

from deskd.supervision.requirement_lines import canonical

SHARED = PurePath("/packages/shared")
OWN = PurePath("/packages/own")
# Python imports a module of this name before anything else, from wherever it finds one first: not from a package
FIRST = PurePath("sitecustomize.py")
PTH = f"{SHARED}\n{OWN}\n"  # site.py passes over what is not there
BUILD_INSTALLED = "sudo /opt/deskd/current/app/tools/install.sh strategy-env"
_HAS_MAKE = (Path(__file__).resolve().parents[2] / "Makefile").is_file()  # a checkout; an installed version has none
BUILD_COMMAND = "make strategy-env" if _HAS_MAKE else BUILD_INSTALLED
_METADATA_BYTES_MAX = 65_536  # the headers stand first
# What the default list is imported as. Only for telling what to do: what is there is asked of the packages themselves.
_MODULES = {"numpy": "numpy", "pandas": "pandas", "scipy": "scipy", "polars": "polars", "talib": "ta-lib", "talipp": "talipp"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds every set of packages."""

    root: Path

    def link(self, python: str) -> Path:
        """Return the link to the set in use, for that version ("python3.13")."""
        return self.root / f"current-{python}"

    def current(self, python: str) -> Path | None:
        """Return the packages in use for that version of Python; None where none were built."""
        site = self.link(python).resolve() / "site"
        return site if site.is_dir() else None


def home_of(jail_root: Path) -> Home:
    """Return where the sets of packages lie below the jail folder."""
    return Home(jail_root / "packages")


def versions_in(site: Path) -> dict[str, str]:
    """Return each package that is installed in *site*, by its canonical name, with its version."""
    found = {}
    for folder in sorted(site.glob("*.dist-info")):
        file = folder / "METADATA"
        if file.is_file():
            with file.open(encoding="utf-8", errors="replace") as text:
                headers = HeaderParser().parsestr(text.read(_METADATA_BYTES_MAX), headersonly=True)
            found[canonical(str(headers["Name"]))] = str(headers["Version"])
    return found


def modules_of(site: Path, package: str) -> list[str]:
    """Return the names by which what *package* installed in *site* is imported."""
    names = set()
    for folder in site.glob("*.dist-info"):
        if canonical(folder.name.partition("-")[0]) == canonical(package) and (folder / "RECORD").is_file():
            for line in (folder / "RECORD").read_text(encoding="utf-8").splitlines():
                first, _, rest = line.rpartition(",sha256")[0].partition("/")
                if rest == "__init__.py" or (not rest and first.endswith(".py")):
                    names.add(first.removesuffix(".py"))
    return sorted(name for name in names if name.isidentifier() and not name.startswith("_"))


def imported_as(package: str) -> set[str]:
    """Return the names by which a package is probably imported, of one that nobody has installed to look at."""
    name = canonical(package)
    return {module for module, known in _MODULES.items() if known == name} or {name.replace("-", "_")}


def described(installed: Mapping[str, str]) -> str:
    """Return the packages as one line for people."""
    return ", ".join(f"{name} {version}" for name, version in sorted(installed.items())) or "none"


def remedy_for(module: str, installed: Mapping[str, str]) -> str | None:
    """Say what to do about `No module named MODULE`; None where the standard library has it (then it is no package)."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return None
    package = _MODULES.get(top)
    if package is not None and package not in installed:
        return (
            f"this desk's packages do not hold {package}: an officer runs `{BUILD_COMMAND}` on the desk's machine "
            "([sandbox] packages lists it) and starts the desk again"
        )
    return (
        f"{top} is not among this desk's packages ({described(installed)}): write NAME==VERSION into a requirements.txt "
        "beside strategy.py and ask an officer to run `deskctl build NAME`, or ask for it in [sandbox] packages"
    )
