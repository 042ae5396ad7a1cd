"""The exceptions of annie_eval: wrong input, unusable server, broken exchange, sample that was not sent."""

from annie_eval.text import printable, shortened

_LONGEST = 2000


class FromOutside(Exception):
    """An exception whose message may quote untrusted text: as text it has no control characters for a terminal.

    A line of more than `_LONGEST` characters is cut.
    """

    def __str__(self) -> str:
        return "\n".join(shortened(printable(line), _LONGEST) for line in super().__str__().split("\n"))


class UsageError(FromOutside):
    """The user can fix this: one line that names the file, the field and the fix.

    pytest exits with status 4, other commands with status 2, before anything slow starts.
    """


class TargetError(FromOutside):
    """The server could not be started, reached or identified; the message states the cause and the fix."""


class NotAsked(FromOutside):
    """The run ended before this sample was sent (`--fail-fast`): there is nothing to judge, and nothing broke."""


class ExchangeError(FromOutside):
    """One exchange broke: HTTP error, time-out, lost connection, a body that cannot be parsed.

    It makes its sample an ERROR: never a pass, and never a miss of the model.
    """
