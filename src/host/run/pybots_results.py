"""Records the results of tests as they end, as lines of JSON in a file of the folder PYBOTS_RESULTS.

What ended before a crash or a hang is kept, and what was under way has a name. Must work on every Python from 2.5 on,
and changes neither the output nor the exit code of what it records.
"""
import binascii
import functools
import os
import sys

_NAME = 4000
_MESSAGE = 2000
_FILE = 24 << 20
# of the Unicode text type, which has another name on each side of Python 3
_Text = type("".encode("ascii").decode("ascii"))

_active = None


def text(value):
    """Returns the value as Unicode text, whatever it is."""
    if isinstance(value, _Text):
        return value
    try:
        value = str(value)
    except UnicodeError:
        # Python 2 can't write such an exception as bytes
        return _Text(value)
    if isinstance(value, _Text):
        return value
    return value.decode("latin-1")


def _lines(value):
    return [line.strip() for line in text(value).splitlines() if line.strip()] or [""]


TRACEBACK = "Traceback (most recent call last):"


def summary(value):
    """Returns the first line that is not blank. Of one that only begins a traceback, as of a program that failed, the last line says more."""
    lines = _lines(value)
    if lines[0].endswith(TRACEBACK) and len(lines) > 1:
        return lines[0][:-len(TRACEBACK)] + lines[-1]
    return lines[0]


def describe(error):
    """Returns an exception as the last line of a traceback has it, or the first line of another text."""
    if isinstance(error, tuple):
        error = error[1]
    # a failure of Twisted has its exception there
    inner = getattr(error, "value", None)
    if isinstance(inner, BaseException):
        error = inner
    if not isinstance(error, BaseException):
        return summary(error)
    kind = text(error.__class__.__name__)
    try:
        lines = _lines(error)
    except Exception:
        return kind + ": <exception str() failed>"
    if TRACEBACK in lines:
        # a module that can't be imported: the text has its exception
        return lines[-1]
    return lines[0] and kind + ": " + summary(error) or kind


def _quoted(value):
    """Returns a JSON string in ASCII. Python 2.5 has no module json."""
    units = []
    for character in value:
        number = ord(character)
        if number > 0xFFFF:
            number -= 0x10000
            units.extend([0xD800 + (number >> 10), 0xDC00 + (number & 0x3FF)])
        else:
            units.append(number)
    written = []
    pair = False
    for place, unit in enumerate(units):
        if unit in (0x22, 0x5C):
            written.append("\\" + chr(unit))
        elif 0x20 <= unit < 0x7F:
            written.append(chr(unit))
        elif pair:
            pair = False
            written.append("\\u%04x" % unit)
        elif 0xD800 <= unit < 0xE000:
            after = units[place + 1:place + 2] or [0]
            pair = unit < 0xDC00 and 0xDC00 <= after[0] < 0xE000
            # half a pair is no text in JSON: the name shows the escape itself
            written.append((pair and "\\u%04x" or "\\\\u%04x") % unit)
        else:
            written.append("\\u%04x" % unit)
    return '"' + "".join(written) + '"'


class Session(object):
    """One run of a test runner, and the file that it writes. Every line is one write: no lock, and no line in two."""

    def __init__(self, folder):
        # tests replace these functions by their own, some without an end
        self._getpid, self._write, self._fstat, self._open = os.getpid, os.write, os.fstat, os.open
        self._pid = self._getpid()
        self._size = 0
        self._full = False
        name = "%d-%s.jsonl" % (self._pid, binascii.hexlify(os.urandom(6)).decode("ascii"))
        self._path = os.path.join(os.path.abspath(folder), name)
        self._flags = os.O_WRONLY | os.O_APPEND
        self._number = _aside(os.open(self._path, self._flags | os.O_CREAT | os.O_EXCL, 438))
        self._identity = self._identify()

    def _identify(self):
        status = self._fstat(self._number)
        return status.st_dev, status.st_ino

    def _ready(self):
        """Opens the file again if a test closed it. Another file may have its number by now."""
        try:
            if self._identify() == self._identity:
                return
        except OSError:
            pass
        self._number = _aside(self._open(self._path, self._flags))

    def _line(self, line, last=False):
        if self._number is None or self._getpid() != self._pid:
            return
        line = (line + "\n").encode("ascii")
        if self._size + len(line) > _FILE and not last:
            if self._full:
                return
            self._full = True
            line = '{"cut": true}\n'.encode("ascii")
        elif self._full and not last:
            return
        try:
            self._ready()
            self._size += len(line)
            if self._write(self._number, line) == len(line):
                return
        except OSError:
            pass
        # the disk is full, for example
        self._number = None

    def begin(self, runner):
        """Records which runner begins, on which Python."""
        version = _quoted(text(" ".join(sys.version.split())))
        self._line('{"begin": %s, "python": %s}' % (_quoted(text(runner)), version))

    def run(self, name):
        """Records that a test starts."""
        self._line('{"run": %s}' % _quoted(text(name)[:_NAME]))

    def test(self, name, result, message=""):
        """Records that a test passed, failed or was skipped."""
        message = text(message)[:_MESSAGE]
        message = message and ', "message": ' + _quoted(message)
        self._line('{"test": %s, "result": "%s"%s}' % (_quoted(text(name)[:_NAME]), result, message))

    def end(self, status=None):
        """Ends the session. Without an exit status, it did not end in an orderly way."""
        global _active
        if self._getpid() != self._pid:
            return
        if status is not None:
            self._line('{"end": %d}' % status, True)
        if self._number is not None:
            try:
                self._ready()
                os.close(self._number)
            except OSError:
                pass
            self._number = None
        _active = None
        try:
            os.unlink(_mark(self._pid))
        except OSError:
            pass


def _aside(number):
    """Moves an open file out of the numbers that tests count on; children don't get it."""
    try:
        import fcntl

        moved = fcntl.fcntl(number, fcntl.F_DUPFD, 200)
        os.close(number)
        number = moved
        fcntl.fcntl(number, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    except Exception:
        pass
    return number


def _mark(pid):
    """Returns the file by which a process says that it records. It is no variable: tests compare their environment."""
    return "%s:%d" % (os.environ.get("PYBOTS_RESULTS", "").rstrip("/"), pid)


def _is_recorded_by_parent():
    """Returns whether a process above this one records already."""
    pid = os.getpid()
    for _ in range(64):
        try:
            stat = open("/proc/%d/stat" % pid)
            try:
                pid = int(stat.read().rpartition(")")[2].split()[1])
            finally:
                stat.close()
        except (IOError, OSError, ValueError, IndexError):
            return False
        if pid <= 0:
            return False
        if os.path.exists(_mark(pid)):
            return True
    return False


def begin(runner):
    """Begins a session. Returns None if nothing is to be recorded, or if this process or a parent records already."""
    global _active
    try:
        folder = os.environ.get("PYBOTS_RESULTS")
        if not folder or _is_recorded_by_parent():
            return None
        if _active is not None and _active._pid == os.getpid():
            return None
        if not os.path.isdir(folder):
            try:
                os.makedirs(folder)
            except OSError:
                pass
        session = Session(folder)
        session.begin(runner)
        try:
            open(_mark(os.getpid()), "w").close()
        except (IOError, OSError):
            pass  # a run within this one is recorded, too
        _active = session
        return session
    except Exception:
        return None


# the result that a call of a method reports
MEANINGS = {
    "addSuccess": "passed",
    "addFailure": "failed",
    "addError": "failed",
    "addSkip": "skipped",
    "addExpectedFailure": "skipped",
    "addUnexpectedSuccess": "failed",
}
_EXPECTED = "expected to fail"
_UNEXPECTED = "it passes, but was expected to fail"


def _started(session, test, *_):
    session.run(test.id())


def _ended(session, name, meanings, test, *details):
    message = ""
    if name == "addUnexpectedSuccess":
        message = _UNEXPECTED
    elif name == "addExpectedFailure":
        message = _EXPECTED
    elif details:
        message = describe(details[0])
    if name == "addSkip":
        # a test with a skipped subtest gets no call of its own
        test = getattr(test, "test_case", test)
    session.test(test.id(), meanings[name], message)


def _subtest(session, test, subtest, error=None, *_):
    if error is not None:
        session.test(subtest.id(), "failed", describe(error))
        # the test that it belongs to is no success, and gets no call of its own
        session.test(test.id(), "failed", describe(error))


def _add(result, name, record):
    plain = getattr(result, name, None)
    if plain is None:
        return

    def recorded(*arguments, **options):
        try:
            record(*arguments)
        except Exception:
            # a test without an id can't be compared
            pass
        return plain(*arguments, **options)

    setattr(result, name, recorded)


def watch_result(session, result, meanings=MEANINGS):
    """Records the calls of this one result. Results that tests make for themselves stay as they are."""
    try:
        _add(result, "startTest", functools.partial(_started, session))
        _add(result, "addSubTest", functools.partial(_subtest, session))
        for name in meanings:
            _add(result, name, functools.partial(_ended, session, name, meanings))
    except Exception:
        pass


def _unwatch(result):
    for name in list(MEANINGS) + ["startTest", "addSubTest"]:
        getattr(result, "__dict__", {}).pop(name, None)


def _status(result, caller):
    if not result.wasSuccessful():
        return 1
    ran = getattr(result, "testsRun", 1) or getattr(result, "skipped", None)
    if not ran and caller == "unittest.main" and sys.version_info >= (3, 12):
        return 5
    return 0


def _watched(plain):
    @functools.wraps(plain)
    def run(self, *arguments, **options):
        session = begin("unittest")
        if session is None:
            return plain(self, *arguments, **options)

        make = self._makeResult

        def first(*arguments, **options):
            self.__dict__.pop("_makeResult", None)
            result = make(*arguments, **options)
            watch_result(session, result)
            return result

        try:
            try:
                self._makeResult = first
            except Exception:
                pass
            result = plain(self, *arguments, **options)
        except:
            session.end()
            raise
        try:
            _unwatch(result)
            session.end(_status(result, sys._getframe(1).f_globals.get("__name__")))
        except Exception:
            session.end()
        return result

    run.pybots = True
    return run


def watch_unittest():
    """Makes the outermost `TextTestRunner.run` of the process record. Later calls change nothing."""
    module = sys.modules.get("unittest.runner") or sys.modules.get("unittest")
    if module is None:
        import unittest as module
    runner = module.TextTestRunner
    plain = runner.__dict__["run"]
    if not getattr(plain, "pybots", False):
        runner.run = _watched(plain)
