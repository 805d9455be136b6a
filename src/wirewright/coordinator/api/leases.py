"""``/gateways/self/leases``: what a gateway's server of wg-dynamic keeps here.

Times are durations in seconds, from the moment of the request or the answer: clocks differ.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from wirewright.coordinator.api.dependencies import Store, TheGateway
from wirewright.coordinator.api.models import Asked, Id, IPAddress, PublicKeyText
from wirewright.coordinator.api.problems import answers
from wirewright.coordinator.clock import SECOND
from wirewright.coordinator.services import leases, successions, texts
from wirewright.coordinator.storage import Transaction
from wirewright.dynamic import Change, Lease, Quarantine, Records, Succession

router = APIRouter(prefix="/gateways/self/leases", tags=["gateway"])

LEASES: Final = 16
"""Of one change: it is one client's, or two where a key takes another's place."""
_MANY: Final = leases.AT_ONCE
_KEYS: Final = successions.EACH
Version = Annotated[int, Field(ge=0, le=2**62)]


class LeaseEntry(Asked):
    """What a client has: an address of either family at most, for ``duration`` from ``age`` ago on."""

    public_key: PublicKeyText
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    age: Annotated[int, Field(ge=0, le=leases.LONGEST // SECOND)]
    duration: Annotated[int, Field(ge=1, le=leases.LONGEST // SECOND)]


class QuarantineEntry(Asked):
    """An address that only its last holder may have for a while."""

    address: IPAddress
    public_key: PublicKeyText
    remaining: Annotated[int, Field(ge=0, le=leases.LONGEST_QUARANTINE // SECOND)]


class SuccessionEntry(Asked):
    """A key that takes another's place within ``remaining``; absent if it has."""

    old: PublicKeyText
    new: PublicKeyText
    remaining: Annotated[int, Field(ge=0, le=successions.LONGEST // SECOND)] | None


class RecordsAnswer(BaseModel):
    """All that a gateway's server is to remember, and the version of it."""

    version: Version
    leases: list[LeaseEntry]
    quarantined: list[QuarantineEntry]
    successions: list[SuccessionEntry]


class ChangeRequest(Asked):
    """What becomes true at once: decided on ``version``, and known by ``change`` if it comes again."""

    version: Version
    change: Id
    leases: Annotated[tuple[LeaseEntry, ...], Field(max_length=LEASES)] = ()
    ended: Annotated[tuple[PublicKeyText, ...], Field(max_length=_MANY)] = ()
    quarantined: Annotated[tuple[QuarantineEntry, ...], Field(max_length=_MANY)] = ()
    freed: Annotated[tuple[IPAddress, ...], Field(max_length=_MANY)] = ()
    successions: Annotated[tuple[SuccessionEntry, ...], Field(max_length=_KEYS)] = ()
    forgotten: Annotated[tuple[PublicKeyText, ...], Field(max_length=_MANY)] = ()

    def decided(self, now: int) -> Change:
        """Return it with times in seconds since 1970, at ``now``."""
        key = texts.public_key
        return Change(
            leases=tuple(
                Lease(key(each.public_key), each.ipv4, each.ipv6, now - each.age, each.duration)
                for each in self.leases
            ),
            ended=tuple(map(key, self.ended)),
            quarantined=tuple(
                Quarantine(each.address, key(each.public_key), now + each.remaining)
                for each in self.quarantined
            ),
            freed=self.freed,
            successions=tuple(
                Succession(
                    key(each.old), key(each.new), None if each.remaining is None else now + each.remaining
                )
                for each in self.successions
            ),
            forgotten=tuple(map(key, self.forgotten)),
        )


class ChangeAnswer(BaseModel):
    """The version that the change made."""

    version: Version


@router.get("", responses=answers())
async def show_own_leases(store: Store, gateway: TheGateway) -> RecordsAnswer:
    """Show all that the server of the gateway that asks is to remember."""

    async def work(tx: Transaction) -> RecordsAnswer:
        version, records = await leases.load(tx, gateway.id)
        return _told(version, records, tx.now // SECOND)

    return await store.read(work)


@router.post("", responses=answers(404, 409))
async def change_own_leases(store: Store, gateway: TheGateway, body: ChangeRequest) -> ChangeAnswer:
    """Keep what the server of the gateway that asks has decided; the same again changes nothing."""

    async def work(tx: Transaction) -> ChangeAnswer:
        decided = body.decided(tx.now // SECOND)
        version = await leases.commit(tx, gateway.id, decided, version=body.version, change_id=body.change)
        return ChangeAnswer(version=version)

    return await store.write(work)


def _told(version: int, records: Records, now: int) -> RecordsAnswer:
    return RecordsAnswer(
        version=version,
        leases=[
            LeaseEntry(
                public_key=str(each.key),
                ipv4=each.ipv4,
                ipv6=each.ipv6,
                age=max(0, now - each.start),
                duration=each.duration,
            )
            for each in records.leases.values()
        ],
        quarantined=[
            QuarantineEntry(
                address=each.address, public_key=str(each.key), remaining=max(0, each.until - now)
            )
            for each in records.quarantined.values()
        ],
        successions=[
            SuccessionEntry(
                old=str(each.old),
                new=str(each.new),
                remaining=None if each.until is None else max(0, each.until - now),
            )
            for each in records.successions.values()
        ],
    )
