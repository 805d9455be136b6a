"""System interfaces: what `ww up` and `ww down` do, step by step, and one face for both engines."""

from wirewright.tunnel.system.interface import Interface, interfaces
from wirewright.tunnel.system.plan import InterfaceError, InterruptedPlanError

__all__ = ["Interface", "InterfaceError", "InterruptedPlanError", "interfaces"]
