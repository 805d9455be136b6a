"""A tunnel shown at work on one machine: two processes, each with a rootless tunnel, and HTTP between them.

The parent is the one that measures (`measure`), the child serves (`server`). They exchange public keys over a
pipe; each keeps its private key to itself. Nothing needs root, and nothing leaves the loopback interface.
"""

from wirewright.demo.measure import Measurement, Step, run_demo

__all__ = ["Measurement", "Step", "run_demo"]
