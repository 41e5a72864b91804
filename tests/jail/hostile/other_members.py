import os
from tries import outcome, report

root = os.environ["JAIL_ROOT"]
paths = [
    f"{root}/code/victim",
    f"{root}/state/victim",
    f"{root}/run/{os.environ['VICTIM_UID']}/order.sock",
    "/strategy/../victim",
    "/state/../victim",
    f"/run/{os.environ['VICTIM_UID']}",
    f"/run/desk/../{os.environ['VICTIM_UID']}/order.sock",
]
report(
    **{path: outcome(lambda path=path: os.stat(path) and "there") for path in paths},
    list=outcome(lambda: ",".join(os.listdir("/run/desk"))),
)
