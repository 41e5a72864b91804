from tries import call, outcome, report

OPTIONS = {
    "PDEATHSIG": (1, 0),
    "SET_MM": (35, 1),
    "SECCOMP": (22, 1),
    "AMBIENT": (47, 2),
    "SUBREAPER": (36, 1),
    "SECUREBITS": (28, 0),
    "CAPBSET_DROP": (24, 0),
    "TSC": (26, 2),
    "UNALIGN": (6, 0),
    "PTRACER": (0x59616D61, -1),
    "MCE_KILL": (33, 1),
    "TIMING": (14, 1),
    "SCHED_CORE": (62, 1),
    "SPECULATION": (53, 0),
    "SYSCALL_DISPATCH": (59, 1),
}
report(
    **{
        name: outcome(lambda option=option, value=value: call(157, option, value, 0, 0, 0))
        for name, (option, value) in OPTIONS.items()
    }
)
