#!/bin/sh
# The tests of real jails, as the desk's user with the unit's rights below the unit's cgroup. Arguments go to pytest.
set -eu
sh tests/testbed/guest/install.sh
mkdir -p /run/deskd /var/lib/deskd
exec systemd-run --quiet --wait --pipe --collect --working-directory=/srv/share \
    --uid=deskd --gid=deskd --setenv=HOME=/var/lib/deskd --setenv=PYTHONDONTWRITEBYTECODE=1 \
    -p UMask=0027 -p NoNewPrivileges=yes -p "Delegate=cpu memory pids" -p OOMPolicy=continue -p LimitCORE=1 \
    -p "AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_CHOWN" \
    -p "CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_CHOWN" \
    -p ProtectSystem=strict -p PrivateTmp=yes -p PrivateDevices=yes -p ProtectKernelTunables=yes -p ProcSubset=pid \
    -p ProtectProc=invisible -p RestrictSUIDSGID=yes -p LockPersonality=yes -p RestrictRealtime=yes \
    -p "SystemCallFilter=@system-service @mount @sandbox sethostname" \
    -p "SystemCallFilter=~io_uring_setup io_uring_enter io_uring_register" -p SystemCallErrorNumber=EPERM \
    /opt/deskd/venv/bin/python -m pytest -q --color=no -p no:cacheprovider -p no:randomly -o timeout=120 "$@"
