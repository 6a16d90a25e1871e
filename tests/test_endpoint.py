import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.endpoint import Endpoint, EndpointError, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:7700", Endpoint("127.0.0.1", 7700)),
        ("localhost:0", Endpoint("localhost", 0)),
        ("Node-1.Example.org:65535", Endpoint("node-1.example.org", 65535)),
        ("[::1]:7700", Endpoint("::1", 7700)),
        ("[2001:DB8:0::1]:1", Endpoint("2001:db8::1", 1)),
    ],
)
def test_hosts_and_ports_are_read(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' is not HOST:PORT"),
        ("7700", "'7700' is not HOST:PORT"),
        (":7700", "':7700' is not HOST:PORT"),
        ("localhost", "'localhost' is not HOST:PORT"),
        ("localhost:", "'localhost:' has no port from 0 to 65535"),
        ("localhost:http", "'localhost:http' has no port from 0 to 65535"),
        ("localhost:65536", "'localhost:65536' has no port from 0 to 65535"),
        ("localhost:-1", "'localhost:-1' has no port from 0 to 65535"),
        ("localhost:٣", "'localhost:٣' has no port from 0 to 65535"),
        ("::1:7700", "'::1:7700' needs brackets around its IPv6 address"),
        ("[::1:7700", "'[::1:7700' needs brackets around its IPv6 address"),
        ("[::g]:7700", "'[::g]:7700' has no IPv6 address between the brackets"),
        ("[127.0.0.1]:7700", "'[127.0.0.1]:7700' has no IPv6 address between the brackets"),
        ("127.0.0.256:7700", "'127.0.0.256:7700' has no valid IPv4 address"),
        ("127.1:7700", "'127.1:7700' has no valid IPv4 address"),
        ("http//x:7700", "'http//x:7700' has no valid host name"),
        ("a..b:7700", "'a..b:7700' has no valid host name"),
        ("-a:7700", "'-a:7700' has no valid host name"),
        ("a b:7700", "'a b:7700' has no valid host name"),
        ("a" * 64 + ":7700", f"'{'a' * 64}:7700' has no valid host name"),
        ("a." * 127 + ":7700", f"'{'a.' * 127}:7700' has no valid host name"),
    ],
)
def test_each_fault_is_named(text: str, sentence: str) -> None:
    with pytest.raises(EndpointError) as caught:
        parse_endpoint(text)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example.org", False),
    ],
)
def test_only_this_machine_reaches_loopback(host: str, is_loopback: bool) -> None:
    assert Endpoint(host, 7700).is_loopback is is_loopback


_hosts = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.just("node.example.org")
)


@given(_hosts, st.integers(0, 65_535))
def test_an_endpoint_is_written_as_it_is_read(host: str, port: int) -> None:
    endpoint = Endpoint(host, port)
    assert parse_endpoint(str(endpoint)) == endpoint


@given(st.text(max_size=30))
def test_any_text_is_refused_or_written_as_it_is_read(text: str) -> None:
    try:
        endpoint = parse_endpoint(text)
    except EndpointError:
        return
    assert parse_endpoint(str(endpoint)) == endpoint
