#!/bin/sh
# Runs the desk's Python as the desk's user with the unit's rights, below a cgroup as the unit has it: `as_desk.sh -m pytest
# tests/jail`. RIGHTS= (empty) takes every capability away: one uid for all. PROC_SUBSET=all lets it see the kernel's own
# counts, which the unit hides and tests of exhaustion read.
set -eu
[ -e /etc/systemd/system/deskd.service ] || sh tests/testbed/guest/install.sh
rights=${RIGHTS-CAP_SETUID CAP_SETGID CAP_CHOWN}
mkdir -p /run/deskd /var/lib/deskd var
chown deskd:deskd /var/lib/deskd var
exec systemd-run --quiet --wait --pipe --collect --working-directory=/srv/share \
    --uid=deskd --gid=deskd --setenv=HOME=/var/lib/deskd --setenv=PYTHONDONTWRITEBYTECODE=1 --setenv=DESKD_TEST_SLOWNESS=10 \
    -p UMask=0027 -p NoNewPrivileges=yes -p "Delegate=cpu memory pids" -p OOMPolicy=continue -p OOMScoreAdjust=-500 \
    -p LimitCORE=1 -p LimitNOFILE=65536 -p LimitNPROC=infinity -p TasksMax=16384 \
    -p "AmbientCapabilities=$rights" -p "CapabilityBoundingSet=$rights" \
    -p ProtectSystem=strict -p ReadWritePaths=/srv/share/var -p ReadWritePaths=/var/lib/deskd -p ProtectHome=yes \
    -p PrivateTmp=yes -p PrivateDevices=yes -p PrivateIPC=yes -p PrivateMounts=yes -p KeyringMode=private \
    -p ProtectClock=yes -p ProtectKernelModules=yes -p ProtectKernelTunables=yes -p ProtectKernelLogs=yes \
    -p "ProcSubset=${PROC_SUBSET:-pid}" -p ProtectProc=invisible -p RestrictSUIDSGID=yes -p LockPersonality=yes \
    -p RestrictRealtime=yes -p SystemCallArchitectures=native \
    -p "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK" \
    -p "RestrictNamespaces=user mnt pid net ipc uts cgroup" \
    -p "SystemCallFilter=@system-service @mount @sandbox sethostname" \
    -p "SystemCallFilter=~io_uring_setup io_uring_enter io_uring_register" -p SystemCallErrorNumber=EPERM \
    /opt/deskd/venv/bin/python "$@"
