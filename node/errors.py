"""Failures that an operator can act on: one sentence each, and a documented exit code."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of `ponas-node` and `ponas`; `ponas-node --help` prints this table."""

    description: str

    def __new__(cls, code: int, description: str) -> "ExitCode":
        member = int.__new__(cls, code)
        member._value_ = code
        member.description = description
        return member

    OK = 0, "orderly stop"
    USAGE = 2, "unknown option, or a wrong value on the command line or wherever it is set"
    CONFIG = 3, "configuration file or network file can't be used"
    STORE = 4, "data folder is foreign, damaged, newer, in use, or can't be written"
    KEY = 5, "key file is damaged, readable by others, or its passphrase is wrong"
    LISTEN = 6, "can't listen on the address, for example because the port is in use"
    REFUSED = 7, "refused by the network: another network id or protocol version"
    UNREACHABLE = 8, "no node answers: `ponas` only, since a node keeps trying"
    SAFETY = 9, "two conflicting blocks are final: more than a third of the weight is hostile"
    INTERNAL = 70, "a fault in PoNAS itself; the log has the details"
    FORCED = 130, "stopped at once, by a second signal or before the node was up"


class NodeError(Exception):
    """A failure told to the operator as `str(error)`: one sentence, no traceback.

    SettingError ConfigError StoreError KeyFileError ListenError NetworkRefusedError: one class
    for each exit code that an operator can do something about.
    """

    exit_code: ExitCode = ExitCode.INTERNAL


class SettingError(NodeError):
    """Settings that don't go together."""

    exit_code = ExitCode.USAGE


class ConfigError(NodeError):
    """A configuration file or network file that can't be used."""

    exit_code = ExitCode.CONFIG


class StoreError(NodeError):
    """A data folder or store that can't be opened, or failed while in use."""

    exit_code = ExitCode.STORE


class DamagedStoreError(StoreError):
    """What a store holds can't be read any more."""


class KeyFileError(NodeError):
    """A key file that can't be read, trusted or created."""

    exit_code = ExitCode.KEY


class ListenError(NodeError):
    """The address to listen on can't be bound."""

    exit_code = ExitCode.LISTEN


class NetworkRefusedError(NodeError):
    """The network answered, and would not have this node."""

    exit_code = ExitCode.REFUSED


class SafetyError(NodeError):
    """The chain has split for good; an operator must decide which side to follow."""

    exit_code = ExitCode.SAFETY
