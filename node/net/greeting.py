"""The first two messages of either side: who speaks, and the proof that it holds the key it names.

Each side sends a fresh nonce in its hello and signs the other's. The signature names the network,
both keys and the signer's role, so it fits no other pair, no other link and not the way back.
As long as links are not encrypted, somebody in the middle can pass both proofs on and then read
and change what follows: a greeting proves that the key's holder takes part, not that nobody
stands between.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from node.chain.hashing import HASH_BYTES, blake
from node.chain.params import RULES_VERSION
from node.net.link import Malformed, PeerLink
from node.net.protocol import HELLO_TIMEOUT_S, PROTOCOL_VERSION, Refusal, Refused
from ponas.v1.peer_service_pb2 import Hello, PeerMessage, Proof

NONCE_BYTES = 32
_HIGHEST_PORT = 65_535


@dataclass(frozen=True)
class Introduction:
    """What a node says of itself: network, key, head (round, id), and a nonce used only once.

    `listen_port` is where it takes connections, 0 for nowhere. `rules` are the versions of the
    chain's rules in this round and in its neighbours, this round's first.
    """

    network_id: bytes
    key: SigningKey
    head: tuple[int, bytes]
    nonce: bytes
    listen_port: int = 0
    rules: Sequence[int] = (RULES_VERSION,)


async def greet(link: PeerLink, own: Introduction) -> Hello:
    """Say hello, check the answer, and exchange proofs; the hello of a peer that proved its key.

    Raises:
        Refused: the other side is no peer for this node.
        LinkClosed: it hung up.
    """
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            await link.send(PeerMessage(hello=_hello(own)))
            theirs = _checked_hello(await link.receive(), own)
            await link.send(PeerMessage(proof=_proof(own, theirs, is_dialler=link.outbound)))
            _check_proof(await link.receive(), own, theirs, is_dialler=not link.outbound)
    except TimeoutError:
        raise Refused(Refusal.NO_HELLO, "did not say hello in time") from None
    except Malformed as error:
        raise Refused(Refusal.MALFORMED, "said hello in another language") from error
    return theirs


def _hello(own: Introduction) -> Hello:
    head_round, head_id = own.head
    return Hello(
        network_id=own.network_id,
        protocol_version=PROTOCOL_VERSION,
        public_key=bytes(own.key.verify_key),
        head_round=head_round,
        head=head_id,
        nonce=own.nonce,
        listen_port=own.listen_port,
        rules_version=own.rules[0],
    )


def _checked_hello(answer: PeerMessage, own: Introduction) -> Hello:
    # 1. Hello comes first.
    if not answer.HasField("hello"):
        raise Refused(Refusal.NO_HELLO, "the first message has to be hello")
    theirs = answer.hello
    # 2. Same network.
    if theirs.network_id != own.network_id:
        theirs_hex = theirs.network_id[:HASH_BYTES].hex()
        detail = f"networks {theirs_hex} and {own.network_id.hex()} don't talk"
        raise Refused(Refusal.WRONG_NETWORK, detail)
    # 3. Same protocol.
    if theirs.protocol_version != PROTOCOL_VERSION:
        detail = f"protocol versions {theirs.protocol_version} and {PROTOCOL_VERSION} don't talk"
        raise Refused(Refusal.WRONG_VERSION, detail)
    # 4. Same rules of the chain; around an upgrade clocks may be on either side of it.
    if theirs.rules_version not in own.rules:
        raise Refused(
            Refusal.WRONG_RULES,
            f"plays by version {theirs.rules_version} of the chain's rules, here version "
            f"{own.rules[0]} is in force",
        )
    # 5. Keys, ids and nonces have their sizes.
    if len(theirs.public_key) != HASH_BYTES or len(theirs.head) != HASH_BYTES:
        raise Refused(Refusal.MALFORMED, f"keys and ids have {HASH_BYTES} bytes")
    if len(theirs.nonce) != NONCE_BYTES:
        raise Refused(Refusal.MALFORMED, f"nonces have {NONCE_BYTES} bytes")
    if theirs.listen_port > _HIGHEST_PORT:
        raise Refused(Refusal.MALFORMED, f"there is no port {theirs.listen_port}")
    # 6. Somebody else.
    if theirs.public_key == bytes(own.key.verify_key):
        raise Refused(Refusal.OWN_IDENTITY, "this node met itself")
    return theirs


def _proof(own: Introduction, theirs: Hello, *, is_dialler: bool) -> Proof:
    signed = greeting_digest(
        own.network_id, bytes(own.key.verify_key), theirs.public_key, theirs.nonce, is_dialler
    )
    return Proof(signature=own.key.sign(signed).signature)


def _check_proof(
    answer: PeerMessage, own: Introduction, theirs: Hello, *, is_dialler: bool
) -> None:
    # 7. The proof comes next.
    if not answer.HasField("proof"):
        raise Refused(Refusal.BAD_PROOF, "the second message has to be the proof")
    # 8. It is the signature of the key that hello named, over this node's nonce.
    signed = greeting_digest(
        own.network_id, theirs.public_key, bytes(own.key.verify_key), own.nonce, is_dialler
    )
    try:
        VerifyKey(theirs.public_key).verify(signed, answer.proof.signature)
    except (BadSignatureError, ValueError) as error:
        raise Refused(Refusal.BAD_PROOF, "does not hold the key that it names") from error


def greeting_digest(
    network_id: bytes, signer: bytes, verifier: bytes, nonce: bytes, is_dialler: bool
) -> bytes:
    """The 32 bytes a proof signs; `nonce` is the verifier's, `is_dialler` tells of the signer."""
    role = b"dialler" if is_dialler else b"listener"
    return blake("ponas/greeting", network_id, signer, verifier, nonce, role)
