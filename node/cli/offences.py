"""Signed objects in files that prove an offence, wherever their owner has them from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from node.chain.codec import decode
from node.chain.envelope import Signed, open_envelope
from node.chain.errors import Rejected
from node.chain.evidence import prove
from node.chain.genesis import Network
from node.chain.messages import Envelope, Lease, LeaseAcceptance, Payload
from node.chain.offence import Offence, Proven


def read_offence(files: Sequence[Path], network: Network) -> tuple[tuple[Envelope, ...], Proven]:
    """The envelopes in the order in which evidence shows them, and what they prove.

    Ends the program if they prove nothing by themselves.
    """
    try:
        shown = sorted((_read_signed(file, network) for file in files), key=_place_of)
        proven = prove(shown)
    except (Rejected, OSError) as error:
        raise click.ClickException(f"{error}.") from None
    if proven.offence is Offence.FALSE_CLAIM:
        raise click.ClickException("Whether a single claim is false, nodes find out by themselves.")
    return tuple(signed.envelope for signed in shown), proven


def _read_signed(file: Path, network: Network) -> Signed[Payload]:
    data = file.read_bytes()
    with suppress(ValueError):
        data = bytes.fromhex(data.decode("ascii"))
    return open_envelope(decode(Envelope, data), network.id)


def _place_of(signed: Signed[Payload]) -> tuple[int, bytes]:
    """A lease comes before its acceptance and what broke it, objects of one kind by id."""
    promises: tuple[type[Payload], ...] = (Lease, LeaseAcceptance)
    kind = type(signed.message)
    return promises.index(kind) if kind in promises else len(promises), signed.id
