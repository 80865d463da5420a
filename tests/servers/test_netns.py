"""Two machines reach one server, and each alone can be cut off from it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from .netns import Client, Network, why_not
from .postgres import Server
from .waiting import until

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

ASK = """
import sys, psycopg
connection = psycopg.connect(sys.argv[1], autocommit=True)
for word in sys.stdin:
    connection.execute("INSERT INTO said VALUES (%s)", [word.strip()])
    print(word.strip(), flush=True)
"""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network("left", "right") as made:
        yield made


@pytest.fixture(scope="module")
def server(network: Network) -> Iterator[Server]:
    server = Server(within=network.hub.within)
    server.listen(5432, "0.0.0.0")
    with server:
        server.psql("CREATE TABLE said (word text)")
        yield server


class Speaker:
    """A program on a machine that writes to the server what it is told."""

    def __init__(self, machine: Client, server: Server) -> None:
        url = server.endpoint.at(machine.server, 5432).url()
        self.process: subprocess.Popen[str] = machine.start(
            [sys.executable, "-c", ASK, url], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def speakers(network: Network, server: Server) -> Iterator[tuple[Speaker, Speaker]]:
    both = Speaker(network["left"], server), Speaker(network["right"], server)
    yield both
    for each in both:
        each.close()


def test_a_cut_holds_one_machine_and_not_the_other(
    network: Network, server: Server, speakers: tuple[Speaker, Speaker]
) -> None:
    left, right = speakers
    for each in speakers:
        each.say("before")
        assert each.hear() == "before"
    network["left"].cut()
    left.say("held")
    right.say("through")
    assert right.hear() == "through"
    assert server.psql("SELECT count(*) FROM said WHERE word = 'held'") == [(0,)]
    network["left"].mend()
    assert left.hear() == "held"
    assert server.psql("SELECT count(*) FROM said WHERE word = 'held'") == [(1,)]


def test_a_machine_is_gone_with_its_network() -> None:
    with Network("one") as network:
        holder = network["one"].holder
        assert "10.99.0.2" in network["one"].ip("address")
    until(lambda: holder.poll() is not None, "the end of the machine")
