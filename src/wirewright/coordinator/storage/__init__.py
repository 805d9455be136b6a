"""Where the coordinator keeps things: tables, transactions on both databases, migrations."""

from wirewright.coordinator.storage import logins as _logins
from wirewright.coordinator.storage.database import Storage, Transaction

__all__ = ["Storage", "Transaction"]

# All tables are known wherever one of them is.
assert _logins
