import unittest


class Fails(unittest.TestCase):
    def test_right(self):
        self.assertEqual(6 * 7, 42)

    def test_wrong(self):
        self.assertEqual(6 * 7, 43)


unittest.main(verbosity=2)
