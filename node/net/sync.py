"""Block sync: one batch asked of a peer, and one served to it."""

from node.chain.hashing import HASH_BYTES
from node.net.protocol import (
    MAX_LOCATOR,
    SYNC_BATCH,
    SYNC_BYTES,
    SYNC_TIMEOUT_S,
    ChainHandler,
    Refusal,
    Refused,
)
from node.net.session import Session
from node.wire import block_from_proto, block_to_proto, envelope_from_proto, envelope_to_proto
from ponas.v1.peer_service_pb2 import Blocks, GetBlocks, PeerMessage


async def pull_blocks(session: Session, handler: ChainHandler) -> bool:
    """Ask a peer for the next batch and hand it over; True if there may be more.

    Raises:
        Refused, Rejected: the peer answered wrongly.
        LinkClosed, TimeoutError: it did not answer.
    """
    request = GetBlocks(locator=handler.locator()[:MAX_LOCATOR], limit=SYNC_BATCH)
    answer = await session.ask(PeerMessage(get_blocks=request), SYNC_TIMEOUT_S)
    if not answer.HasField("blocks"):
        raise Refused(Refusal.UNASKED, "answered with something other than blocks")
    if len(answer.blocks.blocks) > SYNC_BATCH:
        raise Refused(Refusal.OVERSIZED, f"sent more than the {SYNC_BATCH} blocks asked for")
    blocks = [block_from_proto(block) for block in answer.blocks.blocks]
    votes = [envelope_from_proto(vote) for vote in answer.blocks.votes]
    return await handler.on_blocks(blocks, votes)


def check_request(request: GetBlocks) -> None:
    """Refuse a request that no honest peer makes.

    Raises:
        Refused: the locator is too long or holds no ids.
    """
    if len(request.locator) > MAX_LOCATOR or any(len(i) != HASH_BYTES for i in request.locator):
        detail = f"a locator has at most {MAX_LOCATOR} ids of {HASH_BYTES} bytes"
        raise Refused(Refusal.MALFORMED, detail)


def serve_blocks(request: GetBlocks, handler: ChainHandler) -> PeerMessage:
    """As many of the blocks after the locator, then votes, as one message takes."""
    limit = min(request.limit, SYNC_BATCH)
    blocks, votes = handler.blocks_after(tuple(request.locator), limit)
    answer = Blocks()
    left_bytes = SYNC_BYTES
    for block in map(block_to_proto, blocks):
        if (left_bytes := left_bytes - block.ByteSize()) < 0:
            break
        answer.blocks.append(block)
    for vote in map(envelope_to_proto, votes):
        if (left_bytes := left_bytes - vote.ByteSize()) < 0:
            break
        answer.votes.append(vote)
    return PeerMessage(blocks=answer)
