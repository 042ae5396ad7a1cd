"""The pytest plugin's entry point: adds the gate's options, and loads the gate if a target is given.

pytest imports this module in every suite of the environment. So it imports only pytest, and without a target
(`--model-dir`, `--base-url`, or `base-url` in `[tool.annie-eval]` of pyproject.toml) it only adds options and two
fixtures that skip. It is outside of the package because pytest rewrites every module of a package with an entry point.

Two properties of pytest must be considered:

- Two options with the same name end the session with a traceback. So the gate's options are added last, after those of
  all plugins and conftest.py. If a name is taken, the gate's option is called `--annie-NAME`.
- pytest looks for its configuration before it loads plugins. It treats the value of `--model-dir DIR` as a test path
  and uses DIR as root directory (documented under "Initialization: determining rootdir and configfile"; this does not
  happen with `--model-dir=DIR`). So options are joined to their values with `=`, and the configuration is searched
  again.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import sys
from argparse import Namespace
from collections.abc import Collection, Generator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from annie_eval.run.reader import Asker, EndpointInfo

PLUGIN = "annie_eval.plugin"
TARGETS = ("model-dir", "base-url")

#: Name of each option, without dashes, and the arguments of pytest's `addoption`.
OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "model-dir": {"type": Path, "metavar": "DIR", "help": "serve this checkpoint with vLLM and judge it"},
        "base-url": {
            "action": "append",
            "metavar": "URL",
            "help": "judge the server at this URL, such as http://host:8000/v1; repeat it for replicas, "
            "which share the samples",
        },
        "profile": {"metavar": "NAME|PATH", "help": "name or file (default: that of pyproject.toml, else annie)"},
        "served-model": {"metavar": "NAME", "help": "model name to ask for (default: the one the server lists)"},
        "api-key-env": {"metavar": "VAR", "help": "environment variable that holds the API key"},
        "serve": {"choices": ("native", "docker"), "default": "native", "help": "how --model-dir is served"},
        "image": {"metavar": "NAME", "help": "container image for --serve docker"},
        "vllm-python": {"type": Path, "metavar": "PATH", "help": "interpreter of the server's environment"},
        "vllm-arg": {
            "action": "append",
            "default": [],
            "metavar": "ARG",
            "help": "pass ARG through to vLLM, for example --vllm-arg=--max-num-seqs=8; may be repeated",
        },
        "port": {"type": int, "metavar": "N", "help": "port for the server (default: a free one)"},
        "startup-timeout": {
            "type": float,
            "default": 900.0,
            "metavar": "S",
            "help": "seconds for the server to start (default: 900)",
        },
        "concurrency": {"type": int, "metavar": "N", "help": "requests in flight (default: the profile's)"},
        "run-dir": {
            "type": Path,
            "metavar": "DIR",
            "help": "directory of this run (default: a new one in runs/)",
        },
        "resume": {"action": "store_true", "help": "continue the run in --run-dir; answers are kept"},
        "fail-fast": {
            "action": "store_true",
            "help": "send no more requests once a gate has failed; the same command with --run-dir DIR --resume runs"
            " the rest",
        },
        "probe-budget": {
            "type": int,
            "default": 300,
            "metavar": "N",
            "help": "maximum number of prompts for each probe of -m probe",
        },
        "probe-seed": {"type": int, "default": 0, "metavar": "N", "help": "seed of the generated prompts of -m probe"},
        "baseline": {"metavar": "NAME|RUN", "help": "compare the run with a blessed run, sample by sample"},
        "repeats": {
            "type": int,
            "metavar": "N",
            "help": "send every sample N times; with --until-decided at most N times (default: 20)",
        },
        "until-decided": {
            "action": "store_true",
            "help": "repeat each gate's samples until the gate is decided",
        },
        "hardware": {
            "metavar": "NAME",
            "help": "hardware whose timing limits apply (default: what the server reports)",
        },
    }
)
_SWITCHES = frozenset(name for name, attributes in OPTIONS.items() if attributes.get("action") == "store_true")

_TAKEN = pytest.StashKey[frozenset[str]]()
_NOTE = pytest.StashKey[str]()
_DEFAULTS = pytest.StashKey[Mapping[str, Any]]()


def option(config: pytest.Config, name: str) -> Any:
    """The value of one of the gate's options, by its name without dashes, also if that name was taken."""
    return getattr(config.option, _dest(name), None)


def _dest(name: str) -> str:
    return f"annie_{name.replace('-', '_')}"


def has_target(config: pytest.Config) -> bool:
    """Whether this session judges a model."""
    return any(option(config, name) is not None for name in TARGETS)


def join_values(args: list[str], names: Collection[str] = tuple(OPTIONS)) -> list[str]:
    """`["--model-dir", "DIR", "-q"]` -> `["--model-dir=DIR", "-q"]`, for the options in `names`."""
    joined: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            return [*joined, arg, *rest]
        name = arg.removeprefix("--annie-") if arg.startswith("--annie-") else arg.removeprefix("--")
        ours = name != arg and name in (OPTIONS if arg.startswith("--annie-") else names)
        value = next(rest, None) if ours and name not in _SWITCHES else None
        joined.append(arg if value is None else f"{arg}={value}")
    return joined


def _part_values(args: list[str], given: Collection[str], names: Collection[str]) -> None:
    """Undo `join_values` for options that belong to a conftest.py: they may take no value."""
    for at in reversed(range(len(args))):
        name, _, value = args[at].removeprefix("--").partition("=")
        if name in names and args[at] not in given:
            args[at : at + 1] = [f"--{name}", value]


def _named(args: list[str]) -> set[str]:
    """The long options on a command line, without dashes and values."""
    before = args[: args.index("--")] if "--" in args else args
    return {arg[2:].partition("=")[0] for arg in before if arg.startswith("--")}


def _taken(parser: pytest.Parser) -> frozenset[str]:
    """Names of the gate's options that other plugins have taken."""

    def unknown(names: Collection[str]) -> set[str] | None:
        try:
            return set(parser.parse_known_and_unknown_args([f"--{name}" for name in names], Namespace())[1])
        except pytest.UsageError:
            return None  # one of them exists and needs a value

    free = unknown(OPTIONS)
    if free is not None:
        return frozenset(name for name in OPTIONS if f"--{name}" not in free)
    return frozenset(name for name in OPTIONS if not unknown([name]))


def _add_options(config: pytest.Config, parser: pytest.Parser) -> None:
    taken = config.stash[_TAKEN] = _taken(parser)
    group = parser.getgroup("annie-eval", "annie-eval: release gate for a served model (defaults: [tool.annie-eval])")
    for name, attributes in OPTIONS.items():
        flag = f"--annie-{name}" if name in taken else f"--{name}"
        group.addoption(flag, dest=_dest(name), **attributes)


def _check_taken(config: pytest.Config, args: list[str], configured: bool) -> None:
    """Report options on the command line whose names belong to another plugin in this environment.

    Raises UsageError in a session with a target. In other sessions the option is the other plugin's, with a note.
    """
    taken, named = config.stash[_TAKEN], _named(args)
    clash = sorted(taken & named)
    if not clash:
        return
    ours = {name for name in TARGETS if name not in taken} | {f"annie-{name}" for name in TARGETS}
    flags = ", ".join(f"--{name}" for name in clash)
    fix = ", ".join(f"--annie-{name}" for name in clash)
    message = f"{flags}: another plugin of this environment has that option; the gate's is {fix}"
    if configured or ours & named:
        raise pytest.UsageError(f"{message} (or turn that plugin off with -p no:NAME)")
    if set(TARGETS) & set(clash):
        config.stash[_NOTE] = f"annie-eval: {message}"


def _load_syrupy(config: pytest.Config, args: list[str]) -> bool:
    """Load syrupy if `-m` selects snapshots. pytest.ini disables it because it costs start-up time.

    It is loaded here because its options must be known before the command line is parsed. Returns whether snapshots
    are selected; raises UsageError for an option of snapshots without `-m snapshot`.
    """
    expression = str(getattr(config.known_args_namespace, "markexpr", ""))
    flag = next((arg.split("=")[0] for arg in args if arg.startswith("--snapshot-")), None)
    if flag is None and "snapshot" not in expression:
        return False
    from annie_eval.plugin.on_demand import SNAPSHOT, asks_for

    if asks_for(expression, SNAPSHOT):
        config.pluginmanager.unblock("syrupy")
        with contextlib.suppress(ImportError, pytest.UsageError):  # reported later, when it is needed
            config.pluginmanager.import_plugin("syrupy")
        return True
    if flag is not None:
        raise pytest.UsageError(f"{flag}: snapshots run only with -m snapshot; add it")
    return False


def _find_configuration_again(config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Search the configuration again, because pytest treated the values of the gate's options as test paths."""
    from _pytest.config.findpaths import determine_setup

    private: Any = config
    before, stale, paths = config.inipath, config.getini("addopts"), config.getini("pythonpath")
    if args[: len(stale)] == stale:  # from a configuration that may belong to another project
        del args[: len(stale)]
    known = parser.parse_known_args(args, namespace=copy.copy(config.option))
    private._rootpath, private._inipath, private._inicfg, _ = determine_setup(
        inifile=known.inifilename,
        override_ini=known.override_ini,
        args=known.file_or_dir,
        rootdir_cmd_arg=known.rootdir or None,
        invocation_dir=config.invocation_params.dir,
    )
    private._inicache.clear()
    args[:] = [*config.getini("addopts"), *args]
    known = parser.parse_known_args(args, namespace=copy.copy(config.option))
    if config.inipath != before:
        for path in paths:
            with contextlib.suppress(ValueError):
                sys.path.remove(str(path))
        private._configure_python_path()
    if known.confcutdir is None:
        known.confcutdir = str(config.inipath.parent if config.inipath else config.rootpath)
    config.known_args_namespace = known


def _defaults(config: pytest.Config) -> Mapping[str, Any]:
    """`[tool.annie-eval]` from pyproject.toml in the directory where pytest was started."""
    start = config.invocation_params.dir
    file = next((path for at in (start, *start.parents) if (path := at / "pyproject.toml").is_file()), None)
    # text search first, because parsing would cost time in every suite
    if file is None or b"annie-eval" not in file.read_bytes():
        return {}
    from annie_eval.errors import UsageError
    from annie_eval.profile.defaults import read

    try:
        return read(file)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    defaults = _defaults(early_config)
    configured, given = "base-url" in defaults, list(args)
    if configured or any(name.removeprefix("annie-") in TARGETS for name in _named(args)):
        snapshots = _load_syrupy(early_config, args)
        args[:] = join_values(args, OPTIONS.keys() - _taken(parser))
        if args != given:
            _find_configuration_again(early_config, parser, args)
            # pytest has loaded plugins that this configuration disables. xdist's workers find it at once and have not.
            for name in early_config.known_args_namespace.plugins:
                if name.startswith("no:") and not (snapshots and name == "no:syrupy"):
                    early_config.pluginmanager.consider_pluginarg(name)
    result = yield
    _add_options(early_config, parser)
    taken = early_config.stash[_TAKEN]
    _part_values(args, given, taken)
    _check_taken(early_config, args, configured)
    early_config.stash[_DEFAULTS] = defaults
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Fill in defaults from pyproject.toml, and load the gate if there is a target."""
    config.addinivalue_line("markers", "annie_profile(name, ...): runs only if this is the name of the judged profile")
    configured: Mapping[str, Any] = config.stash.get(_DEFAULTS, {})
    given = [
        name for name, attributes in OPTIONS.items() if option(config, name) not in (None, attributes.get("default"))
    ]
    defaults = dict(configured)
    if has_target(config):
        defaults.pop("base-url", None)
    if option(config, "model-dir") is None:
        defaults.pop("vllm-python", None)  # not used, and would be refused
    for name, value in defaults.items():
        if option(config, name) is None:
            setattr(config.option, _dest(name), value)
    if has_target(config):
        if not config.pluginmanager.has_plugin(PLUGIN):
            # Not import_plugin, which would warn that a module cannot be rewritten after -m snapshot has imported it.
            config.pluginmanager.register(importlib.import_module(PLUGIN), PLUGIN)
        elif not config.pluginmanager.has_plugin("annie-session"):
            # A conftest.py has loaded it, so that it was configured before it had a target from pyproject.toml.
            importlib.import_module(PLUGIN).pytest_configure(config)
    elif flags := [f"--{name}" for name in given if option(config, name) is not False]:
        raise pytest.UsageError(f"{', '.join(flags)}: needs a target to judge; give --model-dir or --base-url")
    else:
        _refuse_gates(config)


def _refuse_gates(config: pytest.Config) -> None:
    """Refuse to run the gate's tests without a server: all would be skipped, which looks like a pass."""
    named = [arg for arg in config.args if "behavior" in arg or "perf" in arg]
    if not named:
        return
    from annie_eval.resources import GATE_TESTS

    for arg in named:
        path = (config.invocation_params.dir / arg.partition("::")[0]).resolve()
        if any(path.is_relative_to(GATE_TESTS / name) for name in ("behavior", "perf")):
            raise pytest.UsageError(f"{arg}: the gate's tests need a target; give --model-dir or --base-url")


def pytest_report_header(config: pytest.Config) -> str | None:
    return config.stash.get(_NOTE, None)


def _session(request: pytest.FixtureRequest) -> Any:
    session = request.config.pluginmanager.get_plugin("annie-session")
    if session is None:
        pytest.skip("no target: give --model-dir or --base-url")
    return session


@pytest.fixture(scope="session")
def endpoint(request: pytest.FixtureRequest) -> EndpointInfo:
    """The server under test: `base_url`, `served_model`, `kind`, `fingerprint`, `api_key`, and an openai `client`."""
    import os

    reader = _session(request).reader
    return reader.endpoint(os.environ.get(option(request.config, "api-key-env") or ""))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def ask(request: pytest.FixtureRequest) -> Asker:
    """Send one more question. `ask("What time is it?").findings` is judged like the profile's scenarios."""
    session = _session(request)
    from annie_eval.run.reader import Asker

    session.reader.endpoint(None)
    return Asker(session.reader)
