"""`ponas chain`: the chain in a node's data folder."""

import click

from node.cli.chain_repair import repair, verify

chain = click.Group("chain", help="Check and mend the chain in a node's data folder.")

chain.add_command(verify)
chain.add_command(repair)
