"""`ponas chain`: the chain in a node's data folder, and who listed what for it."""

import click

from node.cli.asking import Query, query_command
from node.cli.chain_repair import repair, verify
from ponas.v1 import query_service_pb2 as query

chain = click.Group(
    "chain", help="Check and mend the chain in a node's data folder; see who lists commitments."
)

chain.add_command(verify)
chain.add_command(repair)
chain.add_command(
    query_command(
        "lists",
        Query(
            "GetLists",
            "Who listed which commitments in a round, and whom some left out.",
            lambda number: query.GetListsRequest(round=number),
            "[ROUND]",
            click.IntRange(0, (1 << 63) - 1),
        ),
    )
)
