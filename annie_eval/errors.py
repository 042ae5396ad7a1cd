"""The exceptions of annie_eval, one for each party that has to act."""

from annie_eval.text import printable


class FromOutside(Exception):
    """Its message may quote a server, a file or a model: whoever prints it, no terminal obeys what it says."""

    def __str__(self) -> str:
        return "\n".join(map(printable, super().__str__().split("\n")))


class UsageError(FromOutside):
    """The caller can fix this: one line that names the file, the field and the fix.

    pytest leaves with status 4, our own commands with status 2, before anything slow has started.
    """


class TargetError(FromOutside):
    """The server could not be started, reached or believed; the message states the cause and the fix."""


class NotAsked(FromOutside):
    """The run ended before this was asked, as `--fail-fast` wants it: there is nothing to judge, and nothing broke."""


class ExchangeError(FromOutside):
    """One exchange broke: HTTP error, time-out, lost connection, a body that cannot be parsed.

    It makes its sample an ERROR: never a pass, and never a miss of the model.
    """
