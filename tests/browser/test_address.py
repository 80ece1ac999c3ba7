"""The words about an address: who can open the page, and what a phone needs."""

from __future__ import annotations

import pytest

from mnext_tf.browser.address import Address, instructions


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_this_computer_alone(host):
    told = instructions(Address(host, 8000, "t"))
    assert Address(host, 8000, "t").url in told
    assert "adb reverse tcp:8000 tcp:8000" in told
    assert "Everybody" not in told


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "localhost"), ("192.168.1.7", "192.168.1.7"), ("box", "box")])
def test_all_devices_of_the_network(host, url):
    told = instructions(Address(host, 8000, "t"))
    assert "Everybody in your network can open this page" in told
    assert f"http://{url}:8000/#token=t" in told
    assert "--https gives" in told
    assert "adb" not in told  # a phone's localhost does not lead here
    assert "--https gives" not in instructions(Address(host, 8000, "t", https=True))
