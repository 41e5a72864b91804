#!/bin/sh
# An installation in the bed, as an officer makes it, but for the packages: they are in the image. Runs as root in
# /srv/share. Called again it upgrades.
set -eu
packages=/opt/packages/site-packages
if [ ! -d $packages ]; then
    mkdir -p /opt/packages
    mv /opt/deskd/venv/lib/python3.13/site-packages $packages
    rm -rf /opt/deskd
fi
PACKAGES=$packages tools/install.sh install
echo 'u alice - "A member"' | systemd-sysusers -
mkdir -p /srv/deskd
chmod -R go+rX /srv/share
