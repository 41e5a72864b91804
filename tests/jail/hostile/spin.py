import os

for _ in range(3):
    if os.fork() == 0:
        break
print("HOLDING", flush=True) if os.getpid() == 1 else None
while True:
    pass
