"""Runs tests as `trial` does, and records their results: `python -m pybots_trial twisted`.

Must work with every Twisted that has trial, on every Python from 2.5 on. With `-j`, the workers report to the process
that this runs in. Changes neither the output nor the exit code.
"""
import sys

import pybots_results
from twisted.scripts import trial

_MEANINGS = dict(pybots_results.MEANINGS)
# trial ignores these
_MEANINGS["addUnexpectedSuccess"] = "skipped"

_session = None


def _watch(config):
    """Records the calls of the reporters of this run, and not of those that the tests make for themselves."""
    global _session
    plain = config["reporter"]
    _session = pybots_results.begin("trial")

    def reporter(*arguments, **options):
        made = plain(*arguments, **options)
        pybots_results.watch_result(_session, made, _MEANINGS)
        return made

    if _session is not None:
        config["reporter"] = reporter
        _watch_workers()


def _watch_workers():
    """With `-j`, trial calls the reporter only when a test has ended."""
    try:
        from twisted.trial._dist.distreporter import DistReporter
    except Exception:
        return
    plain = DistReporter.startTest

    def start(self, test):
        try:
            _session.run(test.id())
        except Exception:
            pass
        return plain(self, test)

    DistReporter.startTest = start


def _run():
    make = trial._makeRunner

    def runner(config):
        try:
            _watch(config)
        except Exception:
            pass
        return make(config)

    trial._makeRunner = runner
    try:
        trial.run()
    except SystemExit:
        _end(sys.exc_info()[1].code)
        raise
    _end(0)


def _end(status):
    if _session is not None:
        # True is 1, and a text goes to standard error
        _session.end(int(isinstance(status, str) or status or 0))


if __name__ == "__main__":
    sys.argv[0] = "trial"
    _run()
