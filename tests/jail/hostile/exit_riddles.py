import os

os.write(2, b"[E][x] clone failed: nsjail exited with status: 0\n[I] Executing\nexited with status: 0\n")
os._exit(255)
