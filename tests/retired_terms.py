#!/usr/bin/env python3
"""Finds words that docs/glossary.md has replaced, in code, documents, pages and help texts.

    tests/retired_terms.py [PATH..]

Prints a line for each place and exits with 1 if there is one. Without a PATH it looks at everything that the
repository holds, except for local names in tests and benchmarks (`NOT_BY_DEFAULT`). `RETIRED` says what to write instead, `EXCEPTIONS` where a word may stand, and why.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A pattern, and what to write instead. Patterns ignore case and match whole words; `_` separates words in names.
RETIRED = [
    (r"check-?ins?|checkins?", "revision"),
    (r"inquir(y|ies|ed|es|e)", "investigation"),
    (r"breakages?", "regression"),
    (r"mend(s|ed|ing)?|unmended", "fix"),
    (r"repair(s|ed|ing)?", "fix"),
    (r"stretch(es)?", "range"),
    (r"wish(es|ed)?", "request"),
    (r"nois(e|y|ier)", "flakiness, flaky"),
    (r"kept locks?", "pinned lock"),
    (r"quiet until", "suppressed until"),
    (r"offer(s|ed|ing)?", "capabilities; reports; accepts"),
    (r"lanes?", "build tree"),
    (r"told|tells?|telling", "name what is shown or returned; say, report, state, inform"),
    (r"said", "name what is shown or returned; reported, stated"),
    (r"known", "history, an entry, or the concrete subject"),
    (r"standings?", "run verdict, or a concrete name"),
    (r"check(s|ed)? in", "commit"),
    (r"bits of chance", "random bits"),
    (r"of late", "recently"),
    (r"comes? of it", "results"),
    (r"as far as", "if, up to, that"),
    (r"owner's say", "host policy"),
]

# A path (a prefix), a pattern of the line, and the reason.
EXCEPTIONS = [
    ("src/store/migrations/000", r".", "released migrations never change"),
    ("src/store/migrations/0009", r".", "names what it renames"),
    ("tests/retired_terms.py", r".", "this list"),
    ("tests/fixtures/store-0008", r".", "a store of the version before"),
    ("docs/glossary.md", r"known failure", "the key of a recipe"),
    ("", r"known[ _-]failures?|KnownFailures?", "the key `known_failure` of a recipe"),
    ("", r"known[ _-]regressions?|KnownRegressions?", "regressions that are open, as the glossary defines"),
    ("", r"\bunknown\b", "another word"),
    ("images/", r"\.well-known", "a folder of CPython"),
    ("src/domain/retention.rs", r'"lane"', "a label that engines hold since version 0.1"),
    ("", r"pybots-lane|lane-of|\"lane\"", "a volume name that engines hold since version 0.1"),
    ("", r"org\.pybots\.lane-of|org\.pybots\.kind.{1,4}lane", "a label that engines hold since version 0.1"),
    ("CHANGELOG.md", r"`(breakages|put_to|again_of|offer)`", "names what was renamed"),
    ("Cargo.lock", r".", "names of other people's packages"),
    ("LICENSE", r".", "a licence"),
]

# Local names in there are nobody's vocabulary. Name the path to see them.
NOT_BY_DEFAULT = ("tests/", "benches/")

SUFFIXES = {".rs", ".md", ".hbs", ".sql", ".toml", ".py", ".sh", ".css", ".js", ""}


def pattern(text):
    spaced = text.replace(" ", "[ _-]")
    return re.compile(rf"(?<![A-Za-z])(?:{spaced})(?![A-Za-z])", re.IGNORECASE)


def words(line):
    """The line with the parts of CamelCase names set apart, so that `InquiryRow` is two words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", line)


def files(arguments):
    listed = subprocess.run(["git", "ls-files", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not arguments and name.startswith(NOT_BY_DEFAULT):
            continue
        if path.suffix in SUFFIXES and path.is_file():
            yield name, path


def main(arguments):
    retired = [(pattern(text), instead) for text, instead in RETIRED]
    excepted = [(prefix, re.compile(text, re.IGNORECASE)) for prefix, text, _ in EXCEPTIONS]
    found = 0
    for name, path in files(arguments):
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        rules = [rule for prefix, rule in excepted if name.startswith(prefix)]
        for number, line in enumerate(lines, 1):
            left = line
            for rule in rules:
                left = rule.sub("", left) if rule.pattern != "." else ""
            for expression, instead in retired:
                for match in expression.finditer(words(left)):
                    found += 1
                    print(f"{name}:{number}: {match[0]!r}: write {instead}")
    print(f"{found} retired terms")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
