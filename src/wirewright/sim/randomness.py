"""Randomness that can be repeated and looked at."""

import hashlib


class Randomness:
    """Bytes from a seed, and a record of all draws, so that an oracle can be given the same ones."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self.draws: list[bytes] = []

    def __call__(self, length: int) -> bytes:
        """Draw ``length`` bytes."""
        block = hashlib.shake_256(self._seed + len(self.draws).to_bytes(8))
        self.draws.append(block.digest(length))
        return self.draws[-1]

    def take(self) -> list[bytes]:
        """Give the draws since the last call."""
        draws, self.draws[:] = list(self.draws), []
        self._seed = hashlib.sha256(self._seed + b"taken").digest()
        return draws
