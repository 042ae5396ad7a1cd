"""One chat completion from an OpenAI-compatible endpoint, with a limit on the whole of it, not on each read."""

import asyncio
import os
from typing import Any
from urllib.parse import urlsplit

from annie_eval.errors import UsageError

_MOST_BYTES = 8_000_000  # ten conversations take some 20,000


class EndpointFailure(Exception):
    """The endpoint did not answer this request; asking again may help."""


class ChatEndpoint:
    """Where chat completions come from.

    Args:
        base_url: ends in /v1 for vLLM and OpenAI.
        model: the served name; None asks the endpoint for its first model.
        api_key_env: environment variable that holds the key.

    Raises:
        UsageError: the URL is none, or the variable is not set.
    """

    def __init__(self, base_url: str, model: str | None, api_key_env: str | None, timeout: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"--base-url {base_url!r} is no URL; write one such as http://localhost:8000/v1")
        key = "none"
        if api_key_env is not None:
            if not os.environ.get(api_key_env):
                raise UsageError(f"--api-key-env: the variable {api_key_env} is not set; export it with the key")
            key = os.environ[api_key_env]
        self.base_url, self._model, self._key, self.timeout = base_url, model, key, timeout

    async def client(self) -> Any:
        """An open connection pool, to be closed by the caller."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(base_url=self.base_url, api_key=self._key, max_retries=0, timeout=self.timeout)

    async def model(self, client: Any) -> str:
        """The served name. Raises UsageError where nothing listens at the URL."""
        if self._model is None:
            import openai

            try:
                listed = await asyncio.wait_for(client.models.list(), min(10.0, self.timeout))
                self._model = str(listed.data[0].id)
            except openai.APITimeoutError:
                self._model = "default"
            except openai.APIConnectionError as error:
                raise UsageError(f"--base-url {self.base_url}: cannot be reached ({_why(error)}); start it") from None
            except Exception:  # many small servers list no models, and answer to any name
                self._model = "default"
        return self._model

    async def complete(self, client: Any, body: dict[str, Any], limit: float) -> dict[str, Any]:
        """The first choice of a completion, as the endpoint sent it.

        Raises:
            EndpointFailure: no answer in time, a broken connection, an error of the server, a body that is none.
            UsageError: the endpoint refuses the request for good (401, 403, 404).
        """
        import json

        import openai

        known = {
            name: body.pop(name)
            for name in ("messages", "temperature", "max_tokens", "tools", "seed", "top_p")
            if name in body
        }

        async def answer() -> bytes:
            raw = bytearray()
            name = await self.model(client)
            stream = client.chat.completions.with_streaming_response.create(model=name, **known, extra_body=body)
            async with stream as response:
                async for part in response.iter_bytes():
                    raw += part
                    if len(raw) > _MOST_BYTES:
                        raise EndpointFailure(f"an answer of more than {_MOST_BYTES:,} bytes")
            return bytes(raw)

        try:
            choice = json.loads(await asyncio.wait_for(answer(), limit))["choices"][0]
            if not isinstance(choice.get("message"), dict):
                raise EndpointFailure("an answer without a message")
        except TimeoutError:
            raise EndpointFailure("no answer in time") from None
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise UsageError(
                f"--base-url {self.base_url}: {_why(error)}; check the URL, --model and --api-key-env"
            ) from None
        except openai.APITimeoutError:
            raise EndpointFailure("no answer in time") from None
        except openai.OpenAIError as error:
            raise EndpointFailure(_why(error)) from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise EndpointFailure(f"an answer that is no chat completion ({type(error).__name__})") from None
        except Exception as error:  # of the transport, which is httpx or httpx2 by the version of openai
            if type(error).__module__.partition(".")[0] not in {"httpx", "httpx2"}:
                raise
            late = "Timeout" in type(error).__name__
            raise EndpointFailure("no answer in time" if late else _why(error)) from None
        return dict(choice)

    def complete_once(self, body: dict[str, Any], limit: float) -> dict[str, Any]:
        """`complete` for callers without an event loop."""

        async def once() -> dict[str, Any]:
            client = await self.client()
            try:
                return await self.complete(client, body, limit)
            finally:
                await client.close()

        return asyncio.run(once())


def _why(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:159]}…"
