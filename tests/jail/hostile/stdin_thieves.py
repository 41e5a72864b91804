import os, sys

for _ in range(6):
    if os.fork() == 0:
        while os.read(0, 7):
            pass
        os._exit(0)
print("HOLDING", flush=True)
while os.read(0, 3):
    pass
