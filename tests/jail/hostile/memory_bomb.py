kept = []
while True:
    kept.append(bytearray(b"x") * (4 << 20))
