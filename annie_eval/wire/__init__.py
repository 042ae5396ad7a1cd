"""From the bytes of an answer to messages: server-sent events, streamed and unstreamed replies."""
