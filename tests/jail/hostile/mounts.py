import os
from tries import call, tries

tries(
    mount=lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, 0),
    remount=lambda: call(165, 0, b"/strategy", 0, 32 | 4096, 0),
    bind=lambda: call(165, b"/tmp", b"/strategy", 0, 4096, 0),
    umount=lambda: call(166, b"/strategy", 2),
    pivot=lambda: call(155, b"/tmp", b"/tmp"),
    chroot=lambda: os.chroot("/tmp"),
    fsopen=lambda: call(430, b"tmpfs", 0),
    fsmount=lambda: call(432, 3, 0, 0),
    open_tree=lambda: call(428, -100, b"/", 1),
    move_mount=lambda: call(429, 3, b"", 4, b"", 0),
    fspick=lambda: call(433, -100, b"/", 0),
    setattr=lambda: call(442, -100, b"/", 0, 0, 0),
    statmount=lambda: call(457, 0, 0, 0, 0),
    listmount=lambda: call(458, 0, 0, 0, 0),
    handle=lambda: call(304, 3, 0, 0),
)
