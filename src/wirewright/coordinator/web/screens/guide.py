"""The guide: what each screen is for, on one page, without a login."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from wirewright.coordinator.web.rendering import render
from wirewright.coordinator.web.visitors import Perhaps

router = APIRouter(prefix="/guide")


@router.get("")
async def show(request: Request, _visitor: Perhaps) -> Response:
    """Show the guide."""
    return render(request, "guide.html")
