import unittest

import toy


class Toy(unittest.TestCase):
    def test_answer(self):
        self.assertEqual(toy.answer(), 42)

    def test_that_fails_on_each_revision(self):
        self.fail("as ever")
