"""The screens, one file each: thin, over the services that the API calls."""

from typing import Final

from fastapi import APIRouter

from wirewright.coordinator.web.screens import (
    account,
    api_keys,
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
    user_logins,
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
            user_logins,
            gateways,
            audit,
            account,
            api_keys,
            settings,
            guide,
        )
    ),
    gateways.pool_router,
)
