"""Planted faults in a server's replies that the gate must find, one switch each."""

from __future__ import annotations

from collections.abc import Mapping

from tests.servers.faults import calls, leaks, protocol, speech, transport
from tests.servers.faults.fault import Fault

FAULTS: Mapping[str, Fault] = {
    fault.name: fault for module in (leaks, calls, speech, protocol, transport) for fault in module.FAULTS
}
