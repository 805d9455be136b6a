"""Networks on one machine: hosts with cables, rates, NAT, delay and loss between them.

A `Topology` says what there is; a `Lab` is that, made of namespaces, and gone when its block ends. It takes
root and a few tools; an error says which are missing.

    topology = Topology(
        links=(
            Link(at("home", "192.168.1.2/24"), at("router", "192.168.1.1/24")),
            Link(at("router", "203.0.113.1/24"), at("server", "203.0.113.9/24"), mtu=1400),
        ),
        hosts=(
            Host("home", routes=(Route("default", "192.168.1.1"),)),
            Host("router", forward=True, nat=Nat("eth1")),
        ),
    )
    with Lab(topology) as lab:
        print(lab)
        lab["home"].run("ping", "-c1", "203.0.113.9")
"""

from wirewright.lab.errors import LabError, RunError
from wirewright.lab.files import read_topology
from wirewright.lab.lab import Lab
from wirewright.lab.machine import Machine
from wirewright.lab.topology import (
    End,
    Host,
    Link,
    Nat,
    Rate,
    Route,
    Topology,
    TopologyError,
    Weather,
    at,
)

__all__ = [
    "End",
    "Host",
    "Lab",
    "LabError",
    "Link",
    "Machine",
    "Nat",
    "Rate",
    "Route",
    "RunError",
    "Topology",
    "TopologyError",
    "Weather",
    "at",
    "read_topology",
]
