"""`ponas pool`: shows a manager's pool; its commands look into it, check it and simulate it."""

import click

from node.cli.asking import ask, json_option, node_option, show
from node.cli.pool_events import pool_events
from node.cli.pool_partition import pool_partition
from node.cli.pool_simulate import pool_simulate
from node.cli.pool_verify import audit_manager_command, verify_payout_command
from ponas.v1 import query_service_pb2 as query


def _show(context: click.Context, address: str, as_json: bool) -> None:
    if context.invoked_subcommand is None:
        show(ask(address, "GetPool", query.GetPoolRequest()), as_json)


pool = click.Group(
    "pool",
    callback=click.pass_context(_show),
    invoke_without_command=True,
    params=[node_option(), json_option()],
    help="A manager's pool and its best design; its commands look further.",
)

pool.add_command(pool_events)
pool.add_command(pool_partition)
pool.add_command(pool_simulate)
pool.add_command(verify_payout_command)
pool.add_command(audit_manager_command)
