"""What the commands about money ask of a node, and check for themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import click

from node.chain.block import open_header
from node.chain.codec import decode
from node.chain.envelope import sign
from node.chain.errors import Rejected
from node.chain.genesis import Network
from node.chain.hashing import MAX_INT
from node.chain.inclusion import AccountProof, verify_account
from node.chain.messages import Envelope, Transaction
from node.chain.state import Account, compute_root, genesis_state
from node.chain.table import TableProof
from node.chain.transactions import compute_least_fee
from node.cli.asking import ask
from node.config import load_network
from node.errors import ConfigError
from node.identity import Identity, format_address
from node.wire import envelope_to_proto
from ponas.v1 import query_service_pb2 as query

Make = Callable[[int, int], Transaction]
"""A transaction out of its nonce and its fee."""


def network_option() -> click.Option:
    """`--network NAME|FILE`, handed over as `network`."""
    return click.Option(
        ["--network"],
        default="devnet",
        show_default=True,
        envvar="PONAS_NETWORK",
        show_envvar=True,
        callback=_network,
        metavar="NAME|FILE",
        help="The network: a built-in name or a network file.",
    )


@dataclass(frozen=True)
class Shown:
    """An account that the state root of a block has been found to hold."""

    address: str
    balance: int
    nonce: int
    block: str
    round: int
    final: bool
    next_nonce: int


def fetch_account(node: str, network: Network, address: bytes, block: str = "") -> Shown:
    """An account after a block, or after the head; ends the program if its proof does not hold."""
    request = query.GetAccountRequest(address=format_address(address), block=block)
    answer = cast(query.GetAccountResponse, ask(node, "GetAccount", request))
    state_root = _state_root(node, network, answer.proof.block)
    if block not in ("", answer.proof.block) or not _holds(answer, address, state_root):
        raise click.ClickException(f"{node} showed an account that its block does not hold.")
    return Shown(
        format_address(address),
        answer.balance,
        answer.nonce,
        answer.proof.block,
        answer.proof.round,
        answer.proof.final,
        answer.next_nonce,
    )


def hand_in(
    node: str, network: Network, identity: Identity, make: Make, nonce: int, fee: int
) -> str:
    """Sign a transaction and give it to a node, which keeps it; returns its id."""
    signed = sign(make(nonce, fee), identity.signing_key, network.id)
    request = query.SubmitTransactionRequest(transaction=envelope_to_proto(signed.envelope))
    answer = cast(query.SubmitTransactionResponse, ask(node, "SubmitTransaction", request))
    if answer.reason:
        raise click.ClickException(f"Refused ({answer.reason}): {answer.detail}.")
    return signed.id.hex()


def least_fee(network: Network, identity: Identity, make: Make) -> int:
    """A fee that is enough for whatever nonce and fee go into the transaction."""
    longest = sign(make(MAX_INT, MAX_INT), identity.signing_key, network.id)
    return compute_least_fee(network.parameters, longest)


def check_network(node: str, network: Network) -> None:
    """End the program unless a node is of the network that the user means."""
    status = cast(query.GetStatusResponse, ask(node, "GetStatus", query.GetStatusRequest()))
    if status.network_id != network.id.hex():
        raise click.ClickException(
            f"{node} is of the network {status.network} ({status.network_id[:10]}…), not of "
            f"{network.parameters.name} ({network.id.hex()[:10]}…); name it with --network."
        )


def _network(_context: click.Context, _option: click.Parameter, name: str) -> Network:
    try:
        return load_network(name)
    except ConfigError as error:
        raise click.BadParameter(f"{error}.") from None


def _state_root(node: str, network: Network, block: str) -> bytes:
    """The state root in a block's signed header, whose id is that of the block."""
    if block == network.genesis_id.hex():
        return compute_root(genesis_state(network))
    request = query.GetBlockBytesRequest(id=block)
    answer = cast(query.GetBlockBytesResponse, ask(node, "GetBlockBytes", request))
    try:
        header = open_header(decode(Envelope, bytes.fromhex(answer.header)), network.id)
    except (Rejected, ValueError) as error:
        raise click.ClickException(f"{node} showed no header of {block[:10]}…: {error}.") from None
    if header.id.hex() != block:
        raise click.ClickException(f"{node} showed the header of another block.")
    return header.message.state_root


def _holds(answer: query.GetAccountResponse, address: bytes, state_root: bytes) -> bool:
    """Whether the proof in an answer leads from the account to the state root."""
    shown = answer.proof
    try:
        way = TableProof(
            tuple(bytes.fromhex(part) for part in shown.siblings),
            bytes.fromhex(shown.other_key),
            bytes.fromhex(shown.other_record),
        )
        proof = AccountProof(tuple(bytes.fromhex(part) for part in shown.root_parts), way)
    except ValueError:
        return False
    account = Account(answer.balance, answer.nonce, answer.faucet_era)
    accounts = [account, None] if account == Account() else [account]
    return any(verify_account(state_root, address, each, proof) for each in accounts)
