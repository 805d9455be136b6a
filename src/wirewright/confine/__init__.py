"""Any program inside a tunnel, without root: ``run`` executes a command that has no other network.

Three processes. The one that was called stays in the terminal and stands for the command
(:mod:`~wirewright.confine.supervisor`). One becomes the command: it makes a user, a network and a mount
namespace, and a TUN in there (:mod:`~wirewright.confine.inside`). One is handed that TUN's descriptor, and
serves it with UDP sockets of the host's network (:mod:`~wirewright.confine.engine`). Nothing but the tunnel
and the loopback interface exists inside, so that nothing can go another way, whatever ends.
"""

from wirewright.confine.errors import ConfineError
from wirewright.confine.supervisor import run

__all__ = ["ConfineError", "run"]
