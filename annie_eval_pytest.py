"""Lets `pytest --model-dir DIR` take a directory outside the project; does nothing in any other suite.

pytest looks for its configuration before it knows the options that a conftest.py adds. It takes the value of
`--model-dir DIR` for a test path, roots the session in DIR, and never reads the conftest.py that adds the option
(documented by pytest under "Initialization: determining rootdir"; `--model-dir=DIR` is not affected). This module is
an entry point, so it is there in time: it writes our options with `=` and has the configuration found again.
It is a module of its own because pytest rewrites every module of a package that has an entry point.
"""

from __future__ import annotations

import contextlib
import copy

import pytest
from _pytest.config.findpaths import determine_setup

_WITH_VALUE = frozenset(
    f"--{name}"
    for name in (
        *("model-dir", "base-url", "profile", "served-model", "api-key-env", "serve", "image", "vllm-python"),
        *(
            "vllm-arg",
            "port",
            "startup-timeout",
            "concurrency",
            "run-dir",
            "hardware",
            "probe-budget",
            "probe-seed",
            "repeats",
        ),
        "baseline",
    )
)
_TARGET = ("--model-dir", "--base-url")


def join_values(args: list[str]) -> list[str]:
    """`["--model-dir", "DIR", "-q"]` -> `["--model-dir=DIR", "-q"]`; unchanged where no target is named."""
    if not any(arg.split("=")[0] in _TARGET for arg in args):
        return args
    joined: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            return [*joined, arg, *rest]
        value = next(rest, None) if arg in _WITH_VALUE else None
        joined.append(arg if value is None else f"{arg}={value}")
    return joined


def _load_syrupy(config: pytest.Config, args: list[str]) -> None:
    """Load syrupy, which pytest.ini keeps out because it costs start-up time, where `-m` asks for snapshots.

    Here, because its options must be known before the command line is read. A worker of xdist has no command line:
    its options are there already. Raises UsageError for an option of snapshots without them.
    """
    options = config.option
    worker = getattr(options, "base_url", None) is not None or getattr(options, "model_dir", None) is not None
    if not worker and not any(arg.split("=")[0] in _TARGET for arg in args):
        return
    expression = str(getattr(options, "markexpr", "") or getattr(config.known_args_namespace, "markexpr", ""))
    option = next((arg.split("=")[0] for arg in args if arg.startswith("--snapshot-")), None)
    if option is None and "snapshot" not in expression:
        return
    from annie_eval.plugin.on_demand import SNAPSHOT, asks_for

    if asks_for(expression, SNAPSHOT):
        config.pluginmanager.unblock("syrupy")
        with contextlib.suppress(ImportError):  # who needs it says that it is missing
            config.pluginmanager.import_plugin("syrupy")
    elif option is not None:
        raise pytest.UsageError(f"{option}: snapshots run only where they are asked for; add -m snapshot")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    _load_syrupy(early_config, args)
    joined = join_values(args)
    if joined == args:
        return
    args[:] = joined
    config: object = early_config
    known = parser.parse_known_args(args, namespace=copy.copy(early_config.option))
    before = early_config.inipath
    config._rootpath, config._inipath, config._inicfg, _ = determine_setup(  # type: ignore[attr-defined]
        inifile=known.inifilename,
        override_ini=known.override_ini,
        args=known.file_or_dir,
        rootdir_cmd_arg=known.rootdir or None,
        invocation_dir=early_config.invocation_params.dir,
    )
    config._inicache.clear()  # type: ignore[attr-defined]
    if early_config.inipath != before and not hasattr(early_config, "workerinput"):
        args[:] = [*early_config.getini("addopts"), *args]
        known = parser.parse_known_args(args, namespace=copy.copy(early_config.option))
    if known.confcutdir is None:
        known.confcutdir = str(early_config.inipath.parent if early_config.inipath else early_config.rootpath)
    early_config.known_args_namespace = known
