"""A syrupy extension that stores signatures as one readable JSON file per scenario, in one directory per model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from syrupy.data import SnapshotCollections
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from annie_eval.resources import GATE_TESTS, INSTALLED

if TYPE_CHECKING:
    from syrupy.location import PyTestLocation

# (profile, model identity, scenario) of the item; set when the server is ready.
PLACE = pytest.StashKey[tuple[str, str, str]]()

_OLD_LABEL = re.compile(r'^( +)"whole\.(?=(?:on|off|unset)(?:\.\d+)?": )', re.MULTILINE)


def home(config: pytest.Config) -> Path:
    """Parent of the snapshot directory: the user's project; in a checkout the directory of the tests."""
    return config.rootpath if INSTALLED else GATE_TESTS / "behavior"


class SignatureExtension(SingleFileSnapshotExtension):
    """`<snapshots>/<profile>/<model identity>/<scenario>.json`.

    `<snapshots>` is the directory that `--snapshot-dirname` names, in `home`.
    """

    _write_mode = WriteMode.TEXT
    file_extension = "json"

    def serialize(self, data: Any, **_: Any) -> str:
        """The text unchanged: `annie_eval.snapshots.signature.dumps` has written it."""
        return str(data)

    def read_snapshot_data_from_location(self, **place: str) -> Any:
        """The recorded text, with the variant names of this version."""
        found = super().read_snapshot_data_from_location(**place)
        return found if found is None else _OLD_LABEL.sub(r'\1"unstreamed.', str(found))

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        profile, model, _ = test_location.item.stash[PLACE]
        return str(home(test_location.item.config) / cls.snapshot_dirname / profile / model)

    @classmethod
    def discovery_dirname(cls, *, test_location: PyTestLocation) -> str:
        """The directory of a test's snapshots. syrupy calls it for every collected test."""
        return str(home(test_location.item.config) / cls.snapshot_dirname)

    @classmethod
    def get_file_basename(cls, *, test_location: PyTestLocation, index: Any) -> str:
        return test_location.item.stash[PLACE][2]

    def discover_snapshots(self, **_: Any) -> SnapshotCollections:
        """Returns nothing: `plugin.snapshots` finds unused snapshots."""
        return SnapshotCollections()

    @classmethod
    def matches_test_location(cls, **_: Any) -> bool:
        """Files are named after scenarios, and belong to this one test."""
        return True
