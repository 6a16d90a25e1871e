"""What a peer's message asks for, and who answers it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from node.clock import Clock
from node.net.addressbook import AddressBook
from node.net.ancestors import serve_ancestors
from node.net.blobs import BlobFetcher, result_of, serve_chunk
from node.net.bodies import check_ids, serve_bodies
from node.net.protocol import BLOB_WAIT_MS, KIND_LIMITS, OTHER_LIMIT, ChainHandler, Refusal, Refused
from node.net.relay import Relay
from node.net.session import Session
from node.net.snapshots import serve_snapshot
from node.net.sync import check_locator, serve_headers
from node.net.tending import serve_addresses, serve_pong
from node.store.blobs import part_of
from ponas.v1.peer_service_pb2 import GetBlob, PeerMessage


class Dispatcher:
    """Hands each message to the part of the node that it is for.

    `connected` gives the addresses of the peers at hand, for those who ask for other nodes; `rules`
    tells the versions of the chain's rules as `Introduction` has them.
    """

    def __init__(
        self,
        handler: ChainHandler,
        relay: Relay,
        book: AddressBook,
        connected: Callable[[], Iterable[str]],
        clock: Clock,
        blobs: BlobFetcher,
        rules: Callable[[], Sequence[int]],
    ) -> None:
        self._handler = handler
        self._relay = relay
        self._book = book
        self._connected = connected
        self._clock = clock
        self._blobs = blobs
        self._rules = rules

    def take(self, session: Session, message: PeerMessage) -> None:
        """Deal with a message of a greeted peer.

        Raises:
            Refused: it breaks a rule of the protocol.
            Rejected: it is gossip that breaks a rule of the chain.
        """
        kind = message.WhichOneof("content")
        limit = KIND_LIMITS.get(kind or "", OTHER_LIMIT)
        if message.ByteSize() > limit.max_bytes:
            raise Refused(Refusal.OVERSIZED, f"sent {kind} of {message.ByteSize()} bytes")
        match kind:
            case "gossip":
                self._relay.take(session, message.gossip)
            case (
                "headers"
                | "bodies"
                | "blob_chunk"
                | "blob_missing"
                | "pong"
                | "addresses"
                | "snapshot"
            ):
                if not session.settle(message):
                    raise Refused(Refusal.UNASKED, "answered what nobody asked")
            case "hello" | "proof":
                raise Refused(Refusal.MALFORMED, "greeted twice")
            case None:
                raise Refused(Refusal.MALFORMED, "sent an empty message")
            case _:
                self._answer(session, message)

    def _answer(self, session: Session, message: PeerMessage) -> None:
        handler = self._handler
        match message.WhichOneof("content"):
            case "get_blob":
                self._answer_blob(session, message.get_blob)
            case "get_headers":
                check_locator(message.get_headers)
                session.answer(lambda: serve_headers(message.get_headers, handler))
            case "get_bodies":
                check_ids(message.get_bodies)
                session.answer(lambda: serve_bodies(message.get_bodies, handler))
            case "get_ancestors":
                session.answer(lambda: serve_ancestors(message.get_ancestors, handler))
            case "ping":
                session.answer(lambda: serve_pong(self._clock, handler.head()[0], self._rules()[0]))
            case "get_snapshot":
                block_id = message.get_snapshot.block
                session.answer(lambda: serve_snapshot(handler.snapshot(block_id)))
            case "get_addresses":
                session.answer(lambda: serve_addresses(session, self._book, self._connected()))

    def _answer_blob(self, session: Session, request: GetBlob) -> None:
        """Answer from what is here; a blob that is on its way here is waited for a moment.

        So a block follows its header from peer to peer without a question in vain at each.
        """
        transfer = self._blobs.under_way(request.hash)
        due_ms = self._clock.now_ms() + BLOB_WAIT_MS

        def answer() -> PeerMessage | None:
            part = self._handler.blob_part(request.hash, request.offset)
            if part is None and transfer is not None:
                if not transfer.done() and self._clock.now_ms() < due_ms:
                    return None
                if (blob := result_of(transfer)) is not None:
                    part = part_of(blob, request.offset)
            return serve_chunk(request, part)

        session.answer(answer)
        if transfer is not None:
            transfer.add_done_callback(lambda _: session.wake())
            asyncio.get_running_loop().call_later(BLOB_WAIT_MS / 1_000, session.wake)
