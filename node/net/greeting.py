"""The first message of either side: who speaks, on which network, in which protocol."""

import asyncio

from node.chain.hashing import HASH_BYTES
from node.net.link import Malformed, PeerLink
from node.net.protocol import HELLO_TIMEOUT_S, PROTOCOL_VERSION, Refusal, Refused
from ponas.v1.peer_service_pb2 import Hello, PeerMessage


async def greet(
    link: PeerLink, network_id: bytes, public_key: bytes, head: tuple[int, bytes]
) -> Hello:
    """Say hello with this node's identity and head (round, id), and check the answer.

    Raises:
        Refused: the other side is no peer for this node.
        LinkClosed: it hung up.
    """
    head_round, head_id = head
    hello = Hello(
        network_id=network_id,
        protocol_version=PROTOCOL_VERSION,
        public_key=public_key,
        head_round=head_round,
        head=head_id,
    )
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            await link.send(PeerMessage(hello=hello))
            answer = await link.receive()
    except TimeoutError:
        raise Refused(Refusal.NO_HELLO, "did not say hello in time") from None
    except Malformed as error:
        raise Refused(Refusal.MALFORMED, "said hello in another language") from error
    # 1. Hello comes first.
    if not answer.HasField("hello"):
        raise Refused(Refusal.NO_HELLO, "the first message has to be hello")
    theirs = answer.hello
    # 2. Same network.
    if theirs.network_id != network_id:
        theirs_hex = theirs.network_id[:HASH_BYTES].hex()
        detail = f"networks {theirs_hex} and {network_id.hex()} don't talk"
        raise Refused(Refusal.WRONG_NETWORK, detail)
    # 3. Same protocol.
    if theirs.protocol_version != PROTOCOL_VERSION:
        detail = f"protocol versions {theirs.protocol_version} and {PROTOCOL_VERSION} don't talk"
        raise Refused(Refusal.WRONG_VERSION, detail)
    # 4. Keys and ids have their sizes.
    if len(theirs.public_key) != HASH_BYTES or len(theirs.head) != HASH_BYTES:
        raise Refused(Refusal.MALFORMED, f"keys and ids have {HASH_BYTES} bytes")
    # 5. Somebody else.
    if theirs.public_key == public_key:
        raise Refused(Refusal.OWN_IDENTITY, "this node met itself")
    return theirs
