"""The page stands alone, runs nothing, loads nothing, and shows foreign text as text."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import RunVerdict, decide
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import Gate
from annie_eval.report import page as html
from annie_eval.report.exchange_html import marked
from annie_eval.run.store import StoredExchange, StoredSample

KNOWN = {"html", "meta", "title", "style", "body", "header", "div", "h1", "h2", "h4", "p", "b", "br", "span", "mark"}
KNOWN |= {
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "svg",
    "rect",
    "line",
    "circle",
    "dl",
    "dt",
    "dd",
    "code",
    "pre",
}
KNOWN |= {"details", "summary"}
VOID = {"meta", "br", "rect", "line", "circle"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on a tag that is closed in the wrong order."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
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
        if self._open[-1:] != ["style"]:
            self.text += data

    def assert_inert(self) -> None:
        assert {tag for tag, _ in self.tags} <= KNOWN
        attributes = {name for _, found in self.tags for name in found}
        assert not {name for name in attributes if name.startswith("on")}
        assert not attributes & {"src", "href", "srcset", "action", "style", "xlink:href"}
        (policy,) = [
            found["content"] for _, found in self.tags if found.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.fixture
def page(failed: RunVerdict, run_dir: Path, tmp_path: Path) -> Page:
    html.write(tmp_path / "out.html", failed, run_dir)
    return Page((tmp_path / "out.html").read_text(encoding="utf-8"))


def test_page_stands_alone_and_runs_nothing(page: Page) -> None:
    page.assert_inert()
    style = Path(html.__file__).with_name("report.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style


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
    scale = html._BAR - 8
    assert float(band["x"] or 0) == pytest.approx(4 + scale * 0.2127, abs=0.2)
    assert float(band["width"] or 0) == pytest.approx(scale * (0.7341 - 0.2127), abs=0.2)
    assert float(shapes["line"]["x1"] or 0) == pytest.approx(4 + scale * 12 / 15, abs=0.2)
    assert float(shapes["circle"]["cx"] or 0) == pytest.approx(4 + scale * 7 / 15, abs=0.2)


def test_miss_opens_to_its_exchange_with_the_offence_marked(page: Page) -> None:
    for part in ("What is on my list?", 'calls search_memory({"query":"x"})', "finish_reason", "45.2 ms | data: {"):
        assert part in page.text
    assert any(tag == "mark" for tag, _ in page.tags)


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
    samples = {each.sample: StoredSample(each.sample, None, 0.0, (exchange,)) for each in made}
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
    source = html.page(verdict, samples)
    source.encode("utf-8")
    assert all(line.isprintable() for line in source.split("\n"))
    Page(source).assert_inert()


@settings(deadline=None)
@given(st.text("ab<&", max_size=12), st.lists(st.tuples(st.integers(-2, 14), st.integers(-2, 14)), max_size=4))
def test_marks_cover_exactly_the_spans(text: str, spans: list[tuple[int, int]]) -> None:
    covered = {i for a, b in spans for i in range(max(0, a), min(len(text), b))}
    shown = marked(text, spans)
    assert Page(f"<p>{shown}</p>").text == text
    inside, position, found = False, 0, set()
    for token in re.findall(r"</?mark>|&\w+;|.", shown):
        if token in ("<mark>", "</mark>"):
            inside = token == "<mark>"
        else:
            found |= {position} if inside else set()
            position += 1
    assert found == covered


def test_a_long_body_is_cut_and_says_so(failed: RunVerdict) -> None:
    exchange = StoredExchange(0, 0, {"messages": []}, 200, (), b"x" * 50_000, ((1, 30_000), (2, 20_000)))
    gate = next(gate for gate in failed.gates if gate.name == "no_markdown")
    key = gate.misses[0].sample
    source = html.page(dataclasses.replace(failed, gates=(gate,)), {key: StoredSample(key, None, 0.0, (exchange,))})
    assert "50000 bytes, the first 16000 shown" in source
    assert len(source) < 60_000


@pytest.mark.parametrize(
    "verdict", [RunVerdict("ERROR"), RunVerdict("INCONCLUSIVE", timings=({"name": "t", "verdict": "PASS"},))]
)
def test_a_run_without_gates_is_a_page_too(verdict: RunVerdict) -> None:
    Page(html.page(verdict, {})).assert_inert()
