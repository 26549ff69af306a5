print("computing", flush=True)
number = 0
while True:
    number += 1
