"""`ponas wallet` against a real query service over a real chain, and against one that lies."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result
from nacl.signing import SigningKey

from node.chain.bonds import BondKey, BondKind
from node.chain.codec import encode
from node.chain.envelope import Signed, sign
from node.chain.genesis import DEVNET_GENESIS, network_to_json
from node.chain.messages import Commit, Lease, LeaseAcceptance, List
from node.chain.params import FAST
from node.cli.client import main
from node.identity import format_address
from node.inspection.ledger import ChainLedger
from node.keyfile import create_identity
from node.net.grpc_transport import GrpcServer
from node.net.link import PeerLink
from node.query import QueryServicer
from node.views.blocks import BlockBytesView
from node.views.ledger import AccountView
from node.views.status import StatusView
from tests.chain_world import ATTESTERS, ENDOWMENT, OUTSIDER, PRODUCERS, World, public
from tests.desk import Desk
from tests.fixed_views import STATUS, FixedViews

T = TypeVar("T")
PAYER, PAYEE = PRODUCERS[0], b"r" * 32
PAYEE_NAME = format_address(PAYEE)
DEPOSIT = FAST.account_deposit


class LyingLedger(ChainLedger):
    """Claims that every account has a coin more than it has."""

    def account(self, address: str, block: bytes | None) -> AccountView:
        truth = super().account(address, block)
        return replace(truth, balance=truth.balance + 1)


class Served(FixedViews):
    """A desk as a node shows it."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.ledger: Any = ChainLedger(desk.chain, desk.submissions)

    def status(self) -> StatusView:
        return replace(STATUS, network_id=self.desk.world.network.id)

    def block_bytes(self, which: bytes | int | None) -> BlockBytesView:
        assert isinstance(which, bytes)
        record = self.desk.chain.record(which)
        assert record is not None
        return BlockBytesView(record.row.header, record.body)


class Node:
    """A desk served from a thread with a loop of its own, and `ponas` as its user."""

    def __init__(self, folder: Path, world: World | None = None) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.desk = Desk(world or World())
        self.views = Served(self.desk)
        self.server = self.run(self._serve())
        self.address = self.run(self.server.start("127.0.0.1:0"))
        (folder / "network.json").write_text(network_to_json(self.desk.world.network))
        self.give_key(PAYER)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def mine(self) -> None:
        """A block with all that waits."""
        self.run(self.desk.mine(*self.desk.mempool.transactions()))

    def give_key(self, key: SigningKey) -> None:
        file = self.folder / "node.key"
        file.unlink(missing_ok=True)
        create_identity(file, None, lambda _: bytes(key))

    def wallet(self, command: str, *words: str, answer: str = "") -> Result:
        return self.call("wallet", command, *words, answer=answer)

    def call(self, *words: str, answer: str = "") -> Result:
        options = ("--node", self.address, "--data-dir", str(self.folder))
        network = ("--network", str(self.folder / "network.json"))
        call = [*words, *options, *network]
        return CliRunner().invoke(main, call, input=answer, env={"PONAS_KEY_PASSPHRASE": None})

    def asked(self, command: str, *words: str) -> Any:
        """The JSON answer of a command that succeeds."""
        result = self.wallet(command, *words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def close(self) -> None:
        self.run(self.server.stop(0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _serve(self) -> GrpcServer:
        async def no_peer(link: PeerLink) -> None:
            await link.close("not here")

        return GrpcServer(QueryServicer(self.views), no_peer)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    served = Node(tmp_path)
    yield served
    served.close()


def test_a_balance_is_checked_from_genesis_on(node: Node) -> None:
    before = node.asked("balance")
    assert (before["address"], before["balance"]) == (format_address(public(PAYER)), ENDOWMENT)
    assert before["block"] == node.desk.world.genesis.hex()
    node.mine()
    after = node.asked("balance", PAYEE_NAME)
    assert (after["balance"], after["round"], after["final"]) == (0, 1, False)
    assert "balance: 0" in node.wallet("balance", PAYEE_NAME).output


def test_a_payment_is_sent_after_a_question_and_arrives(node: Node) -> None:
    node.mine()
    result = node.wallet("send", PAYEE_NAME, str(DEPOSIT), answer="n\n")
    assert (result.exit_code, len(node.desk.mempool)) == (1, 0)
    assert f"Pay {DEPOSIT} to {PAYEE_NAME} for a fee of" in result.output
    result = node.wallet("send", PAYEE_NAME, str(DEPOSIT), answer="y\n")
    assert result.exit_code == 0
    # The next one does not wait for a block.
    sent = node.asked("send", PAYEE_NAME, str(DEPOSIT), "--yes", "--fee", "9000")
    assert sent["fee"] == 9_000
    assert len(node.desk.mempool) == node.desk.kept == 2
    node.mine()
    assert node.asked("balance", PAYEE_NAME)["balance"] == 2 * DEPOSIT
    entries = node.asked("history")["entries"]
    assert [(e["kind"], e["amount"]) for e in entries] == [("transfer", str(DEPOSIT))] * 2
    assert (entries[0]["transaction"], entries[0]["fee"]) == (sent["transaction"], "9000")
    assert len(node.asked("history", "--limit", "1")["entries"]) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((PAYEE_NAME, str(DEPOSIT - 1), "--yes"), "would be burnt, as that one has 0"),
        ((PAYEE_NAME, str(ENDOWMENT), "--yes"), f"The account has {ENDOWMENT}"),
        ((PAYEE_NAME, str(DEPOSIT), "--yes", "--fee", "5"), "Refused (fee): a fee of 5"),
    ],
)
def test_what_can_not_be_paid_is_not_sent(
    node: Node, words: tuple[str, ...], sentence: str
) -> None:
    result = node.wallet("send", *words)
    assert result.exit_code == 1
    assert sentence in result.output
    assert len(node.desk.mempool) == 0


def test_a_rest_that_will_be_burnt_is_told(node: Node) -> None:
    result = node.wallet("send", PAYEE_NAME, str(ENDOWMENT - DEPOSIT), answer="n\n")
    assert f"is below {DEPOSIT} and will be burnt" in result.output


def test_the_faucet_gives_once(node: Node) -> None:
    node.give_key(OUTSIDER)
    drawn = node.asked("faucet")
    node.mine()
    assert node.asked("balance")["balance"] == drawn["amount"] - drawn["fee"]
    result = node.wallet("faucet")
    assert result.exit_code == 1
    assert "Refused (faucet-drawn)" in result.output


def test_a_bond_is_put_up_and_taken_back(node: Node) -> None:
    node.give_key(OUTSIDER)
    node.asked("faucet")
    node.mine()
    unit = FAST.unit_bond
    result = node.wallet("bond", "produce", str(unit), answer="y\n")
    assert f"Put {unit} at stake to produce for a fee of" in result.output
    node.mine()
    (bond,) = node.asked("bonds")["bonds"]
    own = format_address(public(OUTSIDER))
    assert (bond["kind"], bond["identity"], bond["owner"]) == ("produce", own, own)
    assert (bond["amount"], bond["unbonding"], bond["weight"]) == (str(unit), [], "0")
    node.asked("unbond", "produce", str(unit), "--yes")
    node.mine()
    (bond,) = node.asked("bonds", own)["bonds"]
    assert (bond["amount"], bond["unbonding"][0]["amount"]) == ("0", str(unit))
    assert bond["unbonding"][0]["release_era"] == "11"
    (seat,) = node.asked("bonds", format_address(public(ATTESTERS[0])))["bonds"]
    assert (seat["kind"], seat["weight"]) == ("attest", seat["amount"])
    result = node.wallet("unbond", "attest", "1", "--yes")
    assert (result.exit_code, "Refused (bond-owner)" in result.output) == (1, True)


def test_an_account_is_verified_against_a_block_that_the_user_names(node: Node) -> None:
    node.mine()
    first = node.desk.chain.tree.head().id.hex()
    node.wallet("send", PAYEE_NAME, str(DEPOSIT), "--yes")
    node.mine()
    assert node.asked("verify", first)["balance"] == ENDOWMENT
    assert node.asked("verify", first.upper(), PAYEE_NAME)["balance"] == 0
    unknown = node.wallet("verify", "ab" * 32)
    assert (unknown.exit_code, "keeps no state" in unknown.output) == (1, True)


def test_a_node_that_lies_is_found_out(node: Node) -> None:
    node.views.ledger = LyingLedger(node.desk.chain, node.desk.submissions)
    for _ in range(2):
        for command in (("balance",), ("send", PAYEE_NAME, str(DEPOSIT), "--yes")):
            result = node.wallet(*command)
            assert result.exit_code == 1
            assert "showed an account that its block does not hold" in result.output
        node.mine()


def test_a_header_that_is_not_the_blocks(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.mine()
    node.mine()
    first = node.desk.chain.id_at(1)
    assert first is not None
    other = node.desk.chain.record(first)
    assert other is not None
    for header, sentence in (
        (other.row.header, "the header of another block"),
        (b"", "showed no header of"),
        (encode(node.desk.world.vote(PRODUCERS[0], first).envelope), "showed no header of"),
    ):
        shown = BlockBytesView(header, b"")
        monkeypatch.setattr(node.views, "block_bytes", lambda _, shown=shown: shown)
        result = node.wallet("balance")
        assert result.exit_code == 1
        assert sentence in result.output


def test_a_node_of_another_network_gets_no_signature(node: Node) -> None:
    (node.folder / "network.json").write_text(network_to_json(DEVNET_GENESIS))
    result = node.wallet("send", PAYEE_NAME, "5", "--yes")
    assert result.exit_code == 1
    assert "not of devnet" in result.output


@pytest.mark.parametrize("words", [("balance", "pn-typo"), ("send", "pn-typo", "5")])
def test_a_mistyped_address_is_wrong_use(node: Node, words: tuple[str, ...]) -> None:
    result = node.wallet(*words)
    assert result.exit_code == 2
    assert "an address has 60 characters" in result.output


def test_a_folder_without_a_key_is_told(node: Node) -> None:
    (node.folder / "node.key").unlink()
    result = node.wallet("balance")
    assert result.exit_code == 5
    assert "can't read key file" in result.output


def signed_files(folder: Path, *objects: Signed[Any]) -> list[str]:
    """Files with signed objects, every second one in hexadecimal."""
    files = []
    for number, each in enumerate(objects):
        data = encode(each.envelope)
        file = folder / f"object {number}"
        file.write_bytes(data if number % 2 else data.hex().encode() + b"\n")
        files.append(str(file))
    return files


def test_two_lists_of_a_round_cost_their_signer_its_bond(node: Node, tmp_path: Path) -> None:
    world, guilty = node.desk.world, ATTESTERS[0]
    node.mine()
    lists = [sign(List(1, ids), guilty, world.network.id) for ids in ((), (b"c" * 32,))]
    # Whatever order they are named in.
    for objects in (lists, lists[::-1]):
        files = signed_files(tmp_path, *objects)
        result = node.wallet("evidence", *files, answer="n\n")
        assert result.exit_code == 1
        question = f"Accuse {format_address(public(guilty))} (double-list, round 1) for a fee of"
        assert question in result.output
    told = node.asked("evidence", *files, "--yes")
    assert told["accused"] == format_address(public(guilty))
    node.mine()
    assert world.tree.head().state.bond(BondKey(BondKind.ATTEST, public(guilty))) is None


def test_a_broken_lease_is_shown_in_its_order(node: Node, tmp_path: Path) -> None:
    network_id, miner = node.desk.world.network.id, PRODUCERS[1]
    node.mine()
    lease = sign(Lease(1, public(miner), 1, b"s" * 32, 7, 20, 1), PRODUCERS[0], network_id)
    accepted = sign(LeaseAcceptance(lease.id), miner, network_id)
    commit = sign(Commit(1, 0, bytes(32)), miner, network_id)
    files = signed_files(tmp_path, commit, accepted, lease)
    assert node.asked("evidence", *files, "--yes")["accused"] == format_address(public(miner))


def test_what_proves_no_offence_is_not_sent(node: Node, tmp_path: Path) -> None:
    world = node.desk.world
    node.mine()
    one, other = (sign(List(r, ()), ATTESTERS[0], world.network.id) for r in (1, 2))
    strange = sign(List(1, (b"c" * 32,)), ATTESTERS[0], bytes(32))
    claim = world.claim_block(world.genesis, 1).header
    for objects, reason in (
        ((one,), "no-offence"),
        ((one, one), "no-offence: the objects must differ"),
        ((one, other), "no-offence: the objects are of two rounds"),
        ((one, strange), "bad-signature"),
        ((claim,), "a single claim"),
    ):
        result = node.wallet("evidence", *signed_files(tmp_path, *objects), "--yes")
        assert (result.exit_code, reason in result.output) == (1, True), result.output
    (tmp_path / "text").write_text("no object")
    result = node.wallet("evidence", str(tmp_path / "text"), "--yes")
    assert (result.exit_code, "not-canonical" in result.output) == (1, True)
    assert len(node.desk.mempool) == 0
