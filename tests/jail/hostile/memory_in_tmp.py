from tries import outcome, report


def fill():
    for number in range(100):
        with open(f"/tmp/{number}", "wb") as file:
            file.write(bytes(4 << 20))


report(tmp=outcome(fill))
kept = []
while True:
    kept.append(bytearray(b"x") * (4 << 20))
