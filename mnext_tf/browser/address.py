"""Where a page is served: its address, and in words who can open it."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import socket
from dataclasses import dataclass

EVERYWHERE = ("0.0.0.0", "::")  # hosts that stand for all addresses of this computer


@dataclass(frozen=True)
class Address:
    """url: what a browser opens, with the token in its fragment, which browsers keep to themselves."""

    host: str
    port: int
    token: str
    https: bool = False

    @property
    def url(self) -> str:
        return f"{self.origin}/#token={self.token}"

    def at(self, host: str) -> Address:
        """The same server by another of its names."""
        return dataclasses.replace(self, host=host)

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' * self.https}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer reaches it."""
        return self.host == "localhost" or (is_address(self.host) and ipaddress.ip_address(self.host).is_loopback)


def instructions(address: Address) -> str:
    """How to open the page, here and on a phone, and who else can."""
    if address.is_loopback:
        forward = f"adb reverse tcp:{address.port} tcp:{address.port}"
        lines = [address.url, "", f"A phone on a cable: `{forward}`, then the same address in the phone's browser."]
    else:
        hosts = ("localhost", *addresses_of_this_computer()) if address.host in EVERYWHERE else (address.host,)
        lines = ["Everybody in your network can open this page and load its networks; only those with the token in"]
        lines += ["the address can send results.", "", *(address.at(host).url for host in hosts)]
        if not address.https:
            lines += ["", "Other devices get no camera, GPU, or threads over plain HTTP: --https gives them all."]
    return "\n".join(["", *lines, "Ctrl-C stops it."])


def addresses_of_this_computer() -> list[str]:
    """Those at which other devices of the network reach it, as far as the system tells; no packet is sent."""
    found = []
    # Choosing a route tells the address that is on it; these networks are for documentation only
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            found.append(probe.getsockname()[0])
    return [address for address in found if not ipaddress.ip_address(address).is_loopback]


def is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False
