"""HOST:PORT as operators write it: `127.0.0.1:7700`, `node.example.org:7700`, `[::1]:7700`."""

import ipaddress
import re
from dataclasses import dataclass

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_LONGEST_HOST_NAME = 253


class EndpointError(ValueError):
    """A text that is no HOST:PORT; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host (name, IPv4 or IPv6 without brackets) and a TCP port; port 0 asks for a free one.

    `str()` gives HOST:PORT back, IPv6 in brackets, which is also how gRPC takes it.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            # Another name may resolve to anything, and to something else tomorrow.
            return False


def parse_endpoint(text: str) -> Endpoint:
    """Read HOST:PORT.

    Raises:
        EndpointError: no port, a port out of range, or a host that is neither name nor address.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise EndpointError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:7700 or [::1]:7700")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535):
        raise EndpointError(f"{text!r} has no port from 0 to 65535 after the last colon")
    return Endpoint(_parse_host(text, host), int(port))


def _parse_host(text: str, host: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError as error:
            raise EndpointError(f"{text!r} has no IPv6 address between the brackets") from error
    if ":" in host:
        raise EndpointError(f"{text!r} needs brackets around its IPv6 address: [::1]:7700")
    # A host of digits and dots is meant as an address; as a name it would be looked up in vain.
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise EndpointError(f"{text!r} has no valid IPv4 address") from error
    if len(host) > _LONGEST_HOST_NAME or not _HOST_NAME.fullmatch(host):
        raise EndpointError(f"{text!r} has no valid host name")
    return host.lower()
