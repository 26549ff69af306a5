print("eating", flush=True)
eaten = []
for _ in range(512):
    eaten.append(bytearray(b"x" * (1 << 20)))
print("ate 512 MiB: there was no limit", flush=True)
