"""Ways to tell different peers different things, which an honest node has none of."""

from __future__ import annotations

from collections.abc import Callable

from node.assembly import Node
from node.chain.messages import Envelope
from node.net.session import Session
from node.wire import envelope_to_proto
from ponas.v1.peer_service_pb2 import PeerMessage


def tell_some(node: Node, envelope: Envelope, is_meant: Callable[[Session], bool]) -> None:
    """Send an object of this node's own to some of its peers."""
    message = PeerMessage(gossip=envelope_to_proto(envelope))
    for session in node.peers.sessions():
        if is_meant(session):
            session.post(message)


def is_odd(session: Session) -> bool:
    """One half of all peers, the same for every node."""
    return bool(session.public_key[0] & 1)


def tell_halves(node: Node, odd: Envelope, even: Envelope) -> None:
    """Send one object to one half of the peers and another one to the other half."""
    tell_some(node, odd, is_odd)
    tell_some(node, even, lambda session: not is_odd(session))
