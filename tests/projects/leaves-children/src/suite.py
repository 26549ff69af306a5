"""Leaves two children: a true daemon, and one that holds on to the suite's output."""
import os
import signal
import sys
import time


def child(keep_output):
    if os.fork() != 0:
        return
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if not keep_output:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
    for _ in range(60):
        time.sleep(5)
        print("written after the suite ended", flush=True)
        with open("written-after-the-suite-ended", "a") as f:
            f.write("still here\n")
    os._exit(0)


child(keep_output=False)
child(keep_output=True)
# Both are well on their way.
time.sleep(1)
print("the suite has ended", flush=True)
sys.exit(0)
