import sys

PER_WRITE = 8192
WRITES = 1024
FILLER = "x" * (128 - len("line 00000000 ") - 1)

write = sys.stdout.write
write("the first line of the flood\n")
number = 0
for _ in range(WRITES):
    write("".join(f"line {number + i + 1:08} {FILLER}\n" for i in range(PER_WRITE)))
    number += PER_WRITE
write("the last line of the flood\n")
