"""The exceptions of quant: one for wrong input, one for a result that failed its checks."""


class UsageError(Exception):
    """The user can correct this: one line that names the file, the field and what to do.

    The command line prints it and exits with status 2, if possible before anything slow starts.
    """


class NotServedAsMade(Exception):
    """The exported weights differ from those that the model computed with: the result is refused.

    The command line prints it and exits with status 1. There is no directory with the name of the output then.
    """
