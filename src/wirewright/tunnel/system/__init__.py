"""System interfaces: what `ww up` and `ww down` do, step by step, and one face for both engines."""

from wirewright.tunnel.system.errors import InterfaceError, InterruptedPlanError
from wirewright.tunnel.system.interface import Interface, interfaces

__all__ = ["Interface", "InterfaceError", "InterruptedPlanError", "interfaces"]
