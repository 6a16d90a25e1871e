"""`ponas wallet`: balances that are checked, payments, bonds, and what happened to an account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import click

from node.chain.bonds import BondKind
from node.chain.genesis import Network
from node.chain.messages import AddBond, Evidence, Faucet, Transfer, Unbond
from node.cli.asking import ask, json_flag, node_option, show, tell
from node.cli.keys import data_dir_option, read_key
from node.cli.ledger import check_network, fetch_account, network_option
from node.cli.offences import read_offence
from node.cli.spending import AMOUNT, Spending, fee_option, yes_option
from node.errors import ExitCode
from node.identity import AddressError, format_address, parse_address
from ponas.v1 import query_service_pb2 as query


class _Address(click.ParamType[bytes]):
    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> bytes:
        try:
            return value if isinstance(value, bytes) else parse_address(value)
        except AddressError as error:
            self.fail(f"{error}.", param, ctx)


_kind = click.argument("kind", type=click.Choice([kind.name.lower() for kind in BondKind]))
_account = click.argument("account", type=_Address(), required=False, metavar="[ADDRESS]")


@click.group(
    epilog=f"Exit codes: 0 done, 1 refused or not proved, 2 wrong use, {ExitCode.KEY:d} a bad key "
    f"file, {ExitCode.UNREACHABLE:d} no node answers."
)
def wallet() -> None:
    """What an account has, where it came from, paying and bonds. Amounts are base units.

    The account is that of the key in --data-dir unless ADDRESS is given.
    """


def _command(run: Callable[..., None]) -> None:
    """Add a command to the group, with the options that all have."""
    command = click.command(json_flag(run))
    command.params += [node_option(), network_option(), data_dir_option()]
    wallet.add_command(command)


@_command
@_account
def balance(
    account: bytes | None, address: str, network: Network, folder: Path, as_json: bool
) -> None:
    """What an account has after the newest block, checked against its state root."""
    check_network(address, network)
    tell(asdict(fetch_account(address, network, _or_own(account, folder))), as_json)


@_command
@click.argument("block", metavar="BLOCK_ID")
@_account
def verify(
    block: str, account: bytes | None, address: str, network: Network, folder: Path, as_json: bool
) -> None:
    """Check what an account had after a block that you trust, whatever the node says."""
    check_network(address, network)
    shown = fetch_account(address, network, _or_own(account, folder), block.lower())
    tell(asdict(shown), as_json)


@_command
@_account
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Most entries."
)
def history(
    account: bytes | None,
    limit: int,
    address: str,
    network: Network,
    folder: Path,
    as_json: bool,
) -> None:
    """What blocks did to an account, newest first."""
    check_network(address, network)
    name = format_address(_or_own(account, folder))
    show(query.GetHistoryResponse(entries=islice(_entries(address, name), limit)), as_json)


@_command
@click.argument("recipient", type=_Address(), metavar="ADDRESS")
@click.argument("amount", type=AMOUNT)
@fee_option
@yes_option
def send(
    recipient: bytes,
    amount: int,
    fee: int | None,
    yes: bool,
    address: str,
    network: Network,
    folder: Path,
    as_json: bool,
) -> None:
    """Pay AMOUNT base units to ADDRESS out of the account of the key."""
    check_network(address, network)
    deposit = network.parameters.account_deposit
    other = fetch_account(address, network, recipient)
    if other.balance + amount < deposit:
        raise click.ClickException(
            f"An account holds {deposit} at least; {amount} would be burnt, as that one has "
            f"{other.balance}."
        )
    spending = Spending(address, network, folder, fee, yes)
    question = f"Pay {amount} to {format_address(recipient)}"
    tell(spending.spend(partial(Transfer, recipient, amount), amount, question), as_json)


@_command
@_kind
@click.argument("amount", type=AMOUNT)
@click.option("--owner", type=_Address(), metavar="ADDRESS", help="Who may unbond.  [default: own]")
@fee_option
@yes_option
def bond(
    kind: str,
    amount: int,
    owner: bytes | None,
    fee: int | None,
    yes: bool,
    address: str,
    network: Network,
    folder: Path,
    as_json: bool,
) -> None:
    """Put AMOUNT base units at stake, so that the key may attest or produce."""
    check_network(address, network)
    spending = Spending(address, network, folder, fee, yes)
    make = partial(AddBond, BondKind[kind.upper()], _or_own(owner, folder), amount)
    tell(spending.spend(make, amount, f"Put {amount} at stake to {kind}"), as_json)


@_command
@_kind
@click.argument("amount", type=AMOUNT)
@click.option("--identity", type=_Address(), metavar="ADDRESS", help="Whose bond.  [default: own]")
@fee_option
@yes_option
def unbond(
    kind: str,
    amount: int,
    identity: bytes | None,
    fee: int | None,
    yes: bool,
    address: str,
    network: Network,
    folder: Path,
    as_json: bool,
) -> None:
    """Get AMOUNT base units of a bond back, after ten eras in which they can still be lost."""
    check_network(address, network)
    spending = Spending(address, network, folder, fee, yes)
    make = partial(Unbond, BondKind[kind.upper()], _or_own(identity, folder), amount)
    question = f"Take {amount} from the bond to {kind}"
    tell(spending.spend(make, 0, question), as_json)


@_command
@_account
def bonds(
    account: bytes | None, address: str, network: Network, folder: Path, as_json: bool
) -> None:
    """What is at stake for an account's key, or belongs to the account."""
    check_network(address, network)
    name = format_address(_or_own(account, folder))
    show(ask(address, "ListBonds", query.ListBondsRequest(address=name)), as_json)


@_command
def faucet(address: str, network: Network, folder: Path, as_json: bool) -> None:
    """Get coins for nothing, once an era, on a network where they are worth nothing."""
    check_network(address, network)
    drawn = network.parameters.faucet
    spending = Spending(address, network, folder, None, yes=True)
    tell(spending.spend(Faucet, -drawn, "Draw") | {"amount": drawn}, as_json)


@_command
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE...",
)
@fee_option
@yes_option
def evidence(
    files: tuple[Path, ...],
    fee: int | None,
    yes: bool,
    address: str,
    network: Network,
    folder: Path,
    as_json: bool,
) -> None:
    """Show the chain what nobody may sign, for a twentieth of what its signer loses.

    Each FILE holds a signed object, in bytes or hexadecimal: two lists or two claims of a round,
    two votes that contradict each other, or a lease, its acceptance and what broke it. The chain
    takes them for ten eras.
    """
    shown, proven = read_offence(files, network)
    check_network(address, network)
    spending = Spending(address, network, folder, fee, yes)
    make = partial(Evidence, shown)
    accused = format_address(proven.offender)
    question = f"Accuse {accused} ({proven.offence}, round {proven.round})"
    tell(spending.spend(make, 0, question) | {"accused": accused}, as_json)


def _or_own(account: bytes | None, folder: Path) -> bytes:
    return read_key(folder).public_key if account is None else account


def _entries(node: str, account: str) -> Iterator[query.HistoryEntry]:
    below = 0
    while True:
        request = query.GetHistoryRequest(address=account, below=below)
        answer = cast(query.GetHistoryResponse, ask(node, "GetHistory", request))
        yield from answer.entries
        below = answer.next
        if below == 0:
            return
