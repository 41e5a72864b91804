import os, sys
from tries import report

report(
    names=sorted(set(os.environ) - {"JAIL_ROOT", "STATE_DIR", "VICTIM_UID", "ABSTRACT", "PORT"}),
    parent=os.getppid(),
    argv=sys.argv,
    writable=[path for path in sys.path if path and os.access(path, os.W_OK)],
    site=[name for name in sys.modules if "usercustom" in name],
)
