"""`ponas pool verify-payout` and `ponas pool audit-manager`: does a pool's word hold?"""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from typing import Any

import click
from rich.table import Table

from node.chain.envelope import Signed
from node.chain.messages import PayoutNotice
from node.cli.asking import ask, ask_if_there, console, json_option, node_option
from node.cli.pool_evidence import (
    Chain,
    EvidenceError,
    LogReader,
    read_chain,
    read_notices,
    read_receipts,
)
from node.cli.tables import shorten
from node.endpoint import EndpointError, parse_endpoint
from ponas.v1 import query_service_pb2 as query
from pool.proofs.verification import Finding, Payment, audit_manager, verify_payout
from pool.rules.payout import TOTAL_WEIGHT

_NOT_FINAL = "not-final"
_HOLDS = (Payment.PAID, Payment.NOT_WON, _NOT_FINAL)
_FOUND = 1


def _verify(address: str, as_json: bool, number: int | None) -> None:
    try:
        rows = _payments(address, number)
    except EvidenceError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        console().print(_table(rows))
    else:
        click.echo(
            "This node keeps no payout notices" + (f" of round {number}." if number else ".")
        )
    raise click.exceptions.Exit(0 if all(row["payment"] in _HOLDS for row in rows) else _FOUND)


def _payments(address: str, number: int | None) -> list[dict[str, Any]]:
    asks = partial(ask, address)
    status: Any = asks("GetStatus", query.GetStatusRequest())
    notices = read_notices(asks, bytes.fromhex(status.network_id))
    asked = [n for n in notices if number is None or n.message.round == number]
    if not asked:
        return []
    chain = read_chain(asks, min(notice.message.round for notice in asked))
    return [
        {
            "round": notice.message.round,
            "pool": notice.signer.hex(),
            "share_percent": 100 * notice.message.weight / TOTAL_WEIGHT,
            "payment": _payment(notice, chain),
        }
        for notice in asked
    ]


def _payment(notice: Signed[PayoutNotice], chain: Chain) -> str:
    if notice.message.round > chain.final_round:
        return _NOT_FINAL
    block = chain.blocks.get(notice.message.round)
    return verify_payout(notice.message, chain.network_id, notice.signer, block)


def _audit(address: str, as_json: bool, pool: str) -> None:
    try:
        manager, findings = _findings(address, str(parse_endpoint(pool)))
    except EndpointError as error:
        raise click.BadParameter(f"{error}.", param_hint="POOL") from None
    except EvidenceError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        shown = [dataclasses.asdict(finding) for finding in findings]
        click.echo(json.dumps({"manager": manager.hex(), "findings": shown}, indent=2))
    elif findings:
        console().print(_table([dataclasses.asdict(finding) for finding in findings]))
    else:
        click.echo("All that this pool has signed agrees with the chain and with its share log.")
    raise click.exceptions.Exit(_FOUND if findings else 0)


def _findings(address: str, pool: str) -> tuple[bytes, tuple[Finding, ...]]:
    asks = partial(ask, address)
    status: Any = ask(pool, "GetStatus", query.GetStatusRequest())
    manager, network_id = bytes.fromhex(status.public_key), bytes.fromhex(status.network_id)
    receipts = read_receipts(asks, network_id, manager)
    notices = [n.message for n in read_notices(asks, network_id) if n.signer == manager]
    if not receipts and not notices:
        raise EvidenceError(f"the node at {address} keeps nothing signed by the pool at {pool}")
    oldest = min([r.round for r in receipts] + [n.round for n in notices])
    chain = read_chain(asks, oldest)
    final = [notice for notice in notices if notice.round <= chain.final_round]
    reader = LogReader(partial(ask_if_there, pool))
    logs = {notice.share_log: reader.read(notice) for notice in final}
    return manager, audit_manager(network_id, manager, receipts, final, chain.blocks, logs)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(header_style="dim", box=None, padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(name.replace("_", " "))
    for row in rows:
        table.add_row(
            *(f"{v:.4f}" if isinstance(v, float) else shorten(str(v)) for v in row.values())
        )
    return table


verify_payout_command = click.Command(
    "verify-payout",
    callback=_verify,
    params=[
        node_option(),
        json_option(),
        click.Option(
            ["--round", "number"], type=click.IntRange(1, (1 << 63) - 1), help="Only this round."
        ),
    ],
    help="Check that pools paid this node's miner what they promised before the block existed.\n\n"
    "Exit code 1 if a promise was broken.",
)

audit_manager_command = click.Command(
    "audit-manager",
    callback=_audit,
    params=[node_option(), json_option(), click.Argument(["pool"], metavar="POOL")],
    help="Check all that a pool has signed for this node's miner.\n\n"
    "POOL is the HOST:PORT of the manager, which hands out its share log. Receipts and notices are "
    "compared with the chain and with the log, and the payout is computed again. Exit code 1 if "
    "anything does not agree.",
)
