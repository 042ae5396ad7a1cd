"""How large what comes from outside may be. What is larger is refused by name, and never read to its end."""

MAX_BODY = 16 * 1024 * 1024  # bytes of one HTTP answer; speech has a few thousand
MAX_PIECES = 200_000  # chunks of one HTTP answer; a streamed one has one or two a token


def too_large() -> str:
    """Why an HTTP answer is given up that exceeds `MAX_BODY` or `MAX_PIECES`."""
    return f"the answer is larger than {MAX_BODY} bytes, or comes in more than {MAX_PIECES} pieces"
