"""Requests one chat completion from an OpenAI-compatible endpoint, with a time limit for the complete response."""

import asyncio
import json
import os
from typing import Any
from urllib.parse import urlsplit

from annie_eval.errors import UsageError
from annie_eval.http_client import Client, TransportError


class EndpointFailure(Exception):
    """The endpoint did not answer this request; a retry may succeed."""


class ChatEndpoint:
    """A server for chat completions.

    Args:
        base_url: ends in /v1 for vLLM and OpenAI.
        model: the served name; None asks the endpoint for its first model.
        api_key_env: environment variable that holds the key.
        timeout: seconds for one request.

    Raises:
        UsageError: `base_url` is not a URL, or the variable is not set.
    """

    def __init__(self, base_url: str, model: str | None, api_key_env: str | None, timeout: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"--base-url {base_url!r} is no URL; write one such as http://localhost:8000/v1")
        if api_key_env is not None and not os.environ.get(api_key_env):
            raise UsageError(f"--api-key-env: the variable {api_key_env} is not set; export it with the key")
        self._key = None if api_key_env is None else os.environ[api_key_env]
        self.base_url, self._model, self.timeout = base_url, model, timeout

    def client(self) -> Client:
        """An OpenAI client for the endpoint. Time limits are set for each request."""
        return Client(self.base_url, api_key=self._key, timeout=10 * self.timeout)

    async def model(self, client: Client) -> str:
        """The served model name. Raises UsageError if nothing listens at the URL."""
        if self._model is None:
            self._model = "default"  # many small servers list no models and accept any name
            try:
                async with asyncio.timeout(min(10.0, self.timeout)):
                    listed = await client.request("GET", "/models")
                self._model = str(json.loads(listed.body)["data"][0]["id"])
            except TransportError as error:
                if error.resend and error.status is None:
                    raise UsageError(f"--base-url {self.base_url}: cannot be reached ({error}); start it") from None
            except (TimeoutError, ValueError, LookupError, TypeError, RecursionError):
                pass
        return self._model

    async def complete(self, client: Client, body: dict[str, Any], limit: float) -> dict[str, Any]:
        """The first choice of a completion, as the endpoint sent it, within `limit` seconds.

        Raises:
            EndpointFailure: no answer in time, a broken connection, an error of the server, or an invalid completion.
            UsageError: the endpoint refuses the request permanently (401, 403, 404).
        """
        try:
            async with asyncio.timeout(limit):
                response = await client.post("/chat/completions", {"model": await self.model(client), **body})
            choice = json.loads(response.body)["choices"][0]
            if not isinstance(choice["message"], dict):
                raise EndpointFailure("an answer without a message")
            return dict(choice)
        except TimeoutError:
            raise EndpointFailure("no answer in time") from None
        except TransportError as error:
            cause = " ".join(str(error).split())[:160]
            if error.status in {401, 403, 404}:
                raise UsageError(
                    f"--base-url {self.base_url}: {cause}; check the URL, --model and --api-key-env"
                ) from None
            raise EndpointFailure(cause) from None
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise EndpointFailure(f"an answer that is no chat completion ({type(error).__name__})") from None

    def complete_once(self, body: dict[str, Any], limit: float) -> dict[str, Any]:
        """`complete` for callers without an event loop."""

        async def once() -> dict[str, Any]:
            return await self.complete(self.client(), body, limit)

        return asyncio.run(once())
