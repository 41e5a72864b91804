import os
from tries import call, tries

tries(
    setuid=lambda: os.setuid(0),
    setresuid=lambda: os.setresuid(0, 0, 0),
    setgid=lambda: os.setgid(0),
    groups=lambda: os.setgroups([0, 4]),
    fsuid=lambda: call(122, 0),
    capset=lambda: call(126, 0, 0),
    su=lambda: os.execv("/bin/su", ["su"]),
    sudo=lambda: os.execv("/usr/bin/sudo", ["sudo"]),
    other=lambda: os.setuid(int(os.environ["VICTIM_UID"])),
    who=lambda: os.geteuid() == 0,
)
