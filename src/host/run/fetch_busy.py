"""For the fetch phase: this machine's work on what strangers wrote. It has an end, and says what it is."""

import contextlib, signal

from fetch_net import RecipeError

READ_WITHIN = 60  # seconds, for texts of a source; they are at most 1 MiB each


class TooLong(Exception):
    """Work on a text of a stranger did not end within its time."""


@contextlib.contextmanager
def within(seconds):
    """Ends work in this thread that takes longer, by TooLong. Regular expressions and parsers in Python can be ended so."""
    def end(*_):
        raise TooLong(f"it takes longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def busy(work, doing, seconds=None):
    """Neither a source nor the index is awaited in here: this machine works on what they sent. WORK/.pybots/busy says so, for the host that
    ends the fetch meanwhile."""
    note = work / ".pybots" / "busy"
    note.parent.mkdir(exist_ok=True)
    note.write_text(doing)
    try:
        with within(seconds) if seconds else contextlib.nullcontext():
            yield
    except TooLong as e:
        raise RecipeError(f"{doing} does not end: {e}") from e
    finally:
        note.unlink(missing_ok=True)
