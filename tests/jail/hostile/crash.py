import ctypes, resource
from tries import report

report(core=resource.getrlimit(resource.RLIMIT_CORE)[1])
ctypes.string_at(0)
