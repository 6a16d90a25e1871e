"""Publishers that want something else than a model."""

from __future__ import annotations

from typing import Any

from node.assembly import Node
from node.net.blobs import serve_chunk
from node.net.session import Session
from ponas.v1.peer_service_pb2 import GetBlob
from tests.sim.publisher import TEST_IMAGES, Publisher
from tests.sim.world import World


class Washer:
    """Pays its own company, which has seen its test images (`producers.Insider`): it keeps every
    rule itself."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        """Nothing of it shows."""


class Impossible:
    """Asks for models without a single mistake, so that nobody is paid."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        if not isinstance(node, Publisher):
            raise ValueError(f"{name} publishes nothing")
        node.target = TEST_IMAGES


class SelectiveServer:
    """Serves its data to its own company alone, so that nobody else can train."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        dispatcher: Any = node.peers._dispatcher
        answer = dispatcher._answer_blob

        def answer_friends(session: Session, request: GetBlob) -> None:
            is_secret = node._library.blob(request.hash) is not None
            if is_secret and session.public_key not in world.company:
                session.answer(lambda: serve_chunk(request, None))
            else:
                answer(session, request)

        dispatcher._answer_blob = answer_friends
