"""What a test changes to see a check-in make a difference."""


def answer():
    return 42
