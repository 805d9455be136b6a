"""What the API takes and gives, as JSON."""

from base64 import b64encode
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from wirewright.coordinator.clock import from_datetime, to_datetime
from wirewright.coordinator.services import networks
from wirewright.coordinator.services.access import Role, Scope
from wirewright.coordinator.services.devices import DeviceDetails
from wirewright.coordinator.storage import tables
from wirewright.gateway.policy import DESTINATIONS, PORTS, RULES
from wirewright.host.filtering import Protocol

T = TypeVar("T")

UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
HANDLE: Final = r"^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,63}$"
PUBLIC_KEY: Final = r"^[A-Za-z0-9+/]{43}=$"
Id = Annotated[str, StringConstraints(pattern=UUID, max_length=36)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Handle = Annotated[str, StringConstraints(pattern=HANDLE, max_length=64)]
PublicKeyText = Annotated[str, StringConstraints(pattern=PUBLIC_KEY, max_length=44)]
IPAddress = IPv4Address | IPv6Address
Moment = Annotated[AwareDatetime, Field(ge=datetime.fromisoformat("1970-01-01T00:00:00Z"))]


class Asked(BaseModel):
    """A body of a request: keys that mean nothing are refused, so that no misspelt one is passed over."""

    model_config = ConfigDict(extra="forbid")


class Listed(BaseModel, Generic[T]):
    """A page of a list; ``next`` is the ``after`` of the next page, absent after the last one."""

    items: list[T]
    next: str | None = None


class PolicyRule(Asked):
    """Lets a device start flows to ``destinations``; no ports means all."""

    destinations: Annotated[
        list[Annotated[str, StringConstraints(max_length=64)]], Field(min_length=1, max_length=DESTINATIONS)
    ]
    protocol: Protocol = Protocol.ANY
    ports: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}(-[0-9]{1,5})?$", max_length=11)]],
        Field(max_length=PORTS),
    ] = []


PolicyRules = Annotated[list[PolicyRule], Field(max_length=RULES)]


class DeviceRequest(Asked):
    """A device to be, of the only gateway and with the next free addresses unless it says others."""

    name: Name
    public_key: PublicKeyText
    gateway: Handle | None = None
    """Its name or identifier."""
    user: Id | None = None
    policy: PolicyRules | None = None
    expires_at: Moment | None = None
    addresses: Annotated[list[IPAddress], Field(max_length=8)] = []
    on_lease: bool = False
    """Whether it asks for its addresses itself, by wg-dynamic, so that none is chosen for it."""


class DevicePatch(Asked):
    """What is to differ; ``expires_at: null`` means that it never expires."""

    name: Name | None = None
    policy: PolicyRules | None = None
    expires_at: Moment | None = None


class Activity(BaseModel):
    """What a gateway saw of a device: bytes from and to it, its latest handshake, its endpoint."""

    received: int
    sent: int
    latest_handshake: datetime | None
    endpoint: str | None
    reported_at: datetime


class DeviceAnswer(BaseModel):
    """A device."""

    id: Id
    name: str
    public_key: str
    gateway: Id
    user: Id | None
    addresses: list[IPAddress]
    policy: list[PolicyRule]
    enabled: bool
    active: bool
    online: bool
    """Whether it is active, and has keys with its gateway that are worth something."""
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    activity: Activity | None

    @classmethod
    def of(cls, details: DeviceDetails) -> "DeviceAnswer":
        """Return a device as it is shown."""
        device = details.device
        return cls(
            id=device.id,
            name=device.name,
            public_key=key_text(device.public_key),
            gateway=device.gateway_id,
            user=device.user_id,
            addresses=list(details.addresses),
            policy=[PolicyRule.model_validate(rule) for rule in device.policy],
            enabled=device.enabled,
            active=device.active,
            online=details.is_online(details.read_at),
            expires_at=moment(device.expires_at),
            created_at=to_datetime(device.created_at),
            updated_at=to_datetime(device.updated_at),
            activity=_activity(details.report),
        )


class UserRequest(Asked):
    """A user to be."""

    name: Handle
    role: Role = Role.MEMBER


class UserPatch(Asked):
    """What is to differ of a user."""

    role: Role | None = None
    enabled: bool | None = None


class UserAnswer(BaseModel):
    """A user."""

    id: Id
    name: str
    role: Role
    enabled: bool
    created_at: datetime

    @classmethod
    def of(cls, user: tables.User) -> "UserAnswer":
        """Return a user as it is shown."""
        return cls(
            id=user.id,
            name=user.name,
            role=Role(user.role),
            enabled=user.enabled,
            created_at=to_datetime(user.created_at),
        )


class TokenRequest(Asked):
    """A token to be; without a user it is the caller's own."""

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    user: Id | None = None
    expires_at: Moment | None = None


class TokenAnswer(BaseModel):
    """A token, without what it is proved with."""

    id: Id
    name: str
    user: Id
    scopes: list[Scope]
    expires_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, token: tables.Token) -> "TokenAnswer":
        """Return a token as it is shown."""
        return cls(
            id=token.id,
            name=token.name,
            user=token.user_id,
            scopes=[Scope(scope) for scope in token.scopes],
            expires_at=moment(token.expires_at),
            created_at=to_datetime(token.created_at),
        )


class NewTokenAnswer(TokenAnswer):
    """A token that was made; ``token`` is shown this once."""

    token: str


class GatewayRequest(Asked):
    """A gateway to be; ``endpoint`` (HOST:PORT) is where devices find it."""

    name: Handle
    endpoint: Annotated[str, StringConstraints(max_length=300)]
    public_key: PublicKeyText | None = None
    dns: Annotated[list[IPAddress], Field(max_length=8)] = []
    mtu: Annotated[int, Field(ge=1280, le=65_535)] | None = None


class GatewayPatch(Asked):
    """What is to differ of a gateway."""

    endpoint: Annotated[str, StringConstraints(max_length=300)] | None = None
    public_key: PublicKeyText | None = None
    dns: Annotated[list[IPAddress], Field(max_length=8)] | None = None
    mtu: Annotated[int, Field(ge=1280, le=65_535)] | None = None


class GatewayAnswer(BaseModel):
    """A gateway."""

    id: Id
    name: str
    endpoint: str
    public_key: str | None
    dns: list[IPAddress]
    mtu: int | None
    revision: int
    seen_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, gateway: tables.Gateway) -> "GatewayAnswer":
        """Return a gateway as it is shown."""
        return cls(
            id=gateway.id,
            name=gateway.name,
            endpoint=gateway.endpoint,
            public_key=key_text(gateway.public_key) if gateway.public_key else None,
            dns=gateway.dns,
            mtu=gateway.mtu,
            revision=gateway.revision,
            seen_at=moment(gateway.seen_at),
            created_at=to_datetime(gateway.created_at),
        )


class NewGatewayAnswer(GatewayAnswer):
    """A gateway with a new credential, which is shown this once."""

    credential: str | None


class PoolRequest(Asked):
    """A pool to be; ``quarantine_seconds`` is how long a released address is given to nobody else."""

    gateway: Id
    network: Annotated[str, StringConstraints(max_length=64)]
    quarantine_seconds: Annotated[int, Field(ge=0, le=366 * 86_400)] = 3600


class PoolAnswer(BaseModel):
    """A pool."""

    id: Id
    gateway: Id
    network: str
    quarantine_seconds: int
    held: int
    quarantined: int
    created_at: datetime

    @classmethod
    def of(cls, pool: tables.Pool, held: int, quarantined: int) -> "PoolAnswer":
        """Return a pool as it is shown."""
        return cls(
            id=pool.id,
            gateway=pool.gateway_id,
            network=str(networks.network(pool.first, pool.prefix_length)),
            quarantine_seconds=pool.quarantine // 1_000_000,
            held=held,
            quarantined=quarantined,
            created_at=to_datetime(pool.created_at),
        )


class ReservationRequest(Asked):
    """An address that is to be given to nobody by itself."""

    gateway: Id
    address: IPAddress
    note: Annotated[str, StringConstraints(max_length=64)] = "reserved"


class AddressAnswer(BaseModel):
    """An address that is held: reserved, or leased until a time."""

    id: Id
    address: IPAddress
    pool: Id
    kind: str
    device: Id | None
    note: str
    since: datetime
    until: datetime | None

    @classmethod
    def of(cls, row: tables.Address) -> "AddressAnswer":
        """Return an address as it is shown."""
        return cls(
            id=row.id,
            address=networks.address(row.value),
            pool=row.pool_id,
            kind=row.kind,
            device=row.device_id,
            note=row.note,
            since=to_datetime(row.since),
            until=moment(row.until),
        )


class AuditAnswer(BaseModel):
    """A line of the audit log."""

    id: Id
    at: datetime
    actor: str
    origin: str
    action: str
    subject: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, row: tables.Audit) -> "AuditAnswer":
        """Return a line as it is shown."""
        return cls(
            id=row.id,
            at=to_datetime(row.at),
            actor=row.actor,
            origin=row.origin,
            action=row.action,
            subject=row.subject,
            detail=row.detail,
        )


class Problem(BaseModel):
    """What was refused, and why (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None
    addresses: list[IPAddress] | None = None


def _activity(report: tables.Report | None) -> Activity | None:
    if report is None:
        return None
    return Activity(
        received=report.received,
        sent=report.sent,
        latest_handshake=moment(report.latest_handshake),
        endpoint=report.endpoint or None,
        reported_at=to_datetime(report.at),
    )


def moment(instant: int | None) -> datetime | None:
    """Return an instant (µs) as it is shown."""
    return None if instant is None else to_datetime(instant)


def instant(asked: datetime | None) -> int | None:
    """Return what was asked for as an instant (µs)."""
    return None if asked is None else from_datetime(asked)


def key_text(raw: bytes) -> str:
    """Return a public key in base64."""
    return b64encode(raw).decode()
