"""Size limits of what comes from outside. What is larger is refused by name, and not read to its end."""

MAX_BODY = 16 * 1024 * 1024  # bytes of one HTTP answer; speech has a few thousand
MAX_PIECES = 200_000  # chunks of one HTTP answer; a streamed one has one or two a token
MAX_TEXT = 512 * 1024  # characters of one answer that are judged, calls included; 128,000 tokens have as many
MAX_CALLS = 10_000  # calls in one answer
MAX_JSON = 32 * 1024 * 1024  # bytes of a JSON file or a safetensors header; an index of 150,000 tensors has half


def too_large() -> str:
    """Why an HTTP answer is given up that exceeds `MAX_BODY` or `MAX_PIECES`."""
    return f"the answer is larger than {MAX_BODY} bytes, or comes in more than {MAX_PIECES} pieces"
