"""How long a test waits for what must come: the guard ends a hang, and judges no pace.

A machine on which others work, or the test bed's slow kernel, may need many times what a quiet one needs. Where the time
itself is the guarantee, the test says its own figure.
"""

HANG_S = 120.0  # two fit into the 300 s after which pytest-timeout ends a test and prints every stack
