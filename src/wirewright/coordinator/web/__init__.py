"""The page: what the API does, for people with a browser. It has no power that the API lacks.

HTML is made here, from the services that the API calls; scripts only improve it, and make keys, which the
server never sees. Everything is served from the package, nothing is fetched from elsewhere.
"""

from wirewright.coordinator.web.pages import install
from wirewright.coordinator.web.shield import Headers
from wirewright.coordinator.web.site import Site

__all__ = ["Headers", "Site", "install"]
