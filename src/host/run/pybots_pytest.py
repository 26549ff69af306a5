"""A plugin that records the results of pytest's tests, by the names that its JUnit XML has.

Works with every pytest from 3 on. Workers of xdist don't record: the process that controls them gets their reports.
"""
import functools

import pytest

import pybots_results

_hook = getattr(pytest, "hookimpl", lambda **_: lambda function: function)


def _guarded(function):
    """Keeps an error of the recorder from the tests."""

    @functools.wraps(function)
    def guarded(self, *arguments):
        try:
            function(self, *arguments)
        except Exception:
            pass

    return guarded


def _name(address):
    """Returns what `classname.name` is in JUnit XML: `tests/test_a.py::Class::test[1/2]` is `tests.test_a.Class.test[1/2]`."""
    path, bracket, parameters = pybots_results.text(address).partition("[")
    names = path.split("::")
    if "()" in names:
        names.remove("()")
    names[0] = names[0].replace("/", ".")
    if names[0].endswith(".py"):
        names[0] = names[0][:-3]
    name = names.pop() + bracket + parameters
    group = ".".join(names)
    return group and group + "." + name or name


def _reason(report):
    """Returns why a test was skipped, or was expected to fail."""
    if hasattr(report, "wasxfail"):
        return pybots_results.summary(_without(pybots_results.text(report.wasxfail), "reason: "))
    reason = report.longrepr
    if isinstance(reason, tuple):
        reason = reason[2]
    return pybots_results.summary(_without(pybots_results.text(reason), "Skipped: "))


def _without(reason, prefix):
    if reason.startswith(prefix):
        return reason[len(prefix):]
    return reason


def _failure(longrepr):
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        return pybots_results.summary(crash.message)
    lines = [line for line in pybots_results.text(longrepr).splitlines() if line.strip()]
    # errors of collection and of fixtures mark what they say
    marked = [line[2:] for line in lines if line.startswith("E ")]
    return ((marked or lines)[-1:] or [""])[0].strip()


def _subtest(report):
    """Returns what distinguishes a subtest from its test, or None if the report is that of a test."""
    context = getattr(report, "context", None)
    if context is None or not hasattr(context, "kwargs"):
        return None
    for name in ("_sub_test_description", "sub_test_description"):
        if hasattr(report, name):
            return getattr(report, name)()
    parts = []
    if context.msg is not None:
        parts.append("[%s]" % (context.msg,))
    if context.kwargs:
        parts.append("(%s)" % ", ".join(["%s=%r" % pair for pair in context.kwargs.items()]))
    return " ".join(parts) or "(<subtest>)"


class Recorder(object):
    def __init__(self, recording, session):
        self._recording = recording
        self._session = session

    @_hook(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid, location):
        self._start(nodeid)

    # pytest itself finds only as it reports a test that one of its subtests failed
    @_hook(trylast=True)
    def pytest_runtest_logreport(self, report):
        self._report(report)

    @_hook(tryfirst=True)
    def pytest_collectreport(self, report):
        self._collected(report)

    @_hook(tryfirst=True)
    def pytest_internalerror(self, excrepr):
        self._internal(excrepr)

    @_hook(trylast=True)
    def pytest_unconfigure(self, config):
        self._end()

    @_guarded
    def _start(self, nodeid):
        self._recording.run(_name(nodeid))

    @_guarded
    def _report(self, report):
        name = _name(report.nodeid)
        subtest = _subtest(report)
        if subtest is not None:
            if report.outcome == "failed":
                self._recording.test(name + " " + subtest, "failed", _failure(report.longrepr))
        elif report.outcome == "failed":
            message = _failure(report.longrepr)
            if report.when in ("setup", "teardown"):
                message = "failed on %s: %s" % (report.when, message)
            self._recording.test(name, "failed", message)
        elif report.outcome == "skipped" and report.when in ("setup", "call"):
            self._recording.test(name, "skipped", _reason(report))
        elif report.outcome == "passed" and report.when == "call":
            self._recording.test(name, "passed")

    @_guarded
    def _collected(self, report):
        if report.outcome == "failed":
            self._recording.test(_name(report.nodeid), "failed", _failure(report.longrepr))
        elif report.outcome == "skipped":
            self._recording.test(_name(report.nodeid), "skipped", _reason(report))

    @_guarded
    def _internal(self, error):
        self._recording.test("pytest.internal", "failed", _failure(error))

    @_guarded
    def _end(self):
        self._recording.end(int(self._session.exitstatus))


@_hook(tryfirst=True)
def pytest_sessionstart(session):
    """Begins to record. `--version`, `--help` and wrong usage have no session."""
    try:
        config = session.config
        if hasattr(config, "workerinput") or hasattr(config, "slaveinput"):
            return
        recording = pybots_results.begin("pytest")
        if recording is not None:
            config.pluginmanager.register(Recorder(recording, session), "pybots_recorder")
    except Exception:
        pass
