import os
import signal
import sys
import time

# Each child is a bomb too, two levels deep: bounded, should nothing else bound it.
CHILDREN = 300
GRANDCHILDREN = 3


def linger():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(120)
    os._exit(0)


def child():
    for _ in range(GRANDCHILDREN):
        try:
            if os.fork() == 0:
                linger()
        except OSError:
            pass
    linger()


for number in range(CHILDREN):
    try:
        if os.fork() == 0:
            child()
    except OSError as error:
        # The children are still there when this process ends.
        sys.exit(f"fork refused after {number} children: {error}")
    time.sleep(0.01)
sys.exit("there was no limit")
