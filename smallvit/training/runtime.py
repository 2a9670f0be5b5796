"""How a run uses the machine: device, precision, distribution, workers, steps per call."""

import contextlib
import dataclasses
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras

from smallvit.layers.sizes import to_count
from smallvit.training.errors import TrainingError
from smallvit.training.processes import process_place

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class Session:
    """How to carry out a run; only the precision noticeably changes its result.

    Args:
        precision: Keras's dtype policy, one of `PRECISIONS`; `None` for float32 on a CPU, and on
            an accelerator for bfloat16, or float16 on GPUs that do not compute in bfloat16.
        steps_per_call: optimizer steps per call of Keras's compiled function; `None` for 16 on an
            accelerator, which would otherwise wait between steps of small models, and 1 on a CPU
            and on torch, for which Keras has no more.
        distribute: whether to spread each batch over all devices or, without an accelerator, over
            the CPU's cores. Needs JAX. Where Keras's `KERAS_DISTRIBUTION_*` variables are set, over
            several processes, with one device per process on CPUs.
        workers: processes that prepare batches; `None` for all cores but one, at most 8, on an
            accelerator, and 0 on a CPU, whose cores the model needs. Each imports the script that
            trains, which must do so under `if __name__ == "__main__":`.
        augment: `"host"`, or `"device"` to let the compiled training step do what is done to
            images, but for AutoAugment and what comes before it. Not tried on a GPU.
        time_limit: seconds after which to stop, to be resumed later; `None` for no limit.

    Raises:
        ValueError: if one of them is out of range.
    """

    precision: str | None = None
    steps_per_call: int | None = None
    distribute: bool = False
    workers: int | None = None
    augment: str = "host"
    time_limit: float | None = None

    def __post_init__(self):
        if self.precision not in (None, *PRECISIONS):
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}; got {self.precision!r}."
            )
        if self.augment not in ("host", "device"):
            raise ValueError(f"augment must be host or device; got {self.augment!r}.")
        if self.steps_per_call is not None:
            to_count(self.steps_per_call, "steps_per_call")
        if self.workers is not None:
            to_count(self.workers, "workers", minimum=0)
        if self.time_limit is not None and not self.time_limit >= 0:
            raise ValueError(f"time_limit must be at least 0 seconds; got {self.time_limit!r}.")

    def for_this_device(self) -> "Session":
        """A copy with unset options resolved for this device."""
        if on_cpu():
            defaults = {"precision": "float32", "steps_per_call": 1, "workers": 0}
        else:
            workers = max(1, min(8, count_cores() - 1))
            steps = 1 if keras.backend.backend() == "torch" else 16
            half = _half_precision()
            defaults = {"precision": half, "steps_per_call": steps, "workers": workers}
        unset = {name: x for name, x in defaults.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **unset)


_VARIABLES = "KERAS_DISTRIBUTION_"
"""What the names of Keras's variables for several processes begin with."""


@contextlib.contextmanager
def device_settings(session: Session) -> Iterator[None]:
    """Set Keras's precision and distribution, and restore them afterwards.

    Args:
        session: with all options resolved. If it distributes, call `find_devices` first.
    """
    precision, distribution = keras.config.dtype_policy(), keras.distribution.distribution()
    try:
        keras.config.set_dtype_policy(session.precision)
        if session.distribute:
            keras.distribution.set_distribution(
                keras.distribution.DataParallel(auto_shard_dataset=False)
            )
        yield
    finally:
        keras.config.set_dtype_policy(precision)
        keras.distribution.set_distribution(distribution)


def gains_by_xla(dtype: str) -> bool:
    """Whether compiling with XLA makes training steps faster on this backend and device.

    On a CPU, Keras does not use XLA with TensorFlow. These models consist of many small operations
    and gain from it there, too, except in bfloat16, which XLA computes in float32 and TensorFlow's
    own kernels with the processor's bfloat16 units.
    """
    if keras.backend.backend() == "tensorflow":
        return dtype == "float32" or not on_cpu()
    return keras.backend.backend() == "jax"


def find_devices(batch_sizes: set[int]) -> None:
    """Join the run's other processes; if it has none, let JAX treat the CPU's cores as devices.

    As many cores as divide every batch: JAX multiplies small matrices on a single core, and with a
    part of the batch each, all have work. Has no effect once JAX has looked for devices.
    Each of several processes keeps one device: with two, JAX waited minutes for a dead process.

    Args:
        batch_sizes: images that a batch can have; 0 stands for any number.

    Raises:
        TrainingError: if Keras does not run on JAX.
    """
    if keras.backend.backend() != "jax":
        raise TrainingError(
            f"Distributing a run needs JAX; Keras runs on {keras.backend.backend()}. "
            "Set KERAS_BACKEND=jax."
        )
    import jax

    if os.environ.get(f"{_VARIABLES}NUM_PROCESSES", "1") != "1":
        if not jax.distributed.is_initialized():
            _require_place_among_processes()
            jax.config.update("jax_num_cpu_devices", 1)
            jax.config.update("jax_enable_preemption_service", False)  # it would ignore SIGTERM
            print("Waiting for the other processes.", flush=True)
            keras.utils.set_random_seed(0)  # else Keras agrees on one, on the CPUs
            keras.distribution.initialize()
        return
    shared = math.gcd(*batch_sizes)
    cores = max(n for n in range(1, count_cores() + 1) if shared % n == 0)
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)


def _require_place_among_processes() -> None:
    """Check the variables that say which of the run's processes this one is."""
    number, count, address = (
        os.environ.get(_VARIABLES + name, "")
        for name in ("PROCESS_ID", "NUM_PROCESSES", "JOB_ADDRESSES")
    )
    whole = number.isdecimal() and count.isdecimal() and int(number) < int(count)
    if not whole or not re.fullmatch(r"[^,]+:\d+(,.+)?", address):
        raise TrainingError(
            f"{_VARIABLES}PROCESS_ID={number}, NUM_PROCESSES={count}, JOB_ADDRESSES={address}: "
            "expected a number from 0, how many there are, and process 0's HOST:PORT."
        )


def require_divisible(batch_sizes: set[int]) -> None:
    """Check that the devices can share batches of these sizes equally.

    Raises:
        TrainingError: if they cannot.
    """
    devices, (_, processes) = len(keras.distribution.list_devices()), process_place()
    if devices % processes:
        raise TrainingError(f"{processes} processes need as many devices each; found {devices}.")
    uneven = sorted(size for size in batch_sizes if size % devices)
    if uneven:
        raise TrainingError(
            f"{devices} devices cannot share batches of {' and '.join(map(str, uneven))} images; "
            "choose a number of devices that divides them, or train without --distribute."
        )


def progress_verbosity() -> int:
    """Keras's progress bar on a terminal; elsewhere `TimeKeeper`'s lines are enough."""
    return 1 if sys.stdout.isatty() else 0


def on_cpu() -> bool:
    """Whether Keras computes on the CPU."""
    return "cpu" in _place()


def describe_device() -> str:
    """Name what Keras computes on: the GPUs, or the CPU and how many of its cores."""
    if on_cpu():
        cores = count_cores()
        return f"{_processor_name()}, {cores} core{'s' * (cores > 1)}"
    names = _query_gpus("name")
    used = names if keras.distribution.distribution() else names[:1]
    return ", ".join(used) or _place()


def count_cores() -> int:
    """Processor cores that this process may use: fewer than the machine's under `taskset`."""
    if hasattr(os, "sched_getaffinity"):  # Linux. Python 3.13 has `os.process_cpu_count`.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def output_of(*command: str) -> str:
    """What a command prints, or an empty string if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _query_gpus(what: str) -> list[str]:
    """A property of each GPU that this process may use, as `nvidia-smi` prints it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # which `nvidia-smi` does not heed
    only = [f"--id={visible}"] if visible else []
    query = f"--query-gpu={what}"
    return output_of("nvidia-smi", query, "--format=csv,noheader", *only).splitlines()


def _half_precision() -> str:
    """bfloat16, or float16 on NVIDIA GPUs without it: compute capability below 8.0, as a T4's.

    In float16 Keras scales the loss, so that small gradients do not vanish.
    """
    printed = _query_gpus("compute_cap")
    capabilities = [float(line) for line in printed if re.fullmatch(r"\d+\.\d+", line)]
    return "mixed_float16" if min(capabilities, default=8.0) < 8.0 else "mixed_bfloat16"


def _place() -> str:
    return str(keras.ops.zeros(1).device).lower()  # tensors of every backend have one


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()
