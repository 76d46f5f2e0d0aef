"""Which URLs and addresses may be asked for metrics. Pure; the check of resolved addresses is called by `http.py`."""

import re
import socket
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from yarl import URL

from collectors.base import Target, TargetRefused, excerpt

# Where clouds hand out credentials, and addresses that name no single host.
_BLOCKED = tuple(
    (ip_network(network), why)
    for network, why in (
        ("169.254.0.0/16", "link-local: cloud metadata"),
        ("fe80::/10", "link-local"),
        ("fd00:ec2::/32", "cloud metadata"),
        ("100.100.100.200/32", "cloud metadata"),
        ("168.63.129.16/32", "cloud metadata"),
        ("0.0.0.0/8", "no address of a host"),
        ("::/128", "no address of a host"),
        ("224.0.0.0/4", "multicast"),
        ("ff00::/8", "multicast"),
        ("255.255.255.255/32", "broadcast"),
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_EXAMPLE = "Give it whole, for example http://gpu-1:8000/metrics."
_HOST = re.compile(r"(?!.{254})[\w-]{1,63}(\.[\w-]{1,63})*\.?|[0-9a-f:.]+(%.+)?", re.ASCII)
_SECRET_KEY = re.compile(r"token|secret|passw|pwd|api.?key|^key$|^auth|^sig", re.IGNORECASE)


def refuse_address(address: str, host: str) -> None:
    """Raises TargetRefused when `address`, which `host` stands for, is one that never serves metrics."""
    found = _plain(ip_address(address.partition("%")[0]))
    for network, why in _BLOCKED:
        if found.version == network.version and found in network:
            raise TargetRefused(
                "blocked_address",
                f"{excerpt(host)} leads to {found} ({why}), which is never asked. Name the host of the metrics.",
            )


@lru_cache(maxsize=4096)  # every target is asked every few seconds
def checked_url(url: str) -> URL:
    """`url` as an address that may be asked; raises TargetRefused saying what to change. Resolves no name.

    >>> str(checked_url("http://127.0.0.1:8000/metrics"))
    'http://127.0.0.1:8000/metrics'
    """
    try:
        address = URL(url.strip())
    except ValueError:
        address = URL()
    host = address.raw_host or ""
    if address.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise TargetRefused("bad_url", f"{excerpt(_without_secrets(url))} is not an http or https URL. {_EXAMPLE}")
    secrets = [key for key in address.query if _SECRET_KEY.search(key)]
    if address.raw_user is not None or address.raw_password is not None or secrets:
        place = f"the parameter {excerpt(secrets[0])}" if secrets else "a user name or password"
        raise TargetRefused(
            "bad_url",
            f"the URL for {shown(address)} carries {place}, and URLs end up in logs. Take it out; a bearer token goes "
            f"into the environment variable {token_variable(target_key(address))}.",
        )
    literal = _literal(host)
    if literal:
        refuse_address(literal, host)
    return address


def target_from_url(url: str, env: Mapping[str, str]) -> Target:
    """The target behind a URL as its user types it, with its bearer token from `env`; raises TargetRefused."""
    key = target_key(checked_url(url))
    return Target(key=key, url=url.strip(), bearer_token=env.get(token_variable(key), "").strip() or None)


def target_key(address: URL) -> str:
    """What a target is called when nobody names it: host and port, and the path when it is not the usual one."""
    path = "" if address.path in ("", "/", "/metrics") else address.path
    return f"{address.host_port_subcomponent}{path}"


def token_variable(key: str) -> str:
    """The environment variable that holds the bearer token of one target.

    >>> token_variable("gpu-1:8000")
    'PERMILLION_TOKEN_GPU_1_8000'
    """
    return "PERMILLION_TOKEN_" + re.sub(r"[^A-Z0-9]+", "_", key.upper()).strip("_")


def shown(address: URL) -> str:
    """`address` as it may stand in a log: without user, query and fragment."""
    return str(address.with_user(None).with_query(None).with_fragment(None))


def _literal(host: str) -> str | None:
    """The address that `host` spells out, in any spelling the system accepts (169.254.1, 0xA9FEA9FE, 2852039166)."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _without_secrets(url: str) -> str:
    """What may be quoted of something that is no URL: nothing before its last @, and no query."""
    return re.sub(r"^(\w+://)?.*@", r"\1", url.partition("?")[0])
