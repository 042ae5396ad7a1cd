"""Reads the state of the machine during timing: clocks, power, temperature and throttling of GPUs, governor, load.

GPUs are read with NVML if its Python module (nvidia-ml-py) is installed, otherwise with `nvidia-smi`; without both,
only the CPU is read. A value that the driver does not report is None. Timings on a throttled or shared GPU say nothing
about the server's speed.
"""

from __future__ import annotations

import importlib
import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

EVERY_S = 2.0
"""Seconds between two readings. A reading by `nvidia-smi` uses some tenths of a second of CPU time."""
_SHARE = 0.05  # share of the readings; throttling in fewer does not change a median
_BUSY = 10  # percent; the utilisation of an idle server's GPU is lower
_HOLDS_MIB = 1024  # a GPU with less memory in use serves no model
_POWER_CAP = 0x4
_THROTTLED = {
    0x8: "HW slowdown",
    0x20: "SW thermal slowdown",
    0x40: "HW thermal slowdown",
    0x80: "HW power brake",
}
"""Bits of nvmlClocksEventReasons (nvml.h). A GPU at its power cap counts as throttled only if the cap was lowered."""
When = Literal["before", "during", "after"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One reading of one GPU.

    Attributes:
        firmware: version of its VBIOS.
        sm_mhz, max_sm_mhz, memory_mhz: clocks now, and the highest that the SMs can have.
        power_w, limit_w, default_limit_w: drawn, allowed, and allowed by default.
        busy: percent of the last moment in which a kernel ran.
        held_mib: memory in use.
        reasons: why the clock is not higher: bits of nvmlClocksEventReasons.
        pids: processes that compute on it, as far as they can be seen from here.
    """

    uuid: str
    name: str
    driver: str | None = None
    firmware: str | None = None
    sm_mhz: float | None = None
    max_sm_mhz: float | None = None
    memory_mhz: float | None = None
    power_w: float | None = None
    limit_w: float | None = None
    default_limit_w: float | None = None
    temperature_c: float | None = None
    busy: float | None = None
    held_mib: float | None = None
    reasons: int = 0
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of the machine at one time. `load` is the load average of the last minute."""

    when: When
    gpus: tuple[Gpu, ...] = ()
    cores: int = 1
    governor: str | None = None
    load: float | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reading:
        """The inverse of `dataclasses.asdict`; accepts values that were stored as JSON."""
        gpus = tuple(Gpu(**{**each, "pids": tuple(each["pids"])}) for each in values["gpus"])
        return cls(**{**values, "gpus": gpus})


def read(when: When) -> Reading:
    """The current state of the machine."""
    return Reading(when, _visible((_by_nvml() or _by_smi)()), os.cpu_count() or 1, _governor(), _load())


def _visible(gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES names; all if it names none of them."""
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    seen = [
        gpu
        for at, gpu in enumerate(gpus)
        if any(name == str(at) or (name.startswith("GPU-") and gpu.uuid.startswith(name)) for name in named)
    ]
    return tuple(seen) or gpus


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def _governor() -> str | None:
    """The CPU governor, such as `performance`; `mixed: ...` if cores differ, None if unknown."""
    found = set()
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"):
        try:
            found.add(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError):
            continue
    return next(iter(found)) if len(found) == 1 else f"mixed: {', '.join(sorted(found))}" if found else None


_FIELDS = {
    "uuid": "uuid",
    "name": "name",
    "driver": "driver_version",
    "firmware": "vbios_version",
    "sm_mhz": "clocks.sm",
    "max_sm_mhz": "clocks.max.sm",
    "memory_mhz": "clocks.mem",
    "power_w": "power.draw",
    "limit_w": "power.limit",
    "default_limit_w": "power.default_limit",
    "temperature_c": "temperature.gpu",
    "busy": "utilization.gpu",
    "held_mib": "memory.used",
}
_REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")  # since driver 535, and before
_TEXT = ("uuid", "name", "driver", "firmware")


def _by_smi() -> tuple[Gpu, ...]:
    for reasons in _REASONS:
        rows = _smi(f"--query-gpu={','.join([*_FIELDS.values(), reasons])}")
        if rows:
            break
    else:
        return ()
    running: dict[str, list[int]] = {}
    for uuid, pid in (row for row in _smi("--query-compute-apps=gpu_uuid,pid") if len(row) == 2):
        running.setdefault(uuid, []).append(int(pid) if pid.isdigit() else 0)
    found = []
    for row in rows:
        if len(row) != len(_FIELDS) + 1:
            continue
        values: dict[str, Any] = {
            name: (value or None) if name in _TEXT else _number(value)
            for name, value in zip(_FIELDS, row, strict=False)
        }
        mask = int(row[-1], 16) if row[-1].startswith("0x") else 0
        found.append(Gpu(**values, reasons=mask, pids=tuple(running.get(row[0], ()))))
    return tuple(found)


def _smi(query: str) -> list[list[str]]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        done = subprocess.run(
            [tool, query, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return []
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return [[cell.strip() for cell in line.split(",")] for line in lines if line.strip()]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # "[N/A]", "[Not Supported]"
        return None


def _by_nvml() -> Callable[[], tuple[Gpu, ...]] | None:
    """A function that reads the GPUs with nvidia-ml-py; None if it is not installed or finds no driver."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # nvidia-smi may still work
        return None
    return lambda: tuple(
        _nvml_gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(at)) for at in range(nvml.nvmlDeviceGetCount())
    )


def _nvml_gpu(nvml: Any, card: Any) -> Gpu:
    def read(name: str, *more: Any) -> Any:
        try:
            value = getattr(nvml, name)(*more)
        except Exception:  # not supported on this card, or not in this version of the module
            return None
        return value.decode() if isinstance(value, bytes) else value

    def scaled(name: str, by: float, *more: Any) -> float | None:
        value = read(name, card, *more)
        return None if value is None else round(value * by, 2)

    reasons = read("nvmlDeviceGetCurrentClocksEventReasons", card)
    if reasons is None:
        reasons = read("nvmlDeviceGetCurrentClocksThrottleReasons", card)
    rates, memory = read("nvmlDeviceGetUtilizationRates", card), read("nvmlDeviceGetMemoryInfo", card)
    running = read("nvmlDeviceGetComputeRunningProcesses", card) or ()
    return Gpu(
        uuid=str(read("nvmlDeviceGetUUID", card)),
        name=str(read("nvmlDeviceGetName", card)),
        driver=read("nvmlSystemGetDriverVersion"),
        firmware=read("nvmlDeviceGetVbiosVersion", card),
        sm_mhz=scaled("nvmlDeviceGetClockInfo", 1, 1),
        max_sm_mhz=scaled("nvmlDeviceGetMaxClockInfo", 1, 1),
        memory_mhz=scaled("nvmlDeviceGetClockInfo", 1, 2),
        power_w=scaled("nvmlDeviceGetPowerUsage", 1e-3),
        limit_w=scaled("nvmlDeviceGetPowerManagementLimit", 1e-3),
        default_limit_w=scaled("nvmlDeviceGetPowerManagementDefaultLimit", 1e-3),
        temperature_c=scaled("nvmlDeviceGetTemperature", 1, 0),
        busy=None if rates is None else float(rates.gpu),
        held_mib=None if memory is None else round(memory.used / 2**20, 1),
        reasons=int(reasons or 0),
        pids=tuple(each.pid for each in running),
    )


def serving(readings: Sequence[Reading]) -> set[str]:
    """UUIDs of the GPUs that have a model in memory; of all GPUs if none has."""
    holding = {gpu.uuid for one in readings for gpu in one.gpus if (gpu.held_mib or 0) >= _HOLDS_MIB}
    return holding or {gpu.uuid for one in readings for gpu in one.gpus}


def doubts(readings: Sequence[Reading]) -> list[str]:
    """Reasons why timings on this machine are not valid: a GPU was throttled or shared. [] if there is none. Pure."""
    found = []
    for uuid in sorted(serving(readings)):
        of: dict[str, list[Gpu]] = {"before": [], "during": [], "after": []}
        for one in readings:
            of[one.when] += [gpu for gpu in one.gpus if gpu.uuid == uuid]
        before, during = of["before"], of["during"]
        name = next(iter(before + during + of["after"])).name
        slow = [reasons for gpu in during if (reasons := throttled(gpu))]
        if slow and len(slow) >= _SHARE * len(during):
            why = ", ".join(dict.fromkeys(each for reasons in slow for each in reasons))
            hottest = max((gpu.temperature_c for gpu in during if gpu.temperature_c is not None), default=None)
            heat = "" if hottest is None else f", {hottest:.0f} degrees Celsius at most"
            found.append(f"{name} was throttled in {len(slow)} of {len(during)} readings ({why}{heat})")
        idle = [gpu.busy for gpu in before if gpu.busy is not None]
        if idle and min(idle) > _BUSY:
            found.append(f"{name} is shared: {min(idle):.0f} % busy before the first request")
        known = {pid for gpu in before for pid in gpu.pids}
        came = sorted({pid for gpu in during for pid in gpu.pids} - known)
        if before and came:
            found.append(f"{name} is shared: process {came[0]} began to compute on it meanwhile")
    return found


def throttled(gpu: Gpu) -> list[str]:
    """Reasons why the GPU's clock is reduced, other than idling and normal power management; [] if there is none."""
    found = [name for bit, name in _THROTTLED.items() if gpu.reasons & bit]
    low = gpu.limit_w is not None and gpu.default_limit_w is not None and gpu.limit_w < 0.99 * gpu.default_limit_w
    if gpu.reasons & _POWER_CAP and low:
        found.append(f"power limit of {gpu.limit_w:g} W, {gpu.default_limit_w:g} W by default")
    return found


class Watch:
    """A context manager that reads the machine at its start, every `EVERY_S` seconds, and at its end."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="annie-machine", daemon=True)

    def __enter__(self) -> Watch:
        for _ in range(3):  # a server may still be busy right after its start
            self.readings.append(read("before"))
            if all((gpu.busy or 0) <= _BUSY for gpu in self.readings[-1].gpus):
                break
            time.sleep(1.0)
        if self.readings[-1].gpus:
            self._thread.start()
        return self

    def _look(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.readings.append(read("during"))

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.readings.append(read("after"))

    def doubts(self) -> list[str]:
        """`doubts` of the readings so far."""
        return doubts(list(self.readings))

    def as_dict(self) -> dict[str, Any]:
        """`readings` and `doubts`, for JSON."""
        return {"readings": [asdict(one) for one in self.readings], "doubts": self.doubts()}


_WORDS = {
    "name": "the GPU",
    "driver": "the GPU's driver",
    "firmware": "the GPU's firmware",
    "max_sm_mhz": "the GPU's highest clock in MHz",
    "limit_w": "the GPU's power limit in W",
}
_CLOCK, _DEGREES, _LOAD = 0.05, 10.0, 0.5  # share of the clock, degrees, load per core: smaller changes are normal


def changes(before: Sequence[Reading], now: Sequence[Reading]) -> list[str]:
    """Changes of the machine between two runs, in words: `the GPU's driver was 570.1 and is 580.2`. Pure."""
    if not before or not now:
        return []
    old, new = before[0], now[0]
    found = [
        f"{what} was {_shown(was)} and is {_shown(will)}"
        for name, what in _WORDS.items()
        if (was := _all(old, name)) != (will := _all(new, name)) and was and will
    ]
    for name, what in (("cores", "the number of cores"), ("governor", "the CPU governor")):
        was, will = getattr(old, name), getattr(new, name)
        if was != will and None not in (was, will):
            found.append(f"{what} was {was} and is {will}")
    clock = _median(before, "sm_mhz"), _median(now, "sm_mhz")
    if clock[0] and clock[1] and abs(clock[1] / clock[0] - 1) > _CLOCK:
        found.append(f"the GPU's clock was {clock[0]:.0f} MHz and is {clock[1]:.0f} MHz")
    heat = _median(before, "temperature_c"), _median(now, "temperature_c")
    if heat[0] is not None and heat[1] is not None and abs(heat[1] - heat[0]) > _DEGREES:
        found.append(f"the GPU had {heat[0]:.0f} degrees Celsius and has {heat[1]:.0f}")
    if old.load is not None and new.load is not None and abs(new.load - old.load) > _LOAD * new.cores:
        found.append(f"the load average before timing was {old.load:g} and is {new.load:g}, on {new.cores} cores")
    return found


def _all(reading: Reading, name: str) -> list[Any]:
    return [value for gpu in reading.gpus if (value := getattr(gpu, name)) is not None]


def _shown(values: Sequence[Any]) -> str:
    different = dict.fromkeys(f"{one:g}" if isinstance(one, float) else str(one) for one in values)
    times = f" ({len(values)})" if len(values) > 1 else ""
    return ", ".join(different) + times


def _median(readings: Sequence[Reading], name: str) -> float | None:
    """The median of a field over the readings during requests and the GPUs with a model; None without values."""
    held = serving(readings)
    values = [
        value
        for one in readings
        if one.when == "during"
        for gpu in one.gpus
        if gpu.uuid in held and (value := getattr(gpu, name)) is not None
    ]
    return statistics.median(values) if values else None


def lines(reading: Reading) -> list[str]:
    """A reading as text, with one line for the CPU and one per GPU."""
    found = [f"{reading.when}: {reading.cores} cores, governor {reading.governor}, load average {reading.load}"]
    for gpu in reading.gpus:
        facts = ", ".join(f"{field.name} {getattr(gpu, field.name)}" for field in fields(gpu) if field.name != "name")
        found.append(f"{gpu.name}: {facts}; throttled: {', '.join(throttled(gpu)) or 'no'}")
    return found
