import os, time

if os.fork() == 0:
    os.setsid()
    while True:
        os.write(1, b"still here\n")
        time.sleep(0.001)
time.sleep(0.05)
os._exit(0)
