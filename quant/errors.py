"""The exceptions of quant, one for each party that has to act."""


class UsageError(Exception):
    """The caller can correct this: one line that names the file, the field and what to do.

    The command line prints it and leaves with status 2, before anything slow has started where that can be known.
    """


class NotServedAsMade(Exception):
    """The exported weights are not, bit for bit, the ones that the model computed with: the result is refused.

    The command line prints it and leaves with status 1; nothing is left under the name of the output.
    """
