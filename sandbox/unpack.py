"""Unpacks wheels inside a jail: `python unpack.py WHEELS SITE MB_MAX`. What lies in them is as hostile as a member's code.

A wheel is a zip: names may lead out of the folder, be links, or unpack to more than a disk holds. So each name is judged,
bytes are counted as they come (what a header says of them is a claim), and only modules are kept: no scripts, no headers,
no data for other places. Nothing of a wheel is run; afterwards its modules are compiled.
"""

from __future__ import annotations

import os
import stat
import sys
import zipfile

FILES_MAX = 20_000  # of one strategy's own packages; the six of the shared list have 5,000
NAME_MAX = 400
CHUNK = 1 << 20


class Refused(Exception):
    """A wheel that is not unpacked. The text names the wheel, what is wrong in it and the rule."""


def place_of(wheel: str, info: zipfile.ZipInfo) -> str | None:
    """Return where the entry goes below the site, None where it is left out; raise Refused."""
    name = info.filename
    parts = name.split("/")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Refused(f"{wheel}: {ascii(name)[:100]}: is a link: a wheel has plain files")
    if name.endswith("/"):
        return None
    if (
        name.startswith("/")
        or "\\" in name
        or "\0" in name
        or not name.isprintable()
        or len(name) > NAME_MAX
        or any(part in ("", ".", "..") or len(os.fsencode(part)) > 255 for part in parts)
    ):
        raise Refused(f"{wheel}: {ascii(name)[:100]}: leads out of the package or is no plain name")
    if parts[0].endswith(".data"):  # of the wheel format: files for other places
        return "/".join(parts[2:]) if len(parts) > 2 and parts[1] in ("purelib", "platlib") else None
    return name


def unpack(path: str, site: str, room: int, files: int) -> tuple[int, int]:
    """Unpack one wheel within *room* bytes and *files* files; return what is left of both."""
    wheel = os.path.basename(path)  # noqa: PTH119  this file imports as little as it can
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                files -= 1
                if files < 0:
                    raise Refused(f"{wheel}: with it there are more than {FILES_MAX} files")
                place = place_of(wheel, info)
                if place is None:
                    continue
                target = os.path.join(site, place)  # noqa: PTH118
                os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
                with archive.open(info) as source, open(target, "xb") as kept:  # noqa: PTH123
                    while chunk := source.read(CHUNK):
                        room -= len(chunk)
                        if room < 0:
                            raise Refused(
                                f"{wheel}: unpacked it needs more than is allowed ([sandbox] requirements_mb)"
                            )
                        kept.write(chunk)
    except FileExistsError as error:
        raise Refused(f"{wheel}: {ascii(error.filename)[:100]}: another wheel has a file of that name") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise Refused(f"{wheel}: cannot be unpacked ({ascii(str(error))[1:-1][:200]})") from None
    return room, files


def main(arguments: list[str]) -> int:
    """Unpack all wheels, then compile what came out."""
    wheels, site, mb_max = arguments[0], arguments[1], int(arguments[2])
    room, files = mb_max << 20, FILES_MAX
    os.mkdir(site)  # noqa: PTH102
    try:
        for name in sorted(os.listdir(wheels)):  # noqa: PTH208
            room, files = unpack(os.path.join(wheels, name), site, room, files)  # noqa: PTH118
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    import compileall

    compileall.compile_dir(site, quiet=2, stripdir=site, prependdir="/packages/own", maxlevels=40)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
