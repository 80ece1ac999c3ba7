"""A phone for run_adb.sh: the real adbd in namespaces of its own, and fakes of the other programs of Android."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ENVIRONMENT = ROOT / ".environments" / "adb"
PROPERTIES = {
    "ro.product.manufacturer": "Google",
    "ro.product.model": "Pixel 4",
    "ro.product.name": "flame",
    "ro.product.device": "flame",
    "ro.soc.manufacturer": "",
    "ro.soc.model": "",
    "ro.board.platform": "msmnile",
    "ro.hardware": "flame",
    "ro.build.version.release": "13",
    "ro.build.version.sdk": "33",
    "ro.build.fingerprint": "google/flame/flame:13/TP1A.221005.002/9012097:user/release-keys",
    "ro.product.cpu.abi": "x86_64",
    "ro.product.cpu.abilist": "x86_64,x86",
}
QUICK = ["--rounds=1", "--threads=1", "--memory=no", "--profile=no"]  # four runs: two models, cpu and gpu
KHZ = [1785600] * 4 + [2419200] * 3 + [2841600]  # Pixel 4: four small, three big, and one prime core


@dataclass
class Result:
    code: int
    output: str


def restore_signals() -> None:
    """A shell cannot trap signals that were ignored when it started, as under nohup or in a script's background."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@dataclass
class World:
    """A network and mount namespace with an adb server; its /data and its list of cores are the phone's."""

    holder: int
    home: Path
    data: Path
    cpu: Path
    tool: Path
    daemons: list[subprocess.Popen] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "HOME": str(self.home), "TMPDIR": str(self.home), "ANDROID_SERIAL": ""}

    def on_phone(self, *command) -> list[str]:
        """`command` on the phone: in both namespaces."""
        return ["nsenter", "-t", str(self.holder), "-n", "-m", *map(str, command)]

    def on_host(self, *command) -> list[str]:
        """`command` on the host: in the network namespace only, with this machine's files."""
        return ["nsenter", "-t", str(self.holder), "-n", *map(str, command)]

    def adb(self, *arguments) -> str:
        done = subprocess.run(
            self.on_host("adb", *arguments), env=self.environment, capture_output=True, text=True, timeout=30
        )
        return done.stdout + done.stderr

    def set_cores(self, khz: list[int | None]) -> None:
        for old in self.cpu.iterdir():
            shutil.rmtree(old)
        for core, value in enumerate(khz):
            path = self.cpu / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq"
            path.parent.mkdir(parents=True)
            if value:
                path.write_text(f"{value}\n")

    def start(self, folder: Path, port: int = 7001, **properties: str) -> Phone:
        """An adbd on `port`, connected; the state of its fakes is in `folder`."""
        folder.mkdir(exist_ok=True)
        values = {**PROPERTIES, **properties}
        (folder / "props").write_text("".join(f"{k}={v}\n" for k, v in values.items()))
        (folder / "thermal").write_text("0\n")
        phone = Phone(self, folder, f"127.0.0.1:{port}")
        phone.plug_in()
        return phone

    def session(self, *flags, shell=("sh",), script=ROOT / "benchmarks" / "run_adb.sh", cwd=None) -> subprocess.Popen:
        return subprocess.Popen(
            self.on_host(*shell, script, *flags),
            cwd=cwd or self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=restore_signals,
        )

    def run(self, *flags, **options) -> Result:
        process = self.session(*flags, **options)
        try:
            output = process.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return Result(process.returncode, output)


@dataclass
class Phone:
    world: World
    folder: Path
    serial: str
    daemon: subprocess.Popen | None = None

    def plug_in(self) -> None:
        self.daemon = subprocess.Popen(
            self.world.on_phone(ENVIRONMENT / "bin" / "adbd"),
            cwd="/",
            env={
                "PATH": f"{HERE / 'phone'}:/usr/bin:/bin",
                "ADBD_PORT": self.serial.split(":")[1],
                "FAKE_PHONE": str(self.folder),
                "PHONE": str(HERE / "phone"),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.world.daemons.append(self.daemon)
        for _ in range(100):
            self.world.adb(
                "disconnect", self.serial
            )  # otherwise adb waits longer and longer before it retries a lost device
            self.world.adb("connect", self.serial)
            if self.world.adb("-s", self.serial, "get-state").strip() == "device":
                return
            time.sleep(0.05)
        raise AssertionError(f"adbd did not come up: {self.world.adb('devices')}")

    def unplug(self) -> None:
        self.daemon.kill()
        self.daemon.wait()

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.is_file() else []

    @property
    def left_behind(self) -> list[str]:
        return sorted(p.name for p in (self.world.data / "local" / "tmp").iterdir())


@pytest.fixture(scope="session")
def adb_environment() -> Path:
    if not (ENVIRONMENT / "bin" / "adbd").is_file():
        pytest.skip("adbd is missing; `make environment-adb` fetches it")
    return ENVIRONMENT


@pytest.fixture(scope="session")
def world(adb_environment, tmp_path_factory):
    if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True).returncode:
        pytest.skip("namespaces require root")
    compiler = shutil.which("cc") or pytest.skip("a C compiler (cc) for the fake benchmark_model is missing")
    folder = tmp_path_factory.mktemp("adb")
    tool = folder / "benchmark_model"
    subprocess.run([compiler, "-static", "-Os", "-o", tool, HERE / "phone" / "benchmark_model.c"], check=True)
    for name in ("home", "data/local/tmp", "cpu"):
        (folder / name).mkdir(parents=True)
    # Never removed: that would remove the mounts on it in the namespaces of other test workers.
    Path("/data").mkdir(exist_ok=True)
    setup = (
        f"ip link set lo up && mount --bind {folder}/data /data && mount --bind {folder}/cpu /sys/devices/system/cpu"
        " && echo ready && exec sleep 3600"
    )
    holder = subprocess.Popen(["unshare", "-n", "-m", "sh", "-c", setup], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "ready\n"
    world = World(holder.pid, folder / "home", folder / "data", folder / "cpu", tool)
    world.set_cores(KHZ)
    world.adb("start-server")
    yield world
    world.adb("kill-server")
    holder.kill()
    holder.wait()


@pytest.fixture
def phone(world, tmp_path):
    yield world.start(tmp_path / "phone")
    for daemon in world.daemons:
        daemon.kill()
        daemon.wait()
    world.daemons.clear()
    world.adb("disconnect")
    for left in (world.data / "local" / "tmp").iterdir():
        shutil.rmtree(left)


@pytest.fixture
def wait_for():
    def wait(condition, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s"
            time.sleep(0.02)

    return wait


@pytest.fixture
def set_cores(world):
    yield world.set_cores
    world.set_cores(KHZ)


@pytest.fixture
def read_session():
    """Parses session.txt or device.txt."""
    return lambda path: dict(line.split("=", 1) for line in path.read_text().splitlines())


@pytest.fixture
def read_runs():
    def read(out: Path) -> list[dict[str, str]]:
        with open(out / "runs.csv", newline="") as f:
            return list(csv.DictReader(f))

    return read


@pytest.fixture
def models(tmp_path) -> list[Path]:
    """Two files that start like TFLite files."""
    files = []
    for name, size in (("mnext_1.0_224_float32", 70000), ("mobilenet_v2_1.0_224_float32", 50000)):
        files.append(tmp_path / f"{name}.tflite")
        files[-1].write_bytes(b"\x1c\0\0\0TFL3" + os.urandom(size))
    return files


@pytest.fixture
def quick(flags) -> list[str]:
    return [*flags, *QUICK]


@pytest.fixture
def flags(world, models, tmp_path) -> list[str]:
    """A short session: two models, two rounds, 1 and 4 threads on the CPU, 1 on the GPU."""
    names = ",".join(map(str, models))
    return [
        "--models",
        names,
        "--rounds=2",
        "--cooldown=0",
        f"--benchmark_model={world.tool}",
        "--out",
        tmp_path / "out",
    ]
