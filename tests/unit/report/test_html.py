"""The HTML report is self-contained, runs one script, loads nothing, and shows untrusted text as text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import RunVerdict, decide, scenario_of
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import Gate
from annie_eval.report import markup, samples
from annie_eval.report import page as html
from annie_eval.report.samples import Source
from annie_eval.run import verdict_json
from annie_eval.run.store import Store, StoredExchange, StoredSample
from tests.support.finished_run import SNAPSHOT, make_run

_TAGS = """
html meta title style body script template header main section div article form h1 h2 h3 h4 p b span mark code pre
table caption thead tbody tr th td dl dt dd ul li svg rect line circle
"""
KNOWN = frozenset(_TAGS.split())
VOID = {"meta", "rect", "line", "circle"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on a tag that is closed in the wrong order."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.stored: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        match self._open[-1:]:
            case ["script"]:
                self.scripts.append(data)
            case ["template"]:
                self.stored.append(data)
            case ["style"]:
                pass
            case _:
                self.text += data

    def packed(self) -> list[Any]:
        """What the script reads: the index, then the packs of requests and responses."""
        return [json.loads(zlib.decompress(base64.b64decode(each))) for each in self.stored]

    @property
    def samples(self) -> dict[str, dict[str, Any]]:
        return {sample["key"]: sample for group in self.packed()[0]["groups"] for sample in group["samples"]}

    def assert_inert(self) -> None:
        assert {tag for tag, _ in self.tags} <= KNOWN
        attributes = {name for _, found in self.tags for name in found}
        assert not {name for name in attributes if name.startswith("on")}
        assert not attributes & {"src", "href", "srcset", "action", "style", "xlink:href"}
        (policy,) = [
            found["content"] or "" for _, found in self.tags if found.get("http-equiv") == "Content-Security-Policy"
        ]
        (script,) = self.scripts
        assert script == Path(html.__file__).with_name("report.js").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert policy.split("; ")[:2] == ["default-src 'none'", "style-src 'unsafe-inline'"]
        assert [part for part in policy.split("; ") if part.startswith("script-src")] == [
            f"script-src 'sha256-{digest}'"
        ]
        assert "require-trusted-types-for 'script'" in policy


@pytest.fixture
def page(failed: RunVerdict, run_dir: Path, tmp_path: Path) -> Page:
    html.write(tmp_path / "out.html", failed, run_dir)
    return Page((tmp_path / "out.html").read_text(encoding="utf-8"))


def test_page_stands_alone_and_runs_one_script_of_ours(page: Page) -> None:
    page.assert_inert()
    style = Path(html.__file__).with_name("report.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    script = Path(html.__file__).with_name("report.js").read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval", "Function(", "import("):
        assert way not in script


def test_page_shows_verdict_gates_timing_errors_and_fingerprint(page: Page) -> None:
    for part in (
        "1 of 7 gates failed: no_markdown 7/15, needs 12",
        "NVFP4 PTQ",
        "21-73%",
        ">11.3%",
        "91.23 ms",
        "HTTP 500: <html>oops</html>",
        "sha256:ab12",
        "temperature: 0.0",
        "resent",
    ):
        assert part in page.text, part
    bars = [found for tag, found in page.tags if tag == "svg"]
    assert [bar["aria-label"] for bar in bars][:3] == ["25 of 25, 86-100%", "8 of 10, 44-97%", "7 of 15, 21-73%"]
    assert len(bars) == 5 + 1


def test_interval_is_drawn_to_scale(page: Page) -> None:
    third = [i for i, (tag, _) in enumerate(page.tags) if tag == "svg"][2]
    shapes = dict(page.tags[third + 1 : third + 6])
    band = next(found for tag, found in page.tags[third:] if tag == "rect" and found["class"] == "band")
    scale = markup._BAR - 8
    assert float(band["x"] or 0) == pytest.approx(4 + scale * 0.2127, abs=0.2)
    assert float(band["width"] or 0) == pytest.approx(scale * (0.7341 - 0.2127), abs=0.2)
    assert float(shapes["line"]["x1"] or 0) == pytest.approx(4 + scale * 12 / 15, abs=0.2)
    assert float(shapes["circle"]["cx"] or 0) == pytest.approx(4 + scale * 7 / 15, abs=0.2)


def test_a_miss_is_readable_without_the_script_with_the_offence_marked(page: Page) -> None:
    for part in ("What is on my list?", 'calls search_memory({"query":"x"})', "finish_reason", "a bullet list"):
        assert part in page.text
    assert any(tag == "mark" for tag, _ in page.tags)


def test_request_and_response_are_kept_exactly(page: Page, run_dir: Path) -> None:
    store = Store(run_dir)
    key = store.wanted()[0][1]
    sent = store.sample(key).exchanges[0]
    store.close()
    _, pack = page.packed()
    assert json.loads(pack["request"][0]) == sent.request
    assert "45.2 ms | data: {" in pack["body"][0]
    assert pack["head"][0].splitlines()[0] == "HTTP 200"
    assert r"x-evil: \x1b[31m" in pack["head"][0]
    assert (pack["size"], pack["cut"]) == ([len(sent.body)], [0])
    assert page.samples[key]["place"] == [0, 0]
    assert "exchange 1: HTTP 500, HTTP 500" in pack["broken"][1][0]["cause"]


def test_the_request_as_curl_is_the_request(page: Page) -> None:
    index, pack = page.packed()
    words = shlex.split(f"{index['curl']}'{pack['request'][0]}'")
    assert words[:3] == ["curl", "-sS", "http://127.0.0.1:8000/v1/chat/completions"]
    assert json.loads(words[-1]) == json.loads(pack["request"][0])


@pytest.mark.parametrize(
    "text", ["it's", "'; rm -rf ~ #", "a\\'b\n", "\x7f\x9b\u202e\U000e0001", "\ud800", '"\\u0027']
)
def test_exact_json_stands_in_quotes_of_a_shell(text: str) -> None:
    shown = samples._json({text: [text, 1.0]})
    assert shown.isprintable()
    assert shlex.split(f"'{shown}'") == [shown]
    assert json.loads(shown) == {text: [text, 1.0]}


def test_every_sample_is_there_with_what_was_expected(tmp_path: Path) -> None:
    expect = {"calls": [{"name": "look_up", "arguments": {"what": "x"}}], "answer": {"any_of": ["fine"], "number": 4}}
    turn = {"user": "Hello?", "expect": expect}
    run = make_run(
        tmp_path, "r", {"s-2": True, "s-10": False}, snapshot={**SNAPSHOT, "scenarios": {"s-2": {"turns": [turn]}}}
    )
    html.write(tmp_path / "out.html", verdict_json.load(run / "verdict.json"), run)
    page = Page((tmp_path / "out.html").read_text(encoding="utf-8"))
    groups = page.packed()[0]["groups"]
    assert [group["id"] for group in groups] == ["s-2", "s-10"]
    assert groups[0]["expected"] == ["calls look_up(what: x)", "says one of: fine", "says the number 4"]
    assert [sample["outcome"] for sample in page.samples.values()] == ["pass", "miss"]
    assert page.samples["s-10.unstreamed.off"]["replies"][0]["told"][0] == ["content", ["", "**Fine.**", ""]]
    assert page.samples["s-2.unstreamed.off"]["tools"] == ["look_up"]


pieces = [*"<>&\"'=/ \n\x00\x1b\x9b\u202e", "\ud800", "<script>", "<img src=x onerror=y>", "--></style>", "]]>"]
hostile = st.lists(st.sampled_from(pieces), max_size=12).map("".join)


@settings(deadline=None)
@given(hostile)
def test_foreign_text_is_never_markup(text: str) -> None:
    gate = Gate("g" + text, ("d",), ("c",), baseline={text: text})
    finding = Finding("d", text, text, "content", 0, (0, 4))
    made = [Judgement(gate.name, "s" + text, (finding,)), Judgement(gate.name, "b" + text, error=text)]
    request = {"messages": [{"role": text, "content": text, "tool_call_id": text}], text: text, "tools": [{}]}
    exchange = StoredExchange(0, 0, request, 200, ((text, text),), text.encode("utf-8", "surrogatepass"), ((5, 2),))
    kept = {each.sample: StoredSample(each.sample, None, 0.0, (exchange,)) for each in made}
    wanted = {"category": text, "turns": [{"expect": {"calls": [{"name": text}], "answer": {"any_of": [text]}}}]}
    source = Source(list(kept), kept.get, made, {scenario_of(key): wanted for key in kept}, before=kept.get)
    verdict = RunVerdict(
        "FAIL",
        gates=(decide(gate, made, 2),),
        errors=({"sample": text, "cause": text},),
        timings=(
            {"name": text, "verdict": "FAIL", "median": 1.0, "interval": (1.0, 2.0), "unit": text, "detail": text},
        ),
        fingerprint={text: {text: [text]}},
        profile={"name": text},
        target={"base_url": text, "served_model": text},
        run_dir=text,
    )
    written = html.page(verdict, source)
    written.encode("utf-8")
    assert all(line.isprintable() for line in written.split("\n"))
    page = Page(written)
    page.assert_inert()
    for value in page.packed():
        for text in strings(value):
            assert all(line.isprintable() for line in text.split("\n"))


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(each)


@settings(deadline=None)
@given(st.text("ab<&", max_size=12), st.lists(st.tuples(st.integers(-2, 14), st.integers(-2, 14)), max_size=4))
def test_marks_cover_exactly_the_spans(text: str, spans: list[tuple[int, int]]) -> None:
    covered = {i for a, b in spans for i in range(max(0, a), min(len(text), b))}
    shown = markup.marked(markup.segments(text, spans))
    assert Page(f"<p>{shown}</p>").text == text
    inside, position, found = False, 0, set()
    for token in re.findall(r"</?mark>|&\w+;|.", shown):
        if token in ("<mark>", "</mark>"):
            inside = token == "<mark>"
        else:
            found |= {position} if inside else set()
            position += 1
    assert found == covered


def test_a_long_body_is_cut_and_says_so(tmp_path: Path) -> None:
    exchange = StoredExchange(0, 0, {"messages": []}, 200, (), b"x" * 150_000, ((1, 30_000), (2, 120_000)))
    stored = StoredSample("s.stream.off", None, 0.0, (exchange,))
    gathered = samples.gather(Source([stored.key], {stored.key: stored}.get, ()), scenario_of)
    pack = json.loads(zlib.decompress(base64.b64decode(gathered.packs[0])))
    assert (pack["size"], pack["cut"]) == ([150_000], [150_000 - samples._MOST_BODY])
    assert len(pack["body"][0]) < samples._MOST_BODY + 100


def test_a_page_that_would_be_too_large_leaves_out_responses_of_samples_that_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST", 100)
    monkeypatch.setattr(samples, "_PACK", 1)
    run = make_run(tmp_path, "r", {"a": True, "b": False, "c": True})
    store = Store(run)
    source = Source([key for _, key, _ in store.wanted()], store.sample, store.judgements())
    gathered = samples.gather(source, scenario_of)
    store.close()
    assert gathered.left_out == 2
    assert len(gathered.records) == 3


@pytest.mark.parametrize(
    "verdict", [RunVerdict("ERROR"), RunVerdict("INCONCLUSIVE", timings=({"name": "t", "verdict": "PASS"},))]
)
def test_a_run_without_gates_is_a_page_too(verdict: RunVerdict) -> None:
    Page(html.page(verdict, Source((), {}.get, ()))).assert_inert()
