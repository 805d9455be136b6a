"""Enrolment: an invitation, a key of the client's own, a proof."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from sqlalchemy import text

from wirewright.client import proof
from wirewright.coordinator.clock import DAY, HOUR
from wirewright.coordinator.services import changes
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    import httpx2

    from wirewright.coordinator.storage import Storage, Transaction

    from .actors import Actors, Clock

pytestmark = pytest.mark.anyio


@dataclass
class Client:
    """A client written from the description alone: nothing of ours makes its proof."""

    name: str = "phone"
    private: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    @property
    def public(self) -> str:
        return b64encode(self.private.public_key().public_bytes_raw()).decode()

    def body(self, invitation: str, coordinator: str) -> dict[str, str]:
        shared = self.private.exchange(X25519PublicKey.from_public_bytes(b64decode(coordinator)))
        # RFC 5869, written out: without a salt it is zeros, and 32 bytes are one block.
        extracted = hmac.digest(bytes(32), shared, "sha256")
        derived = hmac.digest(extracted, b"wirewright enrolment v1\x01", "sha256")
        said = (
            f'{{"client_public_key":"{self.public}","coordinator_public_key":"{coordinator}",'
            f'"invitation":"{invitation.split("_")[1]}","name":"{self.name}"}}'
        )
        made = hmac.new(derived, said.encode(), hashlib.sha256).digest()
        return {
            "invitation": invitation,
            "public_key": self.public,
            "name": self.name,
            "proof": b64encode(made).decode(),
        }


async def invite(api: httpx2.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post("/invitations", json={"name": "for a phone", **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def enrol(api: httpx2.AsyncClient, client: Client, used: str, **other: str) -> httpx2.Response:
    """Enrol without any token, perhaps with something else in the body than what was proved."""
    coordinator = (await api.get("/enrolment")).json()["public_key"]
    body = client.body(used, coordinator) | other
    return await api.post("/enrolment", json=body, headers={"Authorization": ""})


async def test_an_invitation_and_a_proof_become_a_device(api: httpx2.AsyncClient, actors: Actors) -> None:
    client = Client("Jürgens Telefon ☎")
    made = await invite(api, device_lifetime_seconds=3600, user=actors.users["member"])
    answer = await enrol(api, client, made["invitation"])
    assert answer.status_code == 201, answer.text
    device, tunnel = answer.json()["device"], answer.json()["tunnel"]
    assert device["public_key"] == client.public
    assert device["name"] == client.name
    assert device["user"] == actors.users["member"]
    assert tunnel["addresses"] == ["10.88.0.2/32", "fd88::2/128"]
    assert tunnel["endpoint"] == "vpn.example:51820"
    assert tunnel["gateway_public_key"]
    assert device["expires_at"] is not None
    (entry,) = (await api.get("/audit", params={"action": "device.enrol"})).json()["items"]
    assert entry["subject"] == device["id"]
    assert entry["actor"] == f"invitation {made['invitation'].split('_')[1]}"


async def test_a_device_of_an_invitation_on_lease_gets_no_address(api: httpx2.AsyncClient) -> None:
    made = await invite(api, on_lease=True)
    assert made["on_lease"] is True
    answer = (await enrol(api, Client(), made["invitation"])).json()
    assert answer["device"]["addresses"] == answer["tunnel"]["addresses"] == []
    assert answer["tunnel"]["pools"]
    other = await invite(api)
    assert other["on_lease"] is False
    assert (await enrol(api, Client(), other["invitation"])).json()["device"]["addresses"]


async def test_the_same_invitation_and_key_give_the_same_device_again(
    api: httpx2.AsyncClient, clock: Clock
) -> None:
    client = Client()
    invitation = (await invite(api))["invitation"]
    first = await enrol(api, client, invitation)
    again = await enrol(api, client, invitation)
    clock.now += 30 * DAY
    late = await enrol(api, client, invitation)
    assert [answer.status_code for answer in (first, again, late)] == [201, 200, 200]
    assert first.json() == again.json() == late.json()


async def test_an_invitation_is_used_up(api: httpx2.AsyncClient) -> None:
    made = await invite(api, uses=2)
    answers = [await enrol(api, Client(), made["invitation"]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 403]
    shown = (await api.get(f"/invitations/{made['id']}")).json()
    assert shown["uses_left"] == 0


async def test_an_invitation_expires(api: httpx2.AsyncClient, clock: Clock) -> None:
    invitation = (await invite(api))["invitation"]
    clock.now += 7 * DAY
    refused = await enrol(api, Client(), invitation)
    assert refused.status_code == 403
    assert "expired" in refused.json()["detail"]


async def test_an_invitation_that_was_taken_back_is_worth_nothing(api: httpx2.AsyncClient) -> None:
    client = Client()
    made = await invite(api, uses=5)
    device = (await enrol(api, client, made["invitation"])).json()["device"]
    assert (await api.delete(f"/invitations/{made['id']}")).status_code == 204
    # Neither for a new device nor for the one that it enrolled, which stays.
    assert (await enrol(api, Client(), made["invitation"])).status_code == 403
    assert (await enrol(api, client, made["invitation"])).status_code == 403
    assert (await api.get(f"/devices/{device['id']}")).status_code == 200


@pytest.mark.parametrize(
    "other",
    [
        {"public_key": Client().public},
        {"name": "another name"},
        {"proof": b64encode(bytes(32)).decode()},
    ],
    ids=["another key", "another name", "no proof"],
)
async def test_what_was_not_proved_is_refused(api: httpx2.AsyncClient, other: dict[str, str]) -> None:
    made = await invite(api)
    refused = await enrol(api, Client(), made["invitation"], **other)
    assert refused.status_code == 403
    assert "proof" in refused.json()["detail"]
    # And it costs the invitation nothing.
    assert (await api.get(f"/invitations/{made['id']}")).json()["uses_left"] == 1
    assert (await enrol(api, Client(), made["invitation"])).status_code == 201


async def test_a_proof_for_one_invitation_is_none_for_another(api: httpx2.AsyncClient) -> None:
    first, second = [(await invite(api))["invitation"] for _ in range(2)]
    refused = await enrol(api, Client(), first, invitation=second)
    assert refused.status_code == 403


async def test_a_wrong_secret_with_a_known_public_part_is_refused(api: httpx2.AsyncClient) -> None:
    invitation = (await invite(api))["invitation"]
    forged = invitation[:-1] + ("a" if invitation[-1] != "a" else "b")
    assert (await enrol(api, Client(), forged)).status_code == 403
    assert (await enrol(api, Client(), "wwi_nonsense_x")).status_code == 403


@pytest.mark.parametrize("low", [bytes(32), bytes([1] + [0] * 31)])
async def test_a_key_of_low_order_is_refused(api: httpx2.AsyncClient, low: bytes) -> None:
    """With such a key everybody knows the shared secret, so that anybody could prove it."""
    invitation = (await invite(api))["invitation"]
    refused = await enrol(api, Client(), invitation, public_key=b64encode(low).decode())
    assert refused.status_code == 422
    assert "low order" in refused.json()["detail"]


async def test_a_key_of_another_device_cannot_be_enrolled(api: httpx2.AsyncClient) -> None:
    client = Client()
    assert (await enrol(api, client, (await invite(api))["invitation"])).status_code == 201
    made = await invite(api)
    assert (await enrol(api, client, made["invitation"])).status_code == 409
    assert (await api.get(f"/invitations/{made['id']}")).json()["uses_left"] == 1


async def test_enrolments_are_limited_by_address(api: httpx2.AsyncClient) -> None:
    answers = [await api.get("/enrolment") for _ in range(70)]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = answers[-1]
    assert int(refused.headers["retry-after"]) >= 1
    counted = (await api.get("http://coordinator/metrics")).text
    number = sum(answer.status_code == 429 for answer in answers)
    assert f'wirewright_enrolments_total{{outcome="too-many"}} {number}.0' in counted


async def test_no_secret_is_kept_or_told(api: httpx2.AsyncClient, storage: Storage) -> None:
    """Neither in the database, nor in its audit log, is anything that one could prove oneself with."""
    made = await invite(api)
    token = await api.post(
        "/tokens", json={"name": "ci", "scopes": ["devices:read"]}, headers={"Idempotency-Key": "once"}
    )
    gateway = await api.post("/gateways", json={"name": "branch", "endpoint": "branch.example:1"})
    secrets = [made["invitation"], token.json()["token"], gateway.json()["credential"]]

    async def everything(tx: Transaction) -> str:
        found = []
        for name in ("invitation", "token", "gateway", "audit", "idempotency", "setting", "change"):
            found += [repr(tuple(row)) for row in await tx.session.execute(text(f"SELECT * FROM {name}"))]
        return "\n".join(found)

    kept = await storage.read(everything)
    for secret in secrets:
        assert secret.count("_") == 2
        public, hidden = secret.split("_")[1:]
        assert public in kept  # it would be found if it were there
        assert hidden not in kept


async def test_our_own_proof_is_the_one_that_is_described() -> None:
    client, coordinator = Client(), SecretKey.generate()
    body = client.body("wwi_abc_secret", str(coordinator.public_key))
    own = SecretKey.from_base64(b64encode(client.private.private_bytes_raw()).decode())
    said = proof.message("abc", own.public_key, coordinator.public_key, client.name)
    assert b64encode(proof.prove(own, coordinator.public_key, said)).decode() == body["proof"]


async def test_a_device_that_an_invitation_limits_expires(api: httpx2.AsyncClient, clock: Clock) -> None:
    made = await invite(api, device_lifetime_seconds=60)
    clock.now += HOUR
    device = (await enrol(api, Client(), made["invitation"])).json()["device"]
    assert device["active"]
    assert device["expires_at"] > device["created_at"]


async def test_a_device_that_somebody_made_of_anothers_key_does_not_keep_its_owner_out(
    api: httpx2.AsyncClient, actors: Actors, storage: Storage
) -> None:
    """Whoever makes a device names any public key; the one who has the private one is let in."""
    client, elsewhere = Client(), await a_gateway_elsewhere(api)
    squatted = {"name": "mine", "public_key": client.public, "gateway": elsewhere}
    squatter = await api.post("/devices", json=squatted, headers=actors.bearer("member"))
    assert squatter.status_code == 201
    made = await invite(api, gateway=actors.gateway)
    answer = await enrol(api, client, made["invitation"])
    assert answer.status_code == 201, answer.text
    assert (await api.get(f"/devices/{squatter.json()['id']}")).status_code == 404
    (entry,) = (await api.get("/audit", params={"action": "device.displace"})).json()["items"]
    assert entry["subject"] == squatter.json()["id"]
    told = await storage.read(changes.state, elsewhere)
    assert told.devices == ()
    # The other way round nobody is displaced, by a device nor by another's invitation.
    again = await api.post("/devices", json=squatted, headers=actors.bearer("member"))
    assert again.status_code == 409
    other = await invite(api, gateway=actors.gateway)
    assert (await enrol(api, client, other["invitation"])).status_code == 409


async def test_an_invitation_that_is_used_up_displaces_nobody(
    api: httpx2.AsyncClient, actors: Actors
) -> None:
    client = Client()
    made = await invite(api)
    await enrol(api, Client(), made["invitation"])
    device = (await api.post("/devices", json={"name": "x", "public_key": client.public})).json()
    assert (await enrol(api, client, made["invitation"])).status_code == 403
    assert (await api.get(f"/devices/{device['id']}")).status_code == 200


async def a_gateway_elsewhere(api: httpx2.AsyncClient) -> str:
    made = (await api.post("/gateways", json={"name": "branch", "endpoint": "branch.example:1"})).json()
    await api.post("/pools", json={"gateway": made["id"], "network": "10.99.0.0/16"})
    identifier: str = made["id"]
    return identifier
