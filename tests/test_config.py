"""Settings from every place they may come from, and each way in which they may be wrong."""

import dataclasses
import os
from pathlib import Path

import pytest

from node.chain.genesis import DEVNET_GENESIS, network_to_json
from node.chain.state import Checkpoint
from node.cli.options import parse_options
from node.config import Config, Role, load_network
from node.endpoint import Endpoint
from node.errors import ConfigError, ExitCode, SettingError
from node.identity import format_address
from node.log import LogFormat, LogLevel
from node.publishing.policy import PublisherPolicy
from pool.partition.base import PartitionKind
from pool.records.strengths import Strength


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PONAS_"):
            monkeypatch.delenv(name)


def _parse(*arguments: str) -> Config:
    config = parse_options(arguments)
    assert config is not None
    return config


def _write(folder: Path, text: str) -> str:
    path = folder / "settings.toml"
    path.write_text(text)
    return str(path)


def test_defaults() -> None:
    assert _parse("--role", "full") == Config(
        role=Role.FULL,
        network=DEVNET_GENESIS,
        data_dir=Path.home() / ".ponas" / "full",
        listen=Endpoint("127.0.0.1", 7700),
        peers=(),
        pools=(),
        strength=Strength.AUTO,
        partition=PartitionKind.ALGORITHM1,
        pool_fee=0,
        payout_address=None,
        workers=1,
        device="auto",
        log_format=LogFormat.TEXT,
        log_level=LogLevel.INFO,
        insecure_plaintext=False,
        no_discovery=False,
        checkpoint=None,
        publishers=PublisherPolicy(),
        prune=False,
    )


def test_every_option_on_the_command_line(tmp_path: Path) -> None:
    config = _parse(
        *("--role", "miner", "--network", "devnet", "--data-dir", str(tmp_path)),
        *("--listen", "0.0.0.0:0", "--insecure-plaintext", "--peer", "[::1]:1"),
        *("--peer", "b.example:2", "--pool", "127.0.0.1:3", "--pool", "127.0.0.1:4"),
        *("--strength", "weak"),
        *("--payout-address", format_address(bytes(32)), "--workers", "4"),
        *("--device", "cuda:1", "--log-format", "json", "--log-level", "debug", "--no-discovery"),
        *("--checkpoint", f"700:{bytes(range(32)).hex()}"),
        *("--publisher", f"allow:{format_address(bytes(32))}"),
        *("--publisher", f"deny:{format_address(b'd' * 32)}"),
        "--prune",
    )
    assert config == Config(
        role=Role.MINER,
        network=DEVNET_GENESIS,
        data_dir=tmp_path,
        listen=Endpoint("0.0.0.0", 0),
        peers=(Endpoint("::1", 1), Endpoint("b.example", 2)),
        pools=(Endpoint("127.0.0.1", 3), Endpoint("127.0.0.1", 4)),
        strength=Strength.WEAK,
        partition=PartitionKind.ALGORITHM1,
        pool_fee=0,
        payout_address=bytes(32),
        workers=4,
        device="cuda:1",
        log_format=LogFormat.JSON,
        log_level=LogLevel.DEBUG,
        insecure_plaintext=True,
        no_discovery=True,
        checkpoint=Checkpoint(700, bytes(range(32))),
        publishers=PublisherPolicy(frozenset({bytes(32)}), frozenset({b"d" * 32})),
        prune=True,
    )


def test_every_option_in_a_file(tmp_path: Path) -> None:
    config = _parse(
        "--config",
        _write(
            tmp_path,
            f"""
            role = "miner"
            network = "devnet"
            data-dir = "{tmp_path}"
            listen = "0.0.0.0:0"
            peer = ["[::1]:1", "b.example:2"]
            pool = ["127.0.0.1:3", "127.0.0.1:4"]
            strength = "strong"
            payout-address = "{format_address(bytes(32))}"
            workers = 4
            device = "cpu"
            log-format = "json"
            log-level = "error"
            insecure-plaintext = true
            """,
        ),
    )
    assert config.data_dir == tmp_path
    assert config.peers == (Endpoint("::1", 1), Endpoint("b.example", 2))
    assert config.pools == (Endpoint("127.0.0.1", 3), Endpoint("127.0.0.1", 4))
    assert (config.strength, config.workers, config.device) == (Strength.STRONG, 4, "cpu")
    assert config.payout_address == bytes(32)
    assert (config.log_format, config.log_level) == (LogFormat.JSON, LogLevel.ERROR)
    assert config.insecure_plaintext


@pytest.mark.parametrize("kind", list(PartitionKind))
def test_a_manager_chooses_its_partition(kind: PartitionKind, tmp_path: Path) -> None:
    assert _parse("--role", "manager", "--partition", kind.value).partition is kind
    path = _write(tmp_path, f'role = "manager"\npartition = "{kind}"')
    assert _parse("--config", path).partition is kind


def test_a_manager_sets_its_fee(tmp_path: Path) -> None:
    assert _parse("--role", "manager", "--pool-fee", "15").pool_fee == 15
    assert _parse("--config", _write(tmp_path, 'role = "manager"\npool-fee = 15')).pool_fee == 15


def test_command_line_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(
        tmp_path, 'role = "full"\nworkers = 2\npeer = ["file:1"]\nlisten = "127.0.0.1:2"\n'
    )
    monkeypatch.setenv("PONAS_CONFIG", path)
    config = _parse()
    assert (config.role, config.workers, config.peers) == (Role.FULL, 2, (Endpoint("file", 1),))
    assert config.listen.port == 2
    monkeypatch.setenv("PONAS_WORKERS", "3")
    monkeypatch.setenv("PONAS_PEER", "env:1 env:2")
    monkeypatch.setenv("PONAS_LISTEN", "127.0.0.1:3")
    config = _parse()
    assert config.workers == 3
    assert config.peers == (Endpoint("env", 1), Endpoint("env", 2))
    config = _parse("--workers", "4", "--peer", "flag:1")
    assert (config.workers, config.peers) == (4, (Endpoint("flag", 1),))
    assert (config.listen.port, config.device) == (3, "auto")


@pytest.mark.parametrize("role", list(Role))
def test_each_role_has_its_own_folder_in_the_home(role: Role) -> None:
    assert _parse("--role", role.value).data_dir == Path.home() / ".ponas" / role


def test_a_tilde_in_a_file_is_the_home(tmp_path: Path) -> None:
    config = _parse("--role", "full", "--config", _write(tmp_path, 'data-dir = "~/here"'))
    assert config.data_dir == Path.home() / "here"


@pytest.mark.parametrize("question", ["--help", "--version"])
def test_questions_are_answered(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_options([question]) is None
    assert "ponas-node" in capsys.readouterr().out


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    parse_options(["--help"])
    help_text = capsys.readouterr().out
    for code in ExitCode:
        assert f"{code.value:>3}  {code.description}\n" in help_text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "Missing option '--role'. Choose from: full"),
        ("--role boss", "Invalid value for '--role': 'boss' is not one of 'full', 'manager'"),
        ("--role full --rolle x", "No such option"),
        ("--role full extra", "Got unexpected extra argument (extra)"),
        ("--role", "Option '--role' requires an argument."),
        ("--role full --listen x", "Invalid value for '--listen': 'x' is not HOST:PORT, such as"),
        ("--role full --peer x:0", "Invalid value for '--peer': 'x:0' needs the port"),
        ("--role full --peer a:1 --peer b", "Invalid value for '--peer': 'b' is not HOST:PORT"),
        ("--role miner --pool x:0", "Invalid value for '--pool': 'x:0' needs the port"),
        ("--role full --pool x:1", "--pool is for --role miner; a full node joins no pool"),
        ("--role miner --pool-fee 1", "--pool-fee is for --role manager; a miner node has no pool"),
        (
            "--role manager --pool-fee 101",
            "Invalid value for '--pool-fee': 101 is not in the range 0<=x<=100.",
        ),
        (
            f"--role full --publisher deny:{format_address(bytes(32))}",
            "--publisher is for nodes that mine",
        ),
        (
            "--role miner --publisher shun:x",
            "Invalid value for '--publisher': 'shun:x' is not allow:ADDRESS or deny:ADDRESS",
        ),
        ("--role manager --strength weak", "--strength is for --role miner; a manager node"),
        ("--role miner --partition disjoint", "--partition is for --role manager; a miner node"),
        (
            "--role manager --partition even",
            "Invalid value for '--partition': 'even' is not",
        ),
        ("--role miner --strength huge", "Invalid value for '--strength': 'huge' is not one of"),
        ("--role full --workers 0", "Invalid value for '--workers': 0 is not in the range"),
        ("--role full --workers many", "Invalid value for '--workers': 'many' is not a valid int"),
        ("--role full --device gpu", "Invalid value for '--device': 'gpu' is not auto, cpu, cuda"),
        ("--role full --device cuda:x", "Invalid value for '--device': 'cuda:x' is not auto"),
        ("--role full --payout-address pn", "Invalid value for '--payout-address': an address has"),
        ("--role full --log-format xml", "Invalid value for '--log-format': 'xml' is not one of"),
        ("--role full --log-level all", "Invalid value for '--log-level': 'all' is not one of"),
        ("--role full --listen 0.0.0.0:1", "--listen 0.0.0.0:1 can be reached from other machines"),
        ("--role full --listen [::]:1", "--listen [::]:1 can be reached from other machines"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: str, sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_options(arguments.split())
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_wrong_value_from_the_environment_says_where_it_was_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PONAS_LISTEN", "here")
    with pytest.raises(SettingError, match=r"'--listen'.*set by PONAS_LISTEN in the environment"):
        parse_options(["--role", "full"])


def test_a_wrong_value_from_the_file_says_where_it_was_set(tmp_path: Path) -> None:
    path = _write(tmp_path, 'device = "gpu"')
    with pytest.raises(SettingError, match=r"'--device'.*set in the file of --config"):
        parse_options(["--role", "full", "--config", path])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("role = full", "is not TOML: "),
        ("\x00", "is not TOML: "),
        ("a = " + "[" * 2_000, "is not TOML: "),
        ("colour = 1\nbeep = 2", "sets beep, colour, which no option is called; it may set che"),
        ('config = "other.toml"', "sets config, which no option is called"),
        ("data_dir = 'x'", "sets data_dir, which no option is called"),
        ("[pool]\nlisten = 'x'", ": pool takes a list of texts, not {'listen': 'x'}"),
        ("workers = 1.5", ": workers takes an integer, not 1.5"),
        ("workers = true", ": workers takes an integer, not True"),
        ('workers = "2"', ": workers takes an integer, not '2'"),
        ("listen = 7700", ": listen takes a text, not 7700"),
        ('peer = "a:1"', ": peer takes a list of texts, not 'a:1'"),
        ("peer = [1]", ": peer takes a list of texts, not [1]"),
        ('insecure-plaintext = "no"', ": insecure-plaintext takes true or false, not 'no'"),
    ],
)
def test_each_fault_of_a_file_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        parse_options(["--role", "full", "--config", path])
    assert f"configuration file {path}" in str(caught.value)
    assert sentence in str(caught.value)
    assert caught.value.exit_code == ExitCode.CONFIG


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read configuration file .*: No such file"):
        parse_options(["--role", "full", "--config", str(tmp_path / "none.toml")])


def test_a_network_file_is_taken_like_a_name(tmp_path: Path) -> None:
    network = dataclasses.replace(DEVNET_GENESIS, genesis_time_ms=1_800_000_000_000)
    path = tmp_path / "network.json"
    path.write_text(network_to_json(network))
    assert _parse("--role", "full", "--network", str(path)).network == network


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff", "can't be used: 'utf-8' codec can't decode"),
        (b"nothing", "can't be used: the network file is not JSON"),
        (b"{}", "can't be used: "),
        (b" " * (16 * 1024 * 1024 + 1), "is larger than a network file can be"),
    ],
)
def test_a_wrong_network_file_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "network.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_network(str(path))
    assert str(caught.value).startswith(f"network file {path} {sentence}")
    assert caught.value.exit_code == ExitCode.CONFIG


def test_an_unknown_network_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"neither a network file .* built-in networks: devnet"):
        load_network("mainnet")
