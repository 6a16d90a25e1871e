"""Golden bytes: the file changes only by a deliberate run of tools/vectors.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from node.chain.block import open_block
from node.chain.envelope import open_envelope
from node.chain.errors import Reason
from node.chain.forkchoice import BlockTree
from node.chain.genesis import network_from_json
from node.chain.messages import Envelope
from node.chain.state import compute_root
from node.chain.transition import apply_block
from ponas.v1 import pool_service_pb2, types_pb2
from tests.chain_world import ScriptedDesigns
from tools.vectors import PATH, compute_vectors

VECTORS: dict[str, Any] = json.loads(Path(PATH).read_text())
NETWORK = network_from_json(json.dumps(VECTORS["network"]))


def envelope_of(row: dict[str, Any]) -> Envelope:
    parts = row["envelope"]
    return Envelope(
        parts["kind"],
        bytes.fromhex(parts["payload"]),
        bytes.fromhex(parts["public_key"]),
        bytes.fromhex(parts["signature"]),
    )


def test_code_computes_the_golden_values() -> None:
    assert compute_vectors() == VECTORS


def test_network_has_the_golden_id() -> None:
    assert NETWORK.id.hex() == VECTORS["network_id"]
    assert NETWORK.genesis_id.hex() == VECTORS["genesis_id"]


def test_golden_objects_open() -> None:
    for row in VECTORS["objects"]:
        signed = open_envelope(envelope_of(row), NETWORK.id)
        assert (type(signed.message).__name__, signed.id.hex()) == (row["type"], row["id"])


def test_protobuf_reads_the_golden_payloads() -> None:
    for row in VECTORS["objects"]:
        home = types_pb2 if hasattr(types_pb2, row["type"]) else pool_service_pb2
        message: Any = getattr(home, row["type"])()
        message.ParseFromString(envelope_of(row).payload)
        assert message.SerializeToString(deterministic=True) == envelope_of(row).payload


def test_golden_block_is_valid() -> None:
    row = next(row for row in VECTORS["objects"] if row["type"] == "Claim")
    block = open_block(envelope_of(row), bytes.fromhex(VECTORS["body"]), NETWORK.id)
    tree = BlockTree(NETWORK)
    context = tree.context_for(block.parent, block.round)
    state = apply_block(context, tree.head().state, block, ScriptedDesigns())
    assert compute_root(state).hex() == row["message"]["state_root"]
    assert not block.is_fallback


def test_reasons_are_stable() -> None:
    """Names on the wire of queries and metrics: lower-case words with hyphens, each once."""
    assert len({str(reason) for reason in Reason}) == len(Reason)
    assert all(reason.value == reason.name.lower().replace("_", "-") for reason in Reason)


def test_reasons_are_documented() -> None:
    text = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text()
    assert [reason for reason in Reason if f"`{reason}`" not in text] == []
