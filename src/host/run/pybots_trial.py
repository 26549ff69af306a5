"""Runs tests as `trial` does, and tells of each in JUnit XML: `python -m pybots_trial twisted`.

Must work with every Twisted that has trial, on every Python from 2.5 on; also with `-j`, whose workers tell the process
that this runs in. Changes neither what is printed nor the exit code.
"""
import atexit
import sys

import pybots_unittest
from twisted.trial import reporter

_told = []


def _text(said):
    """Of what trial is told of a failure: an exception with its place, a word why it is skipped."""
    value = said[0] if said else ""
    if isinstance(value, tuple):
        value = value[1]
    value = getattr(value, "value", value)
    if isinstance(value, BaseException):
        return "%s: %s" % (value.__class__.__name__, value)
    return str(value)


def _telling(name, what):
    plain = getattr(reporter.TestResult, name)

    def add(self, test, *said, **more):
        try:
            _told.append((test.id(), what, what and _text(said)))
        except Exception:
            # a test that can't say its name is none that can be compared
            pass
        return plain(self, test, *said, **more)

    setattr(reporter.TestResult, name, add)


for _name, _what in [
    ("addSuccess", ""),
    ("addFailure", "failure"),
    ("addError", "error"),
    ("addSkip", "skipped"),
    ("addExpectedFailure", "skipped"),
    # trial lets them pass
    ("addUnexpectedSuccess", "skipped"),
]:
    _telling(_name, _what)


if __name__ == "__main__":
    from twisted.scripts.trial import run

    atexit.register(pybots_unittest.write, _told)
    sys.argv[0] = "trial"
    run()
