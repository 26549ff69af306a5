import signal
import threading

# A polite request does not end it.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = threading.Lock()
lock.acquire()
print("waiting for a lock that nobody releases", flush=True)
lock.acquire()
print("got the lock")
