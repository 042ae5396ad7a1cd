"""What can go wrong, sorted by who has to act."""


class UsageError(Exception):
    """The caller can mend this: one line that names the file, the field and the mend.

    pytest leaves with status 4, our own commands with status 2, before anything slow has started.
    """


class TargetError(Exception):
    """The server could not be started, reached or believed; the message states the cause and the mend."""


class ExchangeError(Exception):
    """One exchange broke: HTTP error, time-out, lost connection, a body that cannot be parsed.

    It makes its sample an ERROR: never a pass, and never a miss of the model.
    """
