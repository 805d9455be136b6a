"""What a gateway needs of the host: forwarding, masquerading, and devices kept apart.

It owns one table of nftables and, while it is up, a share in the kernel's forwarding; nothing else is
changed, and :meth:`Firewall.down` takes exactly that away again. Tables of others, such as Docker's and
ufw's, stay as they are: a packet passes if all of them let it.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirewright.gateway.firewall import forwarding
from wirewright.gateway.firewall.changes import BOUND
from wirewright.gateway.firewall.policies import Policies, SharedAddressError
from wirewright.gateway.firewall.reach import NOT_THE_HOST, Reach
from wirewright.gateway.firewall.table import NFPROTO_INET, Table
from wirewright.host.nftables import RefusedError, closed_chains, transact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wirewright.gateway.firewall.policies import Device, Plan
    from wirewright.host.filtering import PacketFilter
    from wirewright.host.nftables import Request


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the host does for a gateway, besides dropping packets from elsewhere with addresses of its own."""

    keep_apart: bool = True
    """Judge what devices send and get. Where our engine does, the firewall need not."""
    forward: bool = True
    """Have the kernel forward, in the families of the own addresses."""
    masquerade: bool = True
    """Have what devices send to the outside leave from the host's address."""
    reach: Reach = NOT_THE_HOST
    """What devices may reach at most, whoever judges them."""


class Firewall:
    """The firewall of one interface.

    All methods raise OSError with words for a person, and then have changed nothing.
    """

    def __init__(
        self,
        interface: str,
        settings: PacketFilter,
        surroundings: Surroundings = Surroundings(),
    ) -> None:
        self._interface = interface
        self._table = Table(
            interface,
            settings,
            surroundings.reach,
            keep_apart=surroundings.keep_apart,
            masquerade=surroundings.masquerade,
        )
        self._keep_apart = surroundings.keep_apart
        self._forward = sorted({address.version for address in settings.own}) if surroundings.forward else []
        self._policies = Policies()

    def up(self, devices: Iterable[Device] = ()) -> None:
        """Begin, in the place of what an interface of this name may have left; it is there already."""
        fresh = Policies()
        plan = self._planned(fresh, devices if self._keep_apart else ())
        self._table.between = forwarding.apart(self._interface, self._forward)
        try:
            transact(NFPROTO_INET, [*self._table.create(), *self._table.carry_out(plan)])
        except RefusedError as refused:
            if (refused.errno, refused.what) != (errno.ENOENT, BOUND) or not self.is_bounded:
                raise self._told(refused) from None
            # So the kernel says of an expression that it has no module for.
            self._table.unbound()
            self._transact([*self._table.create(), *self._table.carry_out(plan)])
        fresh.adopt(plan)
        self._policies = fresh
        try:
            forwarding.begin(self._interface, self._forward)
        except OSError:
            self.down()
            raise

    @property
    def is_bounded(self) -> bool:
        """Whether the kernel, or our engine, bounds how many flows an address of a device has."""
        return self._table.is_bounded or not self._keep_apart

    def change(self, put: Sequence[Device] = (), removed: Iterable[str] = ()) -> None:
        """Put devices, in the place of those with the same names, and remove others, all at once."""
        if not self._keep_apart:
            return
        plan = self._planned(self._policies, put, removed)
        if requests := list(self._table.carry_out(plan)):
            self._transact(requests)
        self._policies.adopt(plan)
        self._forget_flows(plan)

    def closed_by(self) -> list[str]:
        """Name the chains of others that drop what is forwarded unless they have a rule for it.

        Docker has one, and ufw. What devices send to the outside needs a rule there, which is for whoever
        looks after these to add: for Docker in its chain DOCKER-USER, for ufw by ``ufw route allow``.
        """
        return closed_chains(forwarding.FORWARD)

    def down(self) -> list[str]:
        """Take everything away; silently if there is nothing.

        The kernel goes on forwarding if others came meanwhile who need that: their chains are named.
        """
        try:
            transact(NFPROTO_INET, [self._table.delete()])
        except RefusedError as refused:
            if not refused.is_absence:
                raise self._told(refused) from None
        self._policies = Policies()
        return forwarding.end(self._interface)

    def _planned(self, policies: Policies, put: Iterable[Device], removed: Iterable[str] = ()) -> Plan:
        try:
            return policies.plan(put, removed)
        except SharedAddressError as error:
            raise OSError(errno.EEXIST, str(error), self._interface) from None

    def _forget_flows(self, plan: Plan) -> None:
        """Have devices begin without flows at addresses that others had; each by itself, as many had none."""
        for request in self._table.forget_flows(plan.handed_over):
            try:
                transact(NFPROTO_INET, [request])
            except RefusedError as refused:
                if not refused.is_absence:
                    raise self._told(refused) from None

    def _transact(self, requests: Sequence[Request]) -> None:
        try:
            transact(NFPROTO_INET, requests)
        except RefusedError as refused:
            raise self._told(refused) from None

    def _told(self, refused: RefusedError) -> OSError:
        """Say what it means that the kernel refused."""
        code = refused.errno
        if refused.is_unsupported:
            words = "this kernel has no nf_tables, with which a gateway keeps devices apart"
            code = errno.EOPNOTSUPP
        elif code == errno.EPERM:
            words = "to change the firewall takes root (CAP_NET_ADMIN)"
        else:
            words = f"the kernel refuses a part of the firewall ({refused.what}): {os.strerror(code)}"
        return OSError(code, words, self._interface)
