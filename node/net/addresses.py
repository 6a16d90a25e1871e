"""Addresses that peers tell each other: IP:PORT, how far they reach, and which network they are in.

Names are left to operators: looking one up is a request that a stranger could make a node send.
"""

from __future__ import annotations

import ipaddress
from enum import IntEnum

from node.endpoint import EndpointError, parse_endpoint


class Reach(IntEnum):
    """From where an address can be dialled, from near to far."""

    MACHINE = 0
    SITE = 1
    WORLD = 2


def host_of(remote: str) -> str:
    """The host of HOST:PORT; a text without a port is one, as in a network in memory."""
    host, colon, _ = remote.rpartition(":")
    return host.strip("[]") if colon else remote


def with_port(remote: str, port: int) -> str | None:
    """The address of `remote`'s host at another port; None if that is nothing to hand on."""
    try:
        host = str(parse_endpoint(remote)).rpartition(":")[0]
        return checked_address(f"{host}:{port}")
    except ValueError:
        return None


def subscriber_of(remote: str) -> str:
    """What one customer of a network may hold: an IPv4 address, or a /48 of IPv6 (RFC 6177)."""
    host = host_of(remote)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address, 48), strict=False))


def checked_address(text: str) -> str:
    """An address in its one spelling.

    Raises:
        ValueError: it is not the IP:PORT of a machine that can be dialled.
    """
    try:
        endpoint = parse_endpoint(text)
        address = ipaddress.ip_address(endpoint.host)
    except (EndpointError, ValueError) as error:
        raise ValueError(f"{text[:80]!r} is no IP:PORT") from error
    if endpoint.port == 0 or address.is_multicast or address.is_unspecified or address.is_reserved:
        raise ValueError(f"{text[:80]!r} can't be dialled")
    return str(endpoint)


def reach_of(remote: str) -> Reach:
    """From where a host can be reached; what is no IP address counts as of this site."""
    host = host_of(remote)
    if host == "localhost":
        return Reach.MACHINE
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return Reach.SITE
    if address.is_loopback:
        return Reach.MACHINE
    return Reach.WORLD if address.is_global else Reach.SITE


def may_hear_of(listener: str, address: str) -> bool:
    """Whether a peer at `listener` can dial an address, and may be believed about one like it.

    Else a stranger could make a node dial services of its own machine or site.
    """
    return reach_of(address) >= reach_of(listener)


def group_of(remote: str) -> str:
    """The network that one operator may hold all of: /16 of IPv4, /32 of IPv6.

    Near addresses are groups of their own: only near peers can tell them.
    """
    host = host_of(remote)
    if reach_of(remote) is not Reach.WORLD:
        return remote
    address = ipaddress.ip_address(host)
    prefix = 16 if address.version == 4 else 32
    return str(ipaddress.ip_network((address, prefix), strict=False))
