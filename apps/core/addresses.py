"""Which network addresses the studio may call when a person has entered the host: decided on the number, never the name.

An IPv6 address may carry an IPv4 one that a gateway or tunnel unpacks (RFC 6052, 3056, 4380, 5214, 2765): what is inside
counts as well. Clouds hand out credentials on addresses that only a machine itself reaches: those are refused always.
"""

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from apps.core.errors import AppError

IPAddress = IPv4Address | IPv6Address

REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "169.254.0.0/16",  # link-local: metadata of nearly all clouds
        "100.100.100.200/32",  # metadata of Alibaba
        "168.63.129.16/32",  # Azure's
        "192.0.0.192/32",  # Oracle's
        "224.0.0.0/4",  # many receivers
        "240.0.0.0/4",  # reserved, broadcast
        "::/128",
        "fe80::/10",
        "fd00:ec2::/32",  # Amazon's metadata
        "fd20:ce::/32",  # Google's
        "ff00::/8",
        "64:ff9b:1::/48",  # translated by a prefix that only its network knows
    )
)
"""Never called."""
NAT64 = IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = IPv6Network("2002::/16")
TEREDO = IPv6Network("2001::/32")
LAST_32_BITS = (IPv6Network("::/96"), IPv6Network("::ffff:0:0/96"), IPv6Network("::ffff:0:0:0/96"), NAT64)
"""IPv4-compatible, IPv4-mapped, IPv4-translated and NAT64 addresses end in an IPv4 one."""
PUBLIC_V6 = IPv6Network("2000::/3")
SHARED = IPv4Network("100.64.0.0/10")
"""Behind a provider's NAT: not public, though Python does not call it private."""


def address_check(url: str, ip: IPAddress, *, private_allowed: bool) -> None:
    """AppError "address_refused" when `ip`, to which the host of `url` resolves, must not be called."""
    for each in (ip, *_inside(ip)):
        if any(each in network for network in REFUSED if network.version == each.version):
            raise refused(url, f"{ip} may belong to a metadata service or to no single machine.")
        if not private_allowed and not _is_public(each):
            raise refused(url, f"{ip} is on this machine or network and MISTUDIO_ALLOW_PRIVATE_LLM is 0.")


def refused(url: str, reason: str) -> AppError:
    """The error for an address that is not called."""
    return AppError("address_refused", f"{url} must not be called. {reason}", "Enter another address.")


def _inside(ip: IPAddress) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address carries."""
    if isinstance(ip, IPv4Address):
        return
    bits = int(ip)
    is_isatap = (bits >> 32) & 0xFCFF_FFFF == 0x5EFE
    if ip != IPv6Address("::1") and (is_isatap or any(ip in network for network in LAST_32_BITS)):
        yield IPv4Address(bits & 0xFFFF_FFFF)
    if ip in SIX_TO_FOUR:
        yield IPv4Address((bits >> 80) & 0xFFFF_FFFF)
    if ip in TEREDO:
        yield IPv4Address((bits >> 64) & 0xFFFF_FFFF)
        yield IPv4Address(~bits & 0xFFFF_FFFF)


def _is_public(ip: IPAddress) -> bool:
    """Whether anybody on the internet may have this address. What carries an IPv4 address is as public as that."""
    if isinstance(ip, IPv4Address):
        return ip.is_global and ip not in SHARED
    carries = any(ip in network for network in (*LAST_32_BITS, SIX_TO_FOUR, TEREDO)) and ip != IPv6Address("::1")
    return carries or (ip in PUBLIC_V6 and ip.is_global)
