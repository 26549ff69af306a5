import sys
import unittest


class Passes(unittest.TestCase):
    def test_arithmetic(self):
        self.assertEqual(6 * 7, 42)

    def test_in_an_environment_of_its_own(self):
        self.assertNotEqual(sys.prefix, sys.base_prefix)


unittest.main(verbosity=2)
