"""A build hook that puts the gate's tests into the wheel. An editable install uses the files in `tests`."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GateTests(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """Maps `tests/behavior` and `tests/perf` to `annie_eval/gate_tests`; see annie_eval.resources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            for name in ("behavior", "perf"):
                build_data["force_include"][f"tests/{name}"] = f"annie_eval/gate_tests/{name}"
