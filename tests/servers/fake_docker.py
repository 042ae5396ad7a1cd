"""A fake docker command: `run` serves with fake_vllm.py, in a separate process like with dockerd.

FAKE_DOCKER is a directory: every call adds a line to `calls`, every running container is a file NAME with its pid.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(os.environ["FAKE_DOCKER"])


def run(arguments: list[str]) -> int:
    name = arguments[arguments.index("--name") + 1]
    port = arguments[arguments.index("-p") + 1].split(":")[1]
    script = str(Path(__file__).with_name("fake_vllm.py"))
    served = arguments[arguments.index("--served-model-name") + 1]
    command = [sys.executable, script, "-m", "vllm", "--port", port, "--served-model-name", served]
    # A container is not a child of the client, so it keeps running when the client is killed.
    container = subprocess.Popen(command, start_new_session=True)
    (ROOT / name).write_text(str(container.pid))
    return container.wait()


def end(name: str) -> int:
    file = ROOT / name
    if not file.exists():
        print(f"Error response from daemon: No such container: {name}", file=sys.stderr)
        return 1
    with suppress(ProcessLookupError):
        os.kill(int(file.read_text()), signal.SIGKILL)
    file.unlink()
    return 0


if __name__ == "__main__":
    with (ROOT / "calls").open("a") as file:
        file.write(json.dumps(sys.argv[1:]) + "\n")
    sys.exit(run(sys.argv[2:]) if sys.argv[1] == "run" else end(sys.argv[-1]))
