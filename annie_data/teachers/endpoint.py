"""An OpenAI-compatible endpoint as a teacher."""

import time

from annie_data.endpoint import ChatEndpoint, EndpointFailure
from annie_data.teachers.prompt import prompt, read
from annie_data.teachers.protocol import Drop, Order, TeacherAnswer, excerpt
from annie_eval.profile.types import Profile

_LONGER = 2.5
_TOKENS = 1000  # a conversation of several turns with a call takes about 500


class EndpointTeacher:
    """Requests one batch per request from a language model."""

    batch = 10

    def __init__(self, endpoint: ChatEndpoint, profile: Profile, seed: int, temperature: float = 1.0) -> None:
        self.name = f"endpoint:{endpoint.base_url}"
        self._failures = 0
        self._endpoint, self._profile, self._seed, self._temperature = endpoint, profile, seed, temperature

    def write(self, order: Order) -> TeacherAnswer:
        """Send one request."""
        limit = self._endpoint.timeout * (_LONGER if order.kind.turns[1] > 1 else 1)
        body = {
            "messages": [{"role": "user", "content": prompt(order, self._profile)}],
            "temperature": self._temperature,
            "max_tokens": _TOKENS * order.count,
            "seed": self._seed + order.number,
        }
        try:
            choice = self._endpoint.complete_once(body, limit)
        except EndpointFailure as error:
            time.sleep(min(5.0, 0.1 * 2**self._failures))  # wait, because the server may be overloaded
            self._failures += 1
            cause = str(error) if str(error) == "no answer in time" else "the endpoint failed"
            return TeacherAnswer([], [Drop(cause, excerpt(str(error)))])
        self._failures = 0
        content = choice["message"].get("content")
        return read(content if isinstance(content, str) else "", order)
