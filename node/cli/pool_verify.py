"""`ponas pool verify-payout` and `ponas pool audit-manager`: does a pool's word hold?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
from rich.table import Table

from node.chain.envelope import Signed
from node.chain.messages import PayoutNotice, Receipt
from node.cli.asking import ask, ask_if_there, console, json_option, node_option
from node.cli.pool_evidence import (
    Chain,
    EvidenceError,
    LogReader,
    read_chain,
    read_notices,
    read_receipts,
    read_trainings,
)
from node.cli.tables import shorten
from node.endpoint import EndpointError, parse_endpoint
from ponas.v1 import query_service_pb2 as query
from pool.proofs.fees import payout_fees
from pool.proofs.findings import Finding
from pool.proofs.logaudit import due_in_logs
from pool.proofs.verification import Payment, audit_manager, rounds_untold, verify_payout
from pool.rules.payout import MAX_LINES, TOTAL_WEIGHT

_NOT_FINAL = "not-final"
_NO_NOTICE = "no-notice"
# A block may owe nothing for receipted work, so that a missing notice breaks no promise yet.
_HOLDS = (Payment.PAID, Payment.NOT_WON, _NOT_FINAL, _NO_NOTICE)
_HINT = (
    f"{_NO_NOTICE}: the pool won after work that it has receipted. A payout leaves out dust, all "
    f"but {MAX_LINES:,} lines, and what was taken or held back; `ponas pool audit-manager` tells "
    "more."
)
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
        if any(row["payment"] == _NO_NOTICE for row in rows):
            click.echo(_HINT)
    else:
        click.echo(
            "This node keeps no payout notices" + (f" of round {number}." if number else ".")
        )
    raise click.exceptions.Exit(0 if all(row["payment"] in _HOLDS for row in rows) else _FOUND)


def _payments(address: str, number: int | None) -> list[dict[str, Any]]:
    asks = partial(ask, address)
    status: Any = asks("GetStatus", query.GetStatusRequest())
    network_id = bytes.fromhex(status.network_id)
    notices, receipts = read_notices(asks, network_id), read_receipts(asks, network_id)
    if not notices and not receipts:
        return []
    rounds = [n.message.round for n in notices] + [r.message.round for r in receipts]
    chain = read_chain(asks, min(rounds))
    promised = [
        _row(
            notice.message.round,
            notice.signer,
            100 * notice.message.weight / TOTAL_WEIGHT,
            _payment(notice, chain),
        )
        for notice in notices
    ]
    rows = [*promised, *_untold(receipts, notices, chain)]
    return [row for row in rows if number is None or row["round"] == number]


def _untold(
    receipts: list[Signed[Receipt]], notices: list[Signed[PayoutNotice]], chain: Chain
) -> Iterator[dict[str, Any]]:
    for pool in sorted({receipt.signer for receipt in receipts}):
        worked = (receipt.message for receipt in receipts if receipt.signer == pool)
        told = (notice.message for notice in notices if notice.signer == pool)
        for round_number in rounds_untold(pool, worked, told, chain.blocks):
            yield _row(round_number, pool, None, _NO_NOTICE)


def _row(
    round_number: int, pool: bytes, share_percent: float | None, payment: str
) -> dict[str, Any]:
    return {
        "round": round_number,
        "pool": pool.hex(),
        "share_percent": share_percent,
        "payment": payment,
    }


def _payment(notice: Signed[PayoutNotice], chain: Chain) -> str:
    if notice.message.round > chain.final_round:
        return _NOT_FINAL
    block = chain.blocks.get(notice.message.round)
    return verify_payout(notice.message, chain.network_id, notice.signer, block)


@dataclass(frozen=True)
class _Audited:
    """What was checked of a manager's word, and what did not agree.

    `fees_permille` are those of payouts whose log was handed out, by round.
    """

    manager: bytes
    receipts: int
    receipts_in_log: int
    payouts: int
    rounds_in_log: int
    rounds_priced: int
    fees_permille: Mapping[int, int]
    findings: tuple[Finding, ...]


def _audit(address: str, as_json: bool, pool: str) -> None:
    try:
        audited = _audited(address, str(parse_endpoint(pool)))
    except EndpointError as error:
        raise click.BadParameter(f"{error}.", param_hint="POOL") from None
    except EvidenceError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        shown = dataclasses.asdict(audited) | {"manager": audited.manager.hex()}
        click.echo(json.dumps(shown, indent=2))
    elif audited.findings:
        console().print(_table([dataclasses.asdict(finding) for finding in audited.findings]))
    else:
        click.echo(_agreement(audited))
    raise click.exceptions.Exit(_FOUND if audited.findings else 0)


def _agreement(audited: _Audited) -> str:
    told = (
        f"All that was checked agrees: {audited.receipts_in_log} of {audited.receipts} receipts "
        f"with the share log, {audited.payouts} payouts with the log and the chain, entries of "
        f"{audited.rounds_priced} of {audited.rounds_in_log} rounds with the price of their "
        "training."
    )
    if not audited.fees_permille:
        return told
    highest = max(audited.fees_permille.values())
    return f"{told} The manager's fee was at most {highest} thousandths."


def _audited(address: str, pool: str) -> _Audited:
    # The engine takes its time to load.
    from pool.proofs.pricing import pricing

    asks = partial(ask, address)
    status: Any = ask(pool, "GetStatus", query.GetStatusRequest())
    manager, network_id = bytes.fromhex(status.public_key), bytes.fromhex(status.network_id)
    receipts = [r.message for r in read_receipts(asks, network_id) if r.signer == manager]
    notices = [n.message for n in read_notices(asks, network_id) if n.signer == manager]
    if not receipts and not notices:
        raise EvidenceError(f"the node at {address} keeps nothing signed by the pool at {pool}")
    oldest = min([r.round for r in receipts] + [n.round for n in notices])
    chain, trainings = read_chain(asks, oldest), read_trainings(asks, oldest)
    final = [notice for notice in notices if notice.round <= chain.final_round]
    reader = LogReader(partial(ask_if_there, pool))
    logs = {notice.share_log: reader.read(notice) for notice in final}
    rounds = {page.round for log in logs.values() for page in log.pages}
    shown: Any = ask(pool, "GetPool", query.GetPoolRequest())
    most_work = pricing(trainings)
    found = audit_manager(
        network_id, manager, receipts, final, chain.blocks, logs, most_work, shown.fee_permille
    )
    return _Audited(
        manager,
        len(receipts),
        len(list(due_in_logs(receipts, final, logs))),
        len(final),
        len(rounds),
        len(rounds & trainings.keys()),
        payout_fees(final, logs),
        found,
    )


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(header_style="dim", box=None, padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(name.replace("_", " "))
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    return table


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else shorten(str(value))


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
    "Exit code 1 if a promise was broken. A pool that won with this miner's work behind it and "
    "promised nothing is told of, and may have broken none.",
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
