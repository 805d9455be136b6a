"""The API against its own OpenAPI, with what schemathesis thinks up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.result import Err

from .served import served

if TYPE_CHECKING:
    from wirewright.coordinator.storage import Storage

    from .actors import Actors

pytestmark = pytest.mark.anyio

EXAMPLES = 8
# It has no end.
ENDLESS = {"/api/v1/gateways/self/stream", "/api/v1/devices/live"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.timeout(400)
async def test_every_operation_answers_as_its_schema_says(storage: Storage, actors: Actors) -> None:
    async with served(storage) as url:
        tried = await asyncio.to_thread(try_all, url.removesuffix("/api/v1"), actors)
    assert len(tried) > 35


def try_all(root: str, actors: Actors) -> list[str]:
    schema = schemathesis.openapi.from_url(f"{root}/openapi.json")
    tried = []
    for found in schema.get_all_operations():
        assert not isinstance(found, Err)
        operation = found.ok()
        if operation.path in ENDLESS:
            continue
        own = operation.path.startswith("/api/v1/gateways/self")
        bearer = actors.credential if own else actors.tokens["admin"]

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def conforms(case: Any) -> None:
            headers = {"Authorization": f"Bearer {bearer}"}  # noqa: B023 (called at once)
            case.call_and_validate(headers=headers, checks=CHECKS, timeout=60)

        conforms()
        tried.append(operation.label)
    return tried
