#!/bin/sh
# The least of an installation, in the bed: user, environment, code, configuration, unit. Runs as root in /srv/share.
set -eu
systemd-sysusers --inline 'u deskd - "Trading desk" /var/lib/deskd' 'u alice - "A member"' 'g deskd-officers -' 2>/dev/null ||
    systemd-sysusers - <<'U'
u deskd - "Trading desk" /var/lib/deskd
u alice - "A member"
g deskd-officers -
U
python3 -m venv --without-pip /opt/deskd/venv
packages=/opt/deskd/venv/lib/python3.13/site-packages
mkdir -p /opt/deskd/app /etc/deskd /srv/deskd
cp -a deskd sandbox /opt/deskd/app/
echo /opt/deskd/app >$packages/deskd.pth
for name in deskd deskctl; do
    [ $name = deskd ] && module=deskd || module=deskd.cli.deskctl
    printf '#!/bin/sh\nexec /opt/deskd/venv/bin/python -P -m %s "$@"\n' $module >/opt/deskd/venv/bin/$name
    chmod 755 /opt/deskd/venv/bin/$name
done
for key in alpaca_key_id alpaca_secret_key; do install -m 600 /dev/null /etc/deskd/$key; done
cp deskd.service /etc/systemd/system/deskd.service
chmod -R go+rX /opt/deskd /srv/share
systemctl daemon-reload
