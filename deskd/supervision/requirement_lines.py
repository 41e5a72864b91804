"""Reads a strategy's requirements.txt: plain `NAME==VERSION` lines, and nothing that pip would do more with.

pip takes a page of syntax in such a file: addresses, paths, other files, options, indexes, editable checkouts. Each is a
way to code that nobody chose, so none is passed on: what pip gets is written anew from what was read here.
"""

import re
from dataclasses import dataclass

from deskd.supervision.folder import FolderError

BYTES_MAX = 16_384
REQUIREMENTS_MAX = 50
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_EXTRAS = r"(\[[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*\])?"
_VERSION = r"[0-9][A-Za-z0-9._+!-]{0,60}"
_LINE = re.compile(rf"(?P<name>{NAME.pattern})(?P<extras>{_EXTRAS})[ \t]*==[ \t]*(?P<version>{_VERSION})")
_REMEDY = "write NAME==VERSION, such as `ta==0.11.0`"
# What is refused by name, in the order in which it is looked for; all else is simply no such line.
_REFUSED = (
    (re.compile(r"-e\b|--editable\b"), "an editable checkout runs code of its own while it is installed"),
    (re.compile(r"-[rc]\b|--requirement\b|--constraint\b"), "another file is not read"),
    (re.compile(r"-|.*\s--"), "options of pip are the officers'"),
    (re.compile(r".*(://|@)|(git|hg|svn|bzr)\+"), "packages come from the officers' index, not from an address"),
    (re.compile(r".*\\$"), "a line is one requirement: it is not continued"),
    (re.compile(r"[./~]|.*[/\\]|.*\.(whl|zip|gz|tgz|bz2|xz)$"), "packages come from the officers' index, not from a file"),
    (re.compile(r".*;"), "conditions are not taken: this desk has one Python on one system"),
    (re.compile(r".*\$"), "variables are not filled in"),
    (re.compile(r".*===|.*==.*\*"), "one exact version is meant"),
    (re.compile(rf"{NAME.pattern}{_EXTRAS}[ \t]*($|[<>~!,]|=(?!=))"), "it names no exact version, and may be another thing tomorrow"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """One package in one version."""

    name: str  # canonical: pip sees TA_Lib, ta-lib and TA.Lib as one
    version: str
    extras: tuple[str, ...] = ()

    def line(self) -> str:
        """Return it as pip reads it."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}=={self.version}"


def canonical(name: str) -> str:
    """Return the one spelling of a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirements(content: bytes, file: str = "requirements.txt") -> tuple[Requirement, ...]:
    """Return what the file asks for, in one order; raise FolderError that names line, rule and remedy."""
    if len(content) > BYTES_MAX:
        raise FolderError(f"{file}: is over {BYTES_MAX >> 10} KB: name only what your strategy imports")
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        at = content[: error.start].count(b"\n") + 1
        raise FolderError(f"{file}: line {at}: has characters other than ASCII: {_REMEDY}") from None
    found: dict[str, Requirement] = {}
    for number, raw in enumerate(text.split("\n"), start=1):
        line = re.sub(r"(^|[ \t])#.*", "", raw.removesuffix("\r")).strip(" \t")
        if not line:
            continue
        requirement = _read_line(line, f"{file}: line {number}")
        if requirement.name in found:
            raise FolderError(f"{file}: line {number}: {requirement.name} stands there twice: name each once")
        found[requirement.name] = requirement
        if len(found) > REQUIREMENTS_MAX:
            raise FolderError(
                f"{file}: line {number}: more than {REQUIREMENTS_MAX} packages: name only what your strategy imports"
            )
    return tuple(sorted(found.values()))


def _read_line(line: str, place: str) -> Requirement:
    matched = _LINE.fullmatch(line)
    if matched is None:
        why = next((why for pattern, why in _REFUSED if pattern.match(line)), "is no requirement")
        raise FolderError(f"{place}: {_shown(line)}: {why}: {_REMEDY}")
    extras = tuple(sorted(part for part in matched["extras"].strip("[]").split(",") if part))
    return Requirement(canonical(matched["name"]), matched["version"], extras)


def _shown(line: str) -> str:
    shown = ascii(line)[1:-1]
    return f"`{shown}`" if len(shown) <= 60 else f"`{shown[:60]}…`"
