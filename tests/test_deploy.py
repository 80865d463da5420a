"""What ``deploy/`` says is so: its commands are ours, its metrics exist, its files lead somewhere."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from conftest import Place, until
from sidework.cli.main import main
from sidework.contrib.metrics import families
from sidework.state import State
from sidework.store.gauges import MOST_JOBS, Reading

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "sidework-worker.service")
    return unit["Service"]


def dockerfile() -> list[tuple[str, str]]:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def documents(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def pod() -> Any:
    return documents("kubernetes.yaml")["spec"]["template"]["spec"]


def image(word: str) -> list[str]:
    """The command of this instruction of the Dockerfile, in its exec form."""
    (rest,) = (rest for instruction, rest in dockerfile() if instruction == word)
    found: list[str] = json.loads(rest[rest.index("[") :])
    return found


def commands() -> Iterator[list[str]]:
    """Every command of ours that is named in the folder, without its first word."""
    yield shlex.split(service()["ExecStart"])[1:]
    yield image("CMD")
    yield image("HEALTHCHECK")[1:]
    for one in (*pod()["initContainers"], *pod()["containers"]):
        yield one["args"]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_a_command_is_ours(words: list[str]) -> None:
    command: click.Command = main
    while isinstance(command, click.Group):
        context = command.make_context("sidework", list(words[:1]), resilient_parsing=True)
        found = command.get_command(context, words[0])
        assert found is not None, words[0]
        command, words = found, words[1:]
    command.make_context("sidework", list(words))  # refuses what it does not know


def test_whoever_stops_a_worker_waits_for_its_grace() -> None:
    grace = int(_after("--grace", shlex.split(service()["ExecStart"])))
    assert int(service()["TimeoutStopSec"]) > grace
    (worker,) = pod()["containers"]
    assert pod()["terminationGracePeriodSeconds"] > int(_after("--grace", worker["args"]))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "sidework"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = (DEPLOY / "sidework-worker.service").read_text()
    assert "/opt/shop/bin/sidework" in text
    unit = tmp_path / "sidework-worker.service"
    unit.write_text(text.replace("/opt/shop/bin/sidework", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_dockerfile_is_sound() -> None:
    lines = dockerfile()
    known = {"FROM", "COPY", "RUN", "ENV", "WORKDIR", "USER", "STOPSIGNAL", "HEALTHCHECK",
             "ENTRYPOINT", "CMD"}  # fmt: skip
    assert {word for word, _ in lines} <= known
    assert all(re.match(r"\S+:[\w.-]+", rest) for word, rest in lines if word == "FROM")
    copied = [shlex.split(rest)[:-1] for word, rest in lines if word == "COPY"]
    for sources in copied:
        stage = sources[0].startswith("--from=")
        assert stage or all((ROOT / source).exists() for source in sources), sources
    words = [word for word, _ in lines]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert dict(lines)["USER"] not in ("0", "root")
    assert image("ENTRYPOINT") == ["sidework"]


def test_the_monitors_ask_for_metrics_that_there_are() -> None:
    everything = Reading(0, [], {}, [], {})
    known = {family.name for family in families(everything, [])}
    asked = "".join((DEPLOY / name).read_text() for name in ("alerts.yaml", "keda.yaml"))
    assert set(re.findall(r"sidework_\w+", asked)) == known  # each is worth watching
    states = {word for told in re.findall(r'state=~?"([^"]+)"', asked) for word in told.split("|")}
    assert states <= {*State, "alive", "dead"}
    for group in documents("alerts.yaml")["groups"]:
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert rule["expr"].count("(") == rule["expr"].count(")")


def test_it_scales_out_before_counts_end() -> None:
    spec = documents("keda.yaml")["spec"]
    assert spec["maxReplicaCount"] * int(spec["triggers"][0]["metadata"]["threshold"]) <= MOST_JOBS
    assert spec["scaleTargetRef"]["name"] == documents("kubernetes.yaml")["metadata"]["name"]


def test_a_worker_as_the_image_starts_it(place: Place) -> None:
    """Its own command, health check and probes, on a folder like the image's."""
    shutil.copytree(DEPLOY / "shop", place.folder / "shop")
    ready = place.folder / "run" / "ready"
    ready.parent.mkdir()

    def here(words: list[str]) -> list[str]:
        return [word.replace("/run/shop", str(ready.parent)) for word in words]

    (worker,) = pod()["containers"]
    probes = [here(worker[name]["exec"]["command"]) for name in ("readinessProbe", "livenessProbe")]

    def answers() -> list[int]:
        return [subprocess.run(probe).returncode for probe in probes]

    assert answers() == [1, 0]
    assert place.sidework("run", "shop.jobs:charge", "7").returncode == 0
    begun = place.worker(*here(image("CMD"))[1:])
    assert answers() == [0, 0]
    health = image("HEALTHCHECK")[1:]
    done = place.sidework(*health)
    assert done.returncode == 0, done.stderr
    old = ready.stat().st_mtime - 400
    subprocess.run(["touch", "-d", f"@{old}", str(ready)], check=True)
    assert answers() == [0, 1]
    assert begun.stop() == 0
    assert answers() == [1, 0]
    assert until(lambda: place.sidework(*health).returncode == 1, "the worker's end")


def _after(word: str, words: list[str]) -> str:
    return words[words.index(word) + 1]
