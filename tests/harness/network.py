"""Hosts on one machine, as network namespaces: on one network they reach each other, until they are parted; on another one the test
reaches them, always. Needs root and iproute2."""

import itertools, os, subprocess

from harness.place import Place

# Names of interfaces have 15 characters at most.
TAG = f"lt{os.getpid()}"


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Network:
    """Two bridges that nothing joins: hosts on the same one reach each other."""

    SIDES = (f"{TAG}a", f"{TAG}b")
    FRONT = f"{TAG}f"

    def __init__(self):
        self.hosts, self.numbers = {}, itertools.count(2)

    def __enter__(self):
        for bridge in (*self.SIDES, self.FRONT):
            ip("link", "add", bridge, "type", "bridge")
            ip("link", "set", bridge, "up")
        ip("addr", "add", "10.217.78.1/24", "dev", self.FRONT)
        return self

    def __exit__(self, *_):
        for name in self.hosts.values():
            ip("netns", "del", name)
        for bridge in (*self.SIDES, self.FRONT):
            ip("link", "del", bridge)

    def host(self):
        """A new one, where commands may be run."""
        number = next(self.numbers)
        name = f"{TAG}-{number}"
        ip("netns", "add", name)
        front, back = f"10.217.78.{number}", f"10.217.77.{number}"
        place = Place(address=front, peers=back, listen="0.0.0.0", command=("ip", "netns", "exec", name))
        self.hosts[place] = name
        ip("-n", name, "link", "set", "lo", "up")
        for device, bridge, address in (("front", self.FRONT, front), ("back", self.SIDES[0], back)):
            outside = f"{TAG}{device[0]}{number}"
            ip("link", "add", outside, "type", "veth", "peer", "name", device, "netns", name)
            ip("link", "set", outside, "master", bridge, "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            ip("-n", name, "link", "set", device, "up")
        return place

    def part(self, places):
        """These reach each other and nobody else; without any, all reach all."""
        for place, name in self.hosts.items():
            outside = f"{TAG}b{name.rpartition('-')[2]}"
            ip("link", "set", outside, "master", self.SIDES[place in places])
