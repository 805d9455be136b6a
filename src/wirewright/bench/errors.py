"""What can go wrong with a measurement."""


class BenchError(Exception):
    """A measurement cannot be had; the text says why, and what to do about it."""
