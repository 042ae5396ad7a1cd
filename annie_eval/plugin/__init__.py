"""The pytest plugin of the release gate: registers markers, fixtures and hooks.

The entry point, `annie_eval_pytest`, loads it if a target is given; other test suites in the same environment do not
load it. Loaded in another way (`-p annie_eval.plugin`) and without a target it does nothing.
"""

from __future__ import annotations

import pytest

from annie_eval.errors import UsageError
from annie_eval.plugin import collection, fixtures, on_demand
from annie_eval.plugin.options import option
from annie_eval.plugin.selection import GATE, PERF, STATE
from annie_eval.plugin.session import Owner, Session, Worker


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    target = option(config, "model-dir") is not None or option(config, "base-url") is not None
    if not target or config.pluginmanager.has_plugin("annie-session"):
        return
    config.addinivalue_line(
        "markers", f'{GATE}(name): judged by this gate of the profile; "*" means the gates without a test of their own'
    )
    config.addinivalue_line("markers", f"{PERF}(name): judged by this timing gate")
    config.addinivalue_line("markers", f"{STATE}(probe): judged by this probe of the server's state")
    for mark in on_demand.ON_DEMAND:
        config.addinivalue_line("markers", f"{mark}: runs only if -m selects it")
    alone = collection.choose(config)
    if alone and not any(on_demand.asks_for(config.option.markexpr, mark) for mark in on_demand.ON_DEMAND):
        # The table at the end lists each miss in one line and each cause of an error once.
        config.option.tbstyle = "no" if config.option.tbstyle == "auto" else config.option.tbstyle
        config.option.reportchars = "" if config.option.reportchars == "fE" else config.option.reportchars
    try:
        wanted = on_demand.wanted(config)
        session: Session = Worker(config) if hasattr(config, "workerinput") else Owner(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(collection)
    config.pluginmanager.register(fixtures)
    config.pluginmanager.register(session, "annie-session")
    on_demand.load(config, wanted)
    # Without property-based tests it only imports a module at the end, which takes a fifth of a second.
    if alone and on_demand.PROBE not in wanted and config.pluginmanager.has_plugin("hypothesispytest"):
        config.pluginmanager.unregister(name="hypothesispytest")
