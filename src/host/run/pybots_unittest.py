"""Runs tests as `python -m unittest` does, and records their results: `python -m pybots_unittest discover`.

For Django: `manage.py test --testrunner=pybots_unittest.DjangoRunner`. `pybots_results` says what is recorded. Must work
on every Python from 2.5 on, and changes neither the output nor the exit code.
"""
import sys
import unittest

import pybots_results

# the witness has done so already, unless the interpreter started without it
pybots_results.watch_unittest()

try:
    from django.test.runner import DiscoverRunner as DjangoRunner
except Exception:
    pass


if __name__ == "__main__":
    sys.argv[0] = "python -m pybots_unittest"
    unittest.main(module=None)
