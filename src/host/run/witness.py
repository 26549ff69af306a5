# Leaves the version of the interpreter that a suite runs on, once, for the host to compare. Must
# work on every Python from 2.5 on and must never disturb what it watches.
import os
import sys

try:
    _path = os.environ.get("PYBOTS_WITNESS")
    if _path and not os.path.exists(_path):
        _file = open(_path, "w")
        _file.write(" ".join(sys.version.split()))
        _file.close()
except Exception:
    pass
