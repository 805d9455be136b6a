"""The start, and what browsers ask for beside pages."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from wirewright.coordinator.api.dependencies import Store
from wirewright.coordinator.login import setup
from wirewright.coordinator.web.integrity import STATIC
from wirewright.coordinator.web.rendering import static
from wirewright.coordinator.web.visitors import Perhaps

router = APIRouter()


@router.get("/")
async def start(store: Store, visitor: Perhaps) -> Response:
    """Lead to the devices, or to what comes before them."""
    if visitor is not None:
        return RedirectResponse("/devices", 303)
    needed = await store.read(setup.is_first)
    return RedirectResponse("/setup" if needed else "/login", 303)


@router.get("/manifest.webmanifest")
async def manifest() -> Response:
    """Say how the page is installed."""
    icons: list[dict[str, str]] = [
        {"src": static("icons/wirewright.svg"), "sizes": "any", "type": "image/svg+xml"},
        {"src": static("icons/wirewright-192.png"), "sizes": "192x192", "type": "image/png"},
        {"src": static("icons/wirewright-512.png"), "sizes": "512x512", "type": "image/png"},
    ]
    content = {
        "name": "Wirewright",
        "short_name": "Wirewright",
        "id": "/",
        "start_url": "/",
        "display": "standalone",
        "background_color": "#f6f7f9",
        "theme_color": "#0b6b64",
        "icons": icons,
    }
    return JSONResponse(content, media_type="application/manifest+json")


@router.get("/favicon.ico")
async def icon(_request: Request) -> Response:
    """Give the icon to who does not read HTML."""
    return Response((STATIC / "icons" / "wirewright.svg").read_bytes(), media_type="image/svg+xml")


@router.get("/robots.txt")
async def robots() -> Response:
    """Ask searchers to stay away."""
    return Response("User-agent: *\nDisallow: /\n", media_type="text/plain")
