import os, signal

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("HOLDING", flush=True)
while True:
    try:
        if os.fork():
            os._exit(0) if os.getpid() != 1 else None
    except OSError:
        pass
