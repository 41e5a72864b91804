#!/bin/sh
# The tests of real jails, as the desk's user. Arguments go to pytest; RIGHTS and PROC_SUBSET: see as_desk.sh.
exec sh tests/testbed/guest/as_desk.sh -m pytest -q --color=no -p no:cacheprovider -p no:randomly -p no:hypothesispytest \
    -o timeout=300 "$@"
