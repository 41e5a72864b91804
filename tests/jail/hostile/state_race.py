import os, sys, threading

os.chdir("/state")
os.makedirs("real", exist_ok=True)
open("real/file", "w").close()


def race():
    while True:
        for target in ("/etc", os.environ["STATE_DIR"], "real", "/dev/zero", "."):
            try:
                os.symlink(target, "next")
                os.rename("next", "swapped")
            except OSError:
                pass


for _ in range(2):
    threading.Thread(target=race, daemon=True).start()
print("HOLDING", flush=True)
for _ in sys.stdin:
    pass
