"""Replicas: assigns samples to several servers, and compares their answers. Pure.

Each sample is assigned to one server, and up to `SHARED` of them are sent to every server. On these the servers are
compared: first by structure (a server that never calls a tool when the others do has lost its parser, which is not
chance), then by the gates on each server's own answers, then in pairs.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Any

from annie_eval.gates.decide import decide, scenario_of
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import Profile
from annie_eval.stats import binomial
from annie_eval.stats.paired import lowest

ALPHA = 0.01
"""Error rate of the paired tests of a run for equal servers; it is small because nightly runs test often."""
SHARED = 100
"""Maximum number of samples sent to every server: all of `annie`."""
_LEAST = 3  # minimum number of samples with a property at the other servers, so that its absence is not chance
_MOST = 4  # maximum number of differences in a headline


@dataclass(frozen=True, slots=True)
class Answered:
    """One server's answer to one sample.

    Attributes:
        server: index of the server.
        dealt: it counts for the run's gates; otherwise it is only for comparing servers.
        judgements: one by each gate of the sample.
        shows: properties of the answer, as verbs: `calls a tool`, `tells its usage`.
        prompt_tokens: prompt tokens of its first request; None if not reported.
    """

    server: int
    sample: str
    dealt: bool
    judgements: tuple[Judgement, ...]
    shows: frozenset[str] = frozenset()
    prompt_tokens: int | None = None

    @property
    def broken(self) -> bool:
        return any(one.error is not None for one in self.judgements)

    @property
    def passed(self) -> bool:
        return all(one.passed for one in self.judgements)


class Shares:
    """Assigns samples to servers in turn, in an order that is shuffled in each run.

    Shuffling avoids that one server gets all streamed or all hard samples. Each run has another order, so that an
    unlucky assignment is not repeated every night. The order comes from a hash, so that a resumed run has the same.
    """

    def __init__(self, keys: Sequence[str], salt: str, servers: int) -> None:
        self._salt, self._servers = salt, servers
        order = sorted(keys, key=self._hash)
        self._places = {key: place % servers for place, key in enumerate(order)}

    def _hash(self, key: str) -> bytes:
        return hashlib.sha256(f"{self._salt}\n{key}".encode("utf-8", "backslashreplace")).digest()

    def __getitem__(self, key: str) -> int:
        """The index of a sample's server; samples that are not in the profile are assigned by their hash."""
        place = self._places.get(key)
        return int.from_bytes(self._hash(key)) % self._servers if place is None else place

    def asked_of_all(self, selected: Mapping[str, Iterable[str]]) -> list[str]:
        """The samples for every server: at most `SHARED`, from each gate in turn, the smallest gate first.

        Args:
            selected: the selected samples by gate; repeats and samples outside of the profile are left out.
        """
        queues = [sorted({key for key in keys if key in self._places}, key=self._hash) for keys in selected.values()]
        dealt = chain.from_iterable(zip_longest(*sorted(queues, key=len)))
        return list(islice(dict.fromkeys(key for key in dealt if key is not None), SHARED))


def shares(profile: Profile, salt: str, servers: int) -> Shares:
    """The assignment of a profile's samples in the run `salt`."""
    return Shares([key for scenario in profile.scenarios for key in scenario.sample_keys()], salt, servers)


def compare_replicas(
    profile: Profile, urls: Sequence[str], answers: Sequence[Answered], missing: int = 0
) -> dict[str, Any]:
    """The comparison of the servers for the report and `verdict.json`.

    FAIL: a server never shows a property that all others show, renders other prompts, fails a gate on its own answers,
    or passes significantly less often than the others on the same samples (`paired.lowest`, Holm over gates and
    servers at `ALPHA`). Otherwise ERROR if an answer broke, and INCONCLUSIVE if answers are missing.

    Args:
        missing: number of samples that were not sent to a server although the comparison needs them.
    """
    shared = _shared(answers, len(urls))
    servers = [{"base_url": url, "n": 0, "passed": 0, "broken": 0, "shared": len(shared)} for url in urls]
    for one in answers:
        server: dict[str, Any] = servers[one.server]
        server["broken"] += one.broken
        server["n"] += one.dealt and not one.broken
        server["passed"] += one.dealt and one.passed
    structure = [finding for place in range(len(urls)) for finding in _lacks(urls, shared, place)]
    gates = [*_own_gates(profile, urls, answers), *_pairs(profile, urls, shared)]
    failed = structure + [f"{gate['name']}: {gate['detail']}" for gate in gates if gate["verdict"] == "FAIL"]
    broke = [f"{each['base_url']} broke {each['broken']} of its samples" for each in servers if each["broken"]]
    verdict = "FAIL" if failed else "ERROR" if broke else "INCONCLUSIVE" if missing else "PASS"
    if failed:
        one_and_all = not structure and all(
            gate["p"] is None and gate["all"] for gate in gates if gate["verdict"] == "FAIL"
        )
        finding = "every replica fails" if one_and_all else "replicas differ"
        headline = f"{finding}: {'; '.join([*dict.fromkeys(failed)][:_MOST] + broke)}"
    elif broke or missing:
        cut = [f"{missing} answers for the comparison are missing"] if missing else []
        headline = f"replicas: {'; '.join([*broke, *cut])}"
    else:
        headline = f"replicas: {len(urls)} servers agree on {len(shared)} samples that each was asked"
    return {
        "verdict": verdict,
        "headline": headline,
        "servers": servers,
        "structure": structure,
        "gates": gates,
    }


# The answers to one sample, by server.
_Row = Mapping[int, Answered]


def _shared(answers: Iterable[Answered], servers: int) -> dict[str, _Row]:
    rows: dict[str, dict[int, Answered]] = defaultdict(dict)
    for one in answers:
        if not one.broken:
            rows[one.sample][one.server] = one
    return {sample: row for sample, row in sorted(rows.items()) if len(row) == servers}


def _lacks(urls: Sequence[str], shared: Mapping[str, _Row], place: int) -> list[str]:
    """Properties that one server never shows but all others do, those that only it shows, and different prompts."""
    found = []
    rows = [(row[place], [one for other, one in row.items() if other != place]) for row in shared.values()]
    for verb in sorted({verb for row in shared.values() for one in row.values() for verb in one.shows}):
        # The largest group is reported: all samples, those of one transport, or those of one gate.
        for group, of_group in _groups(rows).items():
            theirs = [mine for mine, others in of_group if all(verb in one.shows for one in others)]
            if len(theirs) >= _LEAST and not any(verb in mine.shows for mine in theirs):
                found.append(f"{urls[place]} never {verb} in {len(theirs)} {group} where the others do")
                break
        alone = sum(verb in mine.shows for mine, _ in rows)
        if len(urls) > 2 and alone >= _LEAST and not any(verb in one.shows for _, others in rows for one in others):
            found.append(f"{urls[place]} alone {verb}, in {alone} samples")
    other = [
        (mine, others[0])
        for mine, others in rows
        if len({one.prompt_tokens for one in others}) == 1
        and None not in (mine.prompt_tokens, others[0].prompt_tokens)
        and mine.prompt_tokens != others[0].prompt_tokens
    ]
    if other and (len(urls) > 2 or place == 1):
        mine, theirs_ = other[0]
        found.append(
            f"{urls[place]} makes other prompts of {len(other)} requests"
            f" ({mine.sample}: {mine.prompt_tokens} tokens, {theirs_.prompt_tokens} elsewhere)"
        )
    return found


def _groups(rows: Sequence[tuple[Answered, list[Answered]]]) -> dict[str, list[tuple[Answered, list[Answered]]]]:
    groups = {"samples": list(rows)}
    for mine, others in rows:
        way = "streamed samples" if ".stream." in mine.sample else "samples sent unstreamed"
        groups.setdefault(way, []).append((mine, others))
    for mine, others in rows:
        for judgement in mine.judgements:
            groups.setdefault(f"samples of {judgement.gate}", []).append((mine, others))
    return groups


def _own_gates(profile: Profile, urls: Sequence[str], answers: Sequence[Answered]) -> list[dict[str, Any]]:
    """Gates that a server fails on its own answers; `all` if every server fails."""
    found = []
    for gate in profile.gates.values():
        expected = sum(len(scenario.variants) for scenario in profile.gate_scenarios(gate))
        results = []
        for place in range(len(urls)):
            mine = [
                one for each in answers if each.server == place for one in each.judgements if one.gate == gate.name
            ]
            first = {one.sample: one for one in mine if one.error is None}
            keys = [key for scenario in profile.gate_scenarios(gate) for key in scenario.sample_keys()]
            kept = [first[key] for key in keys if key in first]
            results.append(decide(gate, kept, expected, len(kept), profile.prompts))
        failing = [place for place, result in enumerate(results) if result.verdict == "FAIL"]
        if failing:
            counts = ", ".join(f"{url} {one.passed}/{one.n}" for url, one in zip(urls, results, strict=True))
            found += [
                {
                    "name": gate.name,
                    "server": urls[place],
                    "p": None,
                    "adjusted": None,
                    "all": len(failing) == len(urls),
                    "verdict": "FAIL",
                    "detail": f"{counts}: {urls[place]} fails the gate",
                }
                for place in failing
            ]
    return found


def _pairs(profile: Profile, urls: Sequence[str], shared: Mapping[str, _Row]) -> list[dict[str, Any]]:
    """Each server against the others, on the same samples; gate by gate, and over all gates together."""
    tests = []
    for name in (*profile.gates, "all gates"):
        for place, url in enumerate(urls):
            passed: dict[str, list[int]] = {}
            mine = theirs = n = 0
            for sample, row in shared.items():
                outcomes = {server: _outcome(one, name) for server, one in row.items()}
                if any(outcome is None for outcome in outcomes.values()):
                    continue
                others = [bool(outcome) for server, outcome in outcomes.items() if server != place]
                n += 1
                mine += bool(outcomes[place])
                theirs += all(others)
                prompt = profile.prompts.get(scenario_of(sample), scenario_of(sample))
                counts = passed.setdefault(prompt, [0] * len(urls))
                for at, outcome in enumerate((bool(outcomes[place]), *others)):
                    counts[at] += outcome
            if n:
                detail = f"{url} {mine}/{n}, the others {theirs}/{n}"
                tests.append((name, url, lowest(list(passed.values())), detail))
    adjusted = binomial.holm([p for _, _, p, _ in tests])
    return [
        {
            "name": name,
            "server": url,
            "p": p,
            "adjusted": each,
            "all": False,
            "verdict": "FAIL" if each <= ALPHA else "PASS",
            "detail": f"{detail} of the same samples",
        }
        for (name, url, p, detail), each in zip(tests, adjusted, strict=True)
    ]


def _outcome(answer: Answered, gate: str) -> bool | None:
    if gate == "all gates":
        return answer.passed
    return next((one.passed for one in answer.judgements if one.gate == gate), None)
