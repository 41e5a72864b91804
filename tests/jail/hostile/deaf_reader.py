import time

print("HOLDING", flush=True)
while True:
    time.sleep(60)
