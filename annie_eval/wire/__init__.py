"""Parses the bytes of an answer into messages: server-sent events, streamed and unstreamed replies."""
