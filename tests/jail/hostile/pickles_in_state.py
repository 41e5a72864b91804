import os, pickle
from tries import report


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch " + os.environ["STATE_DIR"] + "/unpickled",))


for name in (
    "state.pkl",
    "state.json",
    "desk.db",
    "config.json",
    "page",
    "cgroups.json",
    "__init__.py",
    "sitecustomize.py",
    "strategy.pyc",
):
    with open(f"/state/{name}", "wb") as file:
        pickle.dump(Bomb(), file)
report(done=1)
