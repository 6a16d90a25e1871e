"""How the commands that cost something ask, sign and hand in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from node.chain.genesis import Network
from node.cli.keys import load_key
from node.cli.ledger import Make, fetch_account, hand_in, least_fee

AMOUNT = click.IntRange(1, (1 << 63) - 1)
"""Base units."""
yes_option = click.option("--yes", is_flag=True, help="Do not ask before it is sent.")
fee_option = click.option(
    "--fee", type=AMOUNT, help="What to offer.  [default: the least that is taken]"
)


@dataclass(frozen=True)
class Spending:
    """How a transaction of the key in a folder is paid for and sent."""

    node: str
    network: Network
    folder: Path
    fee: int | None
    yes: bool

    def spend(self, make: Make, amount: int, question: str) -> dict[str, object]:
        """Ask, sign and hand in a transaction that takes so much beside its fee."""
        deposit = self.network.parameters.account_deposit
        identity = load_key(self.folder)
        own = fetch_account(self.node, self.network, identity.public_key)
        fee = self.fee or least_fee(self.network, identity, make)
        rest = own.balance - amount - fee
        if rest < 0:
            raise click.ClickException(f"The account has {own.balance}, {amount + fee} are due.")
        lost = f" The rest of {rest} is below {deposit} and will be burnt." * (rest < deposit)
        if not self.yes:
            click.confirm(f"{question} for a fee of {fee}?{lost}", abort=True, err=True)
        sent = hand_in(self.node, self.network, identity, make, own.next_nonce, fee)
        return {"transaction": sent, "amount": amount, "fee": fee}
