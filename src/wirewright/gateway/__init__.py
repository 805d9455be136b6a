"""The interface that hands out tunnels: what a coordinator says, an engine that is so, a host that forwards.

:func:`wirewright.gateway.running.running` puts the parts together: a source of instructions
(:mod:`~wirewright.gateway.instructions`), the core that decides (:mod:`~wirewright.gateway.core`), and one of
:mod:`wirewright.gateway.engines`.
"""
