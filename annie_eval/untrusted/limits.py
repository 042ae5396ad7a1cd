"""Size limits of untrusted input. Larger input is refused without reading it completely."""

MAX_BODY = 16 * 1024 * 1024  # bytes of one HTTP response; a spoken answer has a few thousand
MAX_PIECES = 200_000  # chunks of one HTTP response; a streamed one has one or two per token
MAX_TEXT = 512 * 1024  # characters of one answer including calls; about 128,000 tokens
MAX_CALLS = 10_000  # tool calls in one answer
MAX_COUNT = 2**53  # tokens and places that a server counts; JSON of other languages holds no larger whole number
MAX_JSON = 32 * 1024 * 1024  # bytes of a JSON file or a safetensors header; an index of 150,000 tensors has half
MAX_DEPTH = 100  # objects and lists within each other in a JSON file: what walks them later does so by recursion
MAX_LINE = 4 * 1024 * 1024  # bytes of one line of JSON Lines


def too_large() -> str:
    """The message for an HTTP response that exceeds `MAX_BODY` or `MAX_PIECES`."""
    return f"the answer is larger than {MAX_BODY} bytes, or comes in more than {MAX_PIECES} pieces"
