"""The order of the search, what it leaves out, and its sentences. The bench is a table of pass rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from annie_eval.blame.evidence import Outcomes, compare
from annie_eval.blame.factors import Factor, Kind
from annie_eval.blame.search import Finding, Opinion, Question, search
from annie_eval.errors import TargetError

PROMPTS = [[f"p{number}"] for number in range(20)]


def factor(name: str, kind: Kind = "server", topic: str | None = None) -> Factor:
    return Factor(name, f"the {name}", f"another {name}", topic or name, kind)


ALL = (
    factor("template", "template"),
    factor("weights", "weights"),
    factor("cache"),
    factor("kernel"),
    factor("batch"),
)


@dataclass
class Bench:
    """Passes every prompt where one of the sets of changes is made in full, and the first few in any case."""

    causes: Sequence[set[str]] = ()
    passes: int = 2
    opinion: Opinion | None = None
    parsers: Outcomes | str = "not known"
    dead: frozenset[str] = frozenset()
    again: int | None = None
    asked: list[str] = field(default_factory=list)
    samples: dict[str, set[str]] = field(default_factory=dict)

    def ask(
        self,
        name: str,
        factors: Sequence[Factor],
        chunks: Sequence[Sequence[str]],
        enough: Callable[[Outcomes], bool],
    ) -> Outcomes:
        self.asked.append(name)
        if name in self.dead:
            raise TargetError("it died")
        made = {one.name for one in factors}
        passes = 20 if any(each <= made for each in self.causes) else self.passes
        if name == "again" and self.again is not None:
            passes = self.again
        outcomes: dict[str, bool | None] = {}
        for chunk in chunks:
            outcomes |= {key: int(key[1:]) < passes for key in chunk}
            if enough(outcomes):
                break
        self.samples[name] = set(outcomes)
        return outcomes

    def reparsed(self) -> Outcomes | str:
        return self.parsers

    def referee(self) -> Opinion | None:
        return self.opinion


def found(bench: Bench, factors: Sequence[Factor] = ALL) -> Finding:
    served = {key: int(key[1:]) < bench.passes for keys in PROMPTS for key in keys}
    return search(Question("tools", 0.6, PROMPTS, served, factors), bench)


def test_the_search_ends_at_the_first_change_that_makes_the_gate_pass() -> None:
    bench = Bench([{"cache"}])
    finding = found(bench)
    assert (finding.status, finding.causes) == (0, ("cache",))
    assert bench.asked == ["again", "template", "weights", "cache"]
    assert finding.sentence.startswith("The cache did it: with another cache, 20 of 20 samples pass tools; 18 of 20")
    assert finding.sentence.endswith("The weights are not the cause: those of the reference miss, too.")


def test_weights_are_named_only_after_what_computes_with_them_has_been_tried() -> None:
    bench = Bench([{"weights"}])
    finding = found(bench)
    assert finding.causes == ("weights",)
    assert bench.asked == ["again", "template", "weights", "kernel"]
    assert "No other change makes the gate pass: template, kernel." in finding.sentence


def test_a_kernel_that_is_wrong_for_the_quantised_weights_is_not_blamed_on_them() -> None:
    assert found(Bench([{"weights"}, {"kernel"}])).causes == ("kernel",)


def test_a_referee_that_clears_the_server_leaves_out_its_settings() -> None:
    bench = Bench([{"weights"}], opinion=Opinion("server", "it emits what its weights say"))
    finding = found(bench)
    assert finding.causes == ("weights",)
    assert bench.asked == ["again", "template", "weights"]
    assert "it emits what its weights say." in finding.sentence


def test_a_referee_that_finds_unlikely_tokens_clears_the_weights() -> None:
    unlikely = Opinion("weights", "it emits what its weights do not say")
    bench = Bench([{"batch"}], opinion=unlikely)
    assert found(bench).causes == ("batch",)
    assert "weights" not in bench.asked
    nothing = found(Bench(opinion=unlikely))
    assert (nothing.status, nothing.causes) == (0, ("server",))
    assert "none of the settings that were tried" in nothing.sentence


def test_parsers_are_named_without_a_further_server() -> None:
    bench = Bench(parsers={key: True for keys in PROMPTS for key in keys})
    finding = found(bench)
    assert (finding.status, finding.causes, bench.asked) == (0, ("parser",), ["again"])
    assert "18 of them missed as the server read them" in finding.sentence


def test_parsers_that_explain_a_part_do_not_end_the_search() -> None:
    ours = {key: int(key[1:]) < 4 for keys in PROMPTS for key in keys}
    finding = found(Bench([{"cache"}], parsers=ours))
    assert finding.causes == ("cache",)
    assert next(row.result for row in finding.rows if row.name == "parser") == "helps"


def test_several_changes_together_are_told_without_those_that_are_not_needed() -> None:
    finding = found(Bench([{"cache", "kernel"}]))
    assert (finding.status, finding.causes) == (0, ("cache", "kernel"))
    assert finding.sentence.startswith("The cache and the kernel together did it")


def test_what_did_not_start_is_no_part_of_the_changes_together() -> None:
    bench = Bench([{"cache", "kernel"}], dead=frozenset({"batch"}))
    assert found(bench).causes == ("cache", "kernel")
    assert not any("batch" in name for name in bench.asked if "+" in name)


def test_two_changes_of_one_topic_are_not_made_together() -> None:
    factors = (factor("a"), factor("b1", topic="b"), factor("b2", topic="b"))
    bench = Bench()
    found(bench, factors)
    assert [name for name in bench.asked if "+" in name] == ["a+b1"]


def test_a_gate_that_holds_when_asked_again_is_searched_no_further() -> None:
    bench = Bench([{"cache"}], again=20)
    finding = found(bench)
    assert (finding.status, finding.causes, bench.asked) == (1, (), ["again"])
    assert "passes on the same server after a restart" in finding.sentence


def test_nothing_is_named_where_nothing_helps() -> None:
    finding = found(Bench())
    assert (finding.status, finding.causes) == (1, ())
    assert finding.sentence == (
        "Nothing that was tried did it: of the 18 prompts that missed, each change made none better, and so did the"
        " reference's weights. Look at the prompts, the profile and the base model."
    )
    without = found(Bench(), [one for one in ALL if one.kind != "weights"])
    assert without.sentence.endswith("each change made none better. The weights were not tried.")


def test_every_prompt_that_missed_is_asked_of_each_change_and_the_others_only_if_one_got_better() -> None:
    """Two of three prompts that miss are at the end of the profile; the weights do not miss them."""
    missed = {"p3", "p98", "p99"}
    prompts = [[f"p{number}"] for number in range(100)]

    class Answers(Bench):
        def ask(
            self,
            name: str,
            factors: Sequence[Factor],
            chunks: Sequence[Sequence[str]],
            enough: Callable[[Outcomes], bool],
        ) -> Outcomes:
            better = {"p98"} if any(one.name == "weights" for one in factors) else set()
            outcomes: dict[str, bool | None] = {}
            for chunk in chunks:
                outcomes |= {key: key not in missed - better for key in chunk}
                if enough(outcomes):
                    break
            self.samples[name] = set(outcomes)
            return outcomes

    bench = Answers()
    served = {key: key not in missed for keys in prompts for key in keys}
    finding = search(Question("every", 1.0, prompts, served, ALL), bench)
    assert bench.samples["cache"] == bench.samples["batch"] == missed
    assert len(bench.samples["weights"]) == len(bench.samples["again"]) == 100
    assert "closest came weights" in finding.sentence
    assert "base model" not in finding.sentence


@pytest.mark.parametrize(
    ("prompts", "misses", "said"),
    [
        (83, 2, "tools misses 2 of 83 prompts, and a search for the cause needs at least 8 that miss"),
        (83, 8, ""),
        (10, 7, ""),
        (10, 6, "tools misses 6 of 10 prompts, and a search for the cause needs at least 7 that miss"),
        (3, 3, "tools misses 3 of 3 prompts, and a search for the cause needs a gate with more prompts"),
    ],
)
def test_too_few_misses_for_any_change_to_be_named_are_known_before_the_search(
    prompts: int, misses: int, said: str
) -> None:
    keys = [f"p{number}" for number in range(prompts)]
    served = {key: number >= misses for number, key in enumerate(keys)}
    question = Question("tools", 1.0, [[key] for key in keys], served, ALL)
    assert question.too_few() == said
    if said:
        return
    mended = compare(served, dict.fromkeys(keys, True), {key: key for key in keys}, 1.0, question.level)
    assert mended.named


def test_a_change_that_is_enough_alone_without_evidence_is_not_named_with_others() -> None:
    bench = Bench([{"cache"}], passes=17)
    served = {key: int(key[1:]) < 17 for keys in PROMPTS for key in keys}
    finding = search(Question("tools", 0.9, PROMPTS[::-1], served, ALL), bench)
    assert (finding.causes, next(row.result for row in finding.rows if row.name == "cache")) == ((), "too few")
    assert not any("+" in name for name in bench.asked)


def test_too_few_prompts_are_told_as_such() -> None:
    finding = found(Bench(passes=9, causes=[{"cache"}]))
    row = next(row for row in finding.rows if row.name == "cache")
    assert (finding.causes, row.result) in ((("cache",), "named"), ((), "too few"))
    few = search(
        Question("tools", 0.9, PROMPTS[:5], {f"p{n}": n < 2 for n in range(5)}, ALL), Bench([{"cache"}], passes=2)
    )
    assert few.causes == ()
    assert "closest came cache" in few.sentence
    assert "prompts would have to get better" in next(row.note for row in few.rows if row.name == "cache")


def test_a_server_that_does_not_start_again_is_not_measured() -> None:
    finding = found(Bench(dead=frozenset({"again"})))
    assert (finding.status, finding.sentence) == (3, "Nothing could be measured: it died")
    dead = frozenset({"template", "weights", "cache", "kernel", "batch"})
    assert found(Bench(dead=dead)).status == 3
