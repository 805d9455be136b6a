"""The coordinator's API from the other side: for administrators, and for those who enrol a device.

`Client` asks the API, `Access` says where it is and by what it is asked, `enrolling` uses an invitation. None
of it needs the coordinator's own dependencies.
"""

try:
    import cryptography as _cryptography
    import httpx2 as _httpx2
    import platformdirs as _platformdirs
except ImportError as error:  # pragma: no cover - the tests install them
    raise ImportError(
        f"wirewright.client needs {error.name}: pip install 'wirewright[client]'", name=error.name
    ) from None

from wirewright.client.access import Access
from wirewright.client.api import Client
from wirewright.client.errors import AccessError, ClientError, RefusedError, UnreachableError

del _cryptography, _httpx2, _platformdirs

__all__ = ["Access", "AccessError", "Client", "ClientError", "RefusedError", "UnreachableError"]
