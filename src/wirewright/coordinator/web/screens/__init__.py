"""The screens, one file each: thin, over the services that the API calls."""

from typing import Final

from fastapi import APIRouter

from wirewright.coordinator.web.screens import (
    account,
    audit,
    create,
    device,
    devices,
    frame,
    gateways,
    guide,
    invitations,
    links,
    login,
    oidc,
    passkeys,
    settings,
    setup,
    users,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    *(
        screen.router
        for screen in (
            frame,
            setup,
            login,
            links,
            oidc,
            passkeys,
            # `new` is no device.
            create,
            devices,
            device,
            invitations,
            users,
            gateways,
            audit,
            account,
            settings,
            guide,
        )
    ),
    gateways.pool_router,
)
