"""Other trackers to be measured against: `python -m bench.peers` installs them, each into an environment of its own.

Nothing of them is in our lock or our environment. They are started on loopback, on folders of their own, and ended by
their process id.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PEERS = Path(__file__).parents[1] / ".peers"
WRITE_TOKEN = "of-the-benchmark"

_START_SECONDS = 180
_STOP_SECONDS = 15
_QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A tracker. `steps` are what pip is called with in its environment, one after the other."""

    name: str
    package: str
    version: str
    steps: Sequence[Sequence[str]]

    @property
    def label(self) -> str:
        """Its name with its version."""
        return f"{self.name} {self.version}"

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return PEERS / self.package / "bin" / "python"

    @property
    def is_installed(self) -> bool:
        """Whether it is there, in this version."""
        found = (PEERS / self.package).glob(f"lib/python*/site-packages/{self.package}-{self.version}.dist-info")
        return any(found)

    def install(self) -> None:
        """Make its environment, unless it is there."""
        venv.create(PEERS / self.package, clear=True, with_pip=True)
        for step in self.steps:
            pip = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
            subprocess.run([*pip, *step], check=True)


MLFLOW = Peer(
    "MLflow",
    "mlflow",
    "3.18.0",
    # The wheel holds the whole package, but wants two parts of it in this very version, which an index may not have:
    # the packages that it needs come with the version before.
    [
        ["install", "mlflow==3.17.2"],
        ["uninstall", "--yes", "mlflow", "mlflow-skinny", "mlflow-tracing"],
        ["install", "--no-deps", "mlflow==3.18.0"],
    ],
)
TRACKIO = Peer("Trackio", "trackio", "0.43.0", [["install", "trackio==0.43.0"]])


@contextmanager
def mlflow(folder: Path) -> Iterator[tuple[int, int]]:
    """MLflow's server on `mlflow.db` in the folder, with one worker, as the others have: its port and process id."""
    port = _free_port()
    command = [str(MLFLOW.python.with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", f"{folder}/artifacts"]
    with _running(MLFLOW, command, folder, f"http://127.0.0.1:{port}/health") as pid:
        yield port, pid


@contextmanager
def trackio(folder: Path) -> Iterator[tuple[int, int]]:
    """Trackio's server on the folder: its port and process id."""
    port = _free_port()
    show = f"import trackio; trackio.show(open_browser=False, block_thread=True, host='127.0.0.1', server_port={port})"
    environment = {"TRACKIO_DIR": str(folder), "TRACKIO_WRITE_TOKEN": WRITE_TOKEN}
    with _running(TRACKIO, [str(TRACKIO.python), "-c", show], folder, f"http://127.0.0.1:{port}/", environment) as pid:
        yield port, pid


@contextmanager
def _running(
    peer: Peer, command: Sequence[str], folder: Path, url: str, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """The process, from when it answers until the end of the block."""
    said = folder / "server.log"
    surroundings = {**os.environ, **_QUIET, "HOME": str(folder), **(environment or {})}
    surroundings.pop("PYTHONPATH", None)
    with said.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=surroundings, stdout=log, stderr=log)
    try:
        until = time.monotonic() + _START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{peer.label} did not start:\n{said.read_text('utf-8', 'replace')[-3000:]}")
            time.sleep(0.2)
        yield process.pid
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        for left in psutil.wait_procs(family, timeout=1)[1]:
            left.kill()
    process.kill()
    process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def main() -> int:
    """Install what is not there yet."""
    for peer in (MLFLOW, TRACKIO):
        if peer.is_installed:
            print(f"{peer.label} is there.")
            continue
        print(f"Installing {peer.label} into {PEERS.name}/{peer.package} ...", flush=True)
        peer.install()
    return 0


if __name__ == "__main__":
    sys.exit(main())
