"""The exceptions of quant: one for wrong input, one for a result that failed its checks."""


class UsageError(Exception):
    """The user can correct this: one line that names the file, the field and what to do.

    The command line prints it and leaves with status 2, before anything slow has started where that can be known.
    It may quote a file: no terminal obeys what it says.
    """

    def __str__(self) -> str:
        text = super().__str__()
        return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


class NotServedAsMade(Exception):
    """The exported weights differ from those that the model computed with: the result is refused.

    The command line prints it and exits with status 1. There is no directory with the name of the output then.
    """
