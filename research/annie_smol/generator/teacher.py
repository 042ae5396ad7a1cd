"""The built-in generator as a teacher of annie_data."""

from random import Random

from annie_data.mix import Mix
from annie_data.teachers.protocol import Draft, Order, TeacherAnswer
from annie_eval.errors import UsageError
from research.annie_smol.generator import compose


class Builtin:
    """Writes batches from a grammar: the same batch for the same seed and number."""

    batch = 100

    def __init__(self, mix: Mix, seed: int) -> None:
        if mix.profile != "annie-smol":
            raise UsageError(
                f"mix {mix.name}: the built-in teacher knows the domain of annie-smol, not of {mix.profile}; "
                "use --teacher endpoint or command"
            )
        if strange := [kind.name for kind in mix.kinds if kind.name not in compose.NAMES]:
            known = ", ".join(compose.NAMES)
            raise UsageError(
                f"mix {mix.name}: kinds.{strange[0]} is unknown to the built-in teacher; it knows {known}"
            )
        self.name = "builtin"
        self._seed, self._thinking = seed, mix.thinking

    def write(self, order: Order) -> TeacherAnswer:
        """Write `order.count` conversations, each with its own seed."""
        wanted = {None: "any", True: "calls", False: "none"}[order.calls]
        drafts = []
        for index in range(order.count):
            rng = Random(f"{self._seed}/{order.kind.name}/{wanted}/{order.number}/{index}")
            place = order.number * self.batch + index
            messages, what = compose.conversation(
                order.kind.name, rng, tools=order.calls, think=self._thinking, number=place
            )
            drafts.append(Draft(messages, what))
        return TeacherAnswer(drafts)
