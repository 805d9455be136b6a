"""What invitations and enrolments look like, as JSON."""

from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from wirewright.coordinator.api.models import (
    Asked,
    DeviceAnswer,
    Id,
    IPAddress,
    Moment,
    Name,
    PolicyRule,
    PolicyRules,
    PublicKeyText,
)
from wirewright.coordinator.clock import SECOND, to_datetime
from wirewright.coordinator.services.invitations import USES
from wirewright.coordinator.services.tunnels import Parameters
from wirewright.coordinator.storage import tables


class InvitationRequest(Asked):
    """An invitation to be: for ``uses`` devices, a week long unless it says until when."""

    name: Name
    gateway: Id | None = None
    user: Id | None = None
    uses: Annotated[int, Field(ge=1, le=USES)] = 1
    expires_at: Moment | None = None
    policy: PolicyRules | None = None
    device_lifetime_seconds: Annotated[int, Field(ge=1, le=100 * 366 * 86_400)] | None = None
    on_lease: bool = False
    """Whether the devices ask for their addresses themselves, by wg-dynamic."""


class InvitationAnswer(BaseModel):
    """An invitation."""

    id: Id
    name: str
    gateway: Id
    user: Id | None
    uses: int
    uses_left: int
    policy: list[PolicyRule]
    device_lifetime_seconds: int | None
    on_lease: bool
    expires_at: datetime
    created_at: datetime

    @classmethod
    def of(cls, row: tables.Invitation) -> "InvitationAnswer":
        """Return an invitation as it is shown."""
        lifetime = row.device_lifetime
        return cls(
            id=row.id,
            name=row.name,
            gateway=row.gateway_id,
            user=row.user_id,
            uses=row.uses,
            uses_left=row.uses_left,
            policy=[PolicyRule.model_validate(rule) for rule in row.policy],
            device_lifetime_seconds=None if lifetime is None else lifetime // SECOND,
            on_lease=row.on_lease,
            expires_at=to_datetime(row.expires_at),
            created_at=to_datetime(row.created_at),
        )


class NewInvitationAnswer(InvitationAnswer):
    """An invitation that was made; ``invitation`` is shown this once."""

    invitation: str


class EnrolmentParameters(BaseModel):
    """What a client needs for its proof: the coordinator's public key, and how the proof is made."""

    public_key: str
    proof: str = "HMAC-SHA256 with HKDF-SHA256(X25519), info: wirewright enrolment v1"


class EnrolmentRequest(Asked):
    """An enrolment: the invitation, the public key, the device's name, the proof in base64."""

    invitation: Annotated[str, StringConstraints(max_length=64)]
    public_key: PublicKeyText
    name: Name
    proof: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$", max_length=44)]


class TunnelParameters(BaseModel):
    """What a device's configuration says besides its private key."""

    addresses: list[str]
    gateway_public_key: str | None
    endpoint: str
    dns: list[IPAddress]
    mtu: int | None
    pools: list[str]

    @classmethod
    def of(cls, found: Parameters) -> "TunnelParameters":
        """Return parameters as they are shown."""
        return cls(
            addresses=[str(ip_network(address)) for address in found.addresses],
            gateway_public_key=found.gateway_public_key,
            endpoint=found.endpoint,
            dns=[ip_address(server) for server in found.dns],
            mtu=found.mtu,
            pools=[str(network) for network in found.pools],
        )


class EnrolmentAnswer(BaseModel):
    """The device, and what its configuration says."""

    device: DeviceAnswer
    tunnel: TunnelParameters
