"""Runs tests as `python -m unittest` does, and tells of each in JUnit XML: `python -m pybots_unittest discover`.

For Django: `manage.py test --testrunner=pybots_unittest.DjangoRunner`. The report goes where PYBOTS_REPORT says.
Must work on every Python from 2.5 on, and changes neither what is printed nor the exit code.
"""
import os
import sys
import unittest
from xml.sax.saxutils import quoteattr

_Plain = getattr(unittest, "TextTestResult", None) or unittest._TextTestResult


class Result(_Plain):
    def __init__(self, *arguments, **options):
        _Plain.__init__(self, *arguments, **options)
        self.told = []

    def _tell(self, test, what, text=""):
        self.told.append((test.id(), what, text))

    def addSuccess(self, test):
        _Plain.addSuccess(self, test)
        self._tell(test, "")

    def addFailure(self, test, error):
        _Plain.addFailure(self, test, error)
        self._tell(test, "failure", self.failures[-1][1])

    def addError(self, test, error):
        _Plain.addError(self, test, error)
        self._tell(test, "error", self.errors[-1][1])

    def addSkip(self, test, reason):
        _Plain.addSkip(self, test, reason)
        self._tell(test, "skipped", str(reason))

    def addExpectedFailure(self, test, error):
        _Plain.addExpectedFailure(self, test, error)
        self._tell(test, "skipped", "expected to fail")

    def addUnexpectedSuccess(self, test):
        _Plain.addUnexpectedSuccess(self, test)
        self._tell(test, "failure", "it passes, and was expected to fail")

    def addSubTest(self, test, subtest, error):
        _Plain.addSubTest(self, test, subtest, error)
        if error is not None:
            text = "%s: %s" % (error[0].__name__, error[1])
            self._tell(subtest, "failure", text)
            # the one that it is part of is no success, and would not be told of
            self._tell(test, "failure", text)


def _plain(text):
    """What any encoding can write, and XML may hold."""
    if sys.version_info[0] == 2 and isinstance(text, str):
        text = text.decode("latin-1")
    text = text.encode("ascii", "backslashreplace").decode("ascii")
    return str("".join([c for c in text if c >= " " or c in "\n\t"]))


def _document(told):
    lines = ["<testsuite>"]
    for name, what, text in told:
        # a test's name may have dots in what is in brackets
        head = name.split("(")[0].split("[")[0].rstrip()
        klass = head.rpartition(".")[0]
        own = name[len(klass) + 1:] if klass else name
        lines.append("<testcase classname=%s name=%s>" % (quoteattr(klass), quoteattr(own)))
        if what:
            # what was raised stands last
            said = [line for line in text.splitlines() if line.strip()][-1:] or [""]
            lines.append("<%s message=%s/>" % (what, quoteattr(_plain(said[0]))))
        lines.append("</testcase>")
    lines.append("</testsuite>")
    return _plain("\n".join(lines))


def write(told):
    """Writes the report, if one is wanted: of each test its name, what it did (nothing: it passed), and why."""
    path = os.environ.get("PYBOTS_REPORT")
    if not path:
        return
    try:
        report = open(path, "w")
        try:
            report.write(_document(told))
        finally:
            report.close()
    except Exception:
        sys.stderr.write("pybots: the report can't be written: %s\n" % (sys.exc_info()[1],))


class Runner(unittest.TextTestRunner):
    resultclass = Result

    def run(self, test):
        result = unittest.TextTestRunner.run(self, test)
        write(result.told)
        return result


if not hasattr(unittest.TextTestRunner, "resultclass"):
    # before 2.7
    def _make(self):
        return Result(self.stream, self.descriptions, self.verbosity)

    Runner._makeResult = _make

try:
    from django.test.runner import DiscoverRunner
except Exception:
    pass
else:
    class DjangoRunner(DiscoverRunner):
        def get_resultclass(self):
            return Result

        def run_suite(self, suite, **options):
            result = DiscoverRunner.run_suite(self, suite, **options)
            if isinstance(result, Result):
                write(result.told)
            return result


if __name__ == "__main__":
    sys.argv[0] = "python -m pybots_unittest"
    unittest.main(module=None, testRunner=Runner)
