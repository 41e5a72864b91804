import os, sys, threading

os.chdir("/state")
os.makedirs("real", exist_ok=True)
open("real/file", "w").close()


def race():
    """A link in the place of a link, of a folder and of a file, and each of them back, as fast as can be."""
    while True:
        for target in ("/etc", os.environ["STATE_DIR"], "real", "/dev/zero", "."):
            for step in (
                lambda: os.symlink(target, "next"),
                lambda: os.rename("next", "swapped"),
                lambda: os.rename("real", "away"),
                lambda: os.symlink(target, "real"),
                lambda: os.unlink("real"),
                lambda: os.rename("away", "real"),
                lambda: os.symlink("/etc/passwd", "real/next"),
                lambda: os.rename("real/next", "real/file"),
                lambda: open("real/next", "w").close(),
            ):
                try:
                    step()
                except OSError:
                    pass


for _ in range(2):
    threading.Thread(target=race, daemon=True).start()
print("HOLDING", flush=True)
for _ in sys.stdin:
    pass
