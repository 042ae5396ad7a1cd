"""The HTML report in a browser: keyboard, links, printing, and accessibility (axe-core)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from annie_eval.cli.main import main
from annie_eval.gates.decide import RunVerdict
from annie_eval.gates.judgement import Judgement
from annie_eval.report import page
from annie_eval.run import verdict_json
from annie_eval.run.store import StoredExchange, StoredSample
from benchmarks.chromium import Chromium, found
from tests.support.finished_run import body, make_run

pytestmark = pytest.mark.skipif(found() is None, reason="no browser is installed")
AXE = Path(__file__).parents[2] / "support" / "axe-core-4.14.1.min.js.gz"
HOSTILE = "</script><img src=x onerror='document.title=1'><b id=planted>**Fine.**</b>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as made:
        made.look(1280)
        yield made


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A run's page, and the same compared with an earlier run: s-1 got worse, s-2 better, s-3 has other words."""
    folder = tmp_path_factory.mktemp("reports")
    now = {"s-1": False, "s-2": True, "s-3": True, "s-4": True}
    bodies = {"s-1": body(HOSTILE), "s-3": body("Fine, dear."), "s-4": body("Fine.", calls=[("look_up", "{}")])}
    run = make_run(folder, "now", now, bodies=bodies)
    then = make_run(
        folder, "then", {**now, "s-1": True, "s-2": False}, bodies={"s-3": body("Fine, sir."), "s-4": bodies["s-4"]}
    )
    page.write(folder / "run.html", verdict_json.load(run / "verdict.json"), run)
    main(["compare", str(run), str(then), "--html", str(folder / "compare.html"), "--json"])
    return {"run": folder / "run.html", "compare": folder / "compare.html"}


def seen(browser: Chromium) -> list[str]:
    """The scenarios in the list."""
    found: list[str] = browser.evaluate(
        "[...document.querySelectorAll('.group > summary > b')].map((b) => b.textContent)"
    )
    return found


def test_text_of_a_model_is_text(browser: Chromium, reports: Mapping[str, Path]) -> None:
    browser.open(reports["run"])
    browser.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    shown = browser.evaluate("document.querySelector('.group .sample dd').textContent")
    assert shown == HOSTILE
    assert browser.evaluate("document.querySelectorAll('img, #planted').length") == 0
    assert browser.errors == []


def test_the_policy_lets_no_other_script_run(browser: Chromium, reports: Mapping[str, Path], tmp_path: Path) -> None:
    text = reports["run"].read_text(encoding="utf-8")
    planted = tmp_path / "planted.html"
    planted.write_text(
        text.replace("<header", "<script>document.title = 'planted'</script><header", 1), encoding="utf-8"
    )
    browser.open(planted)
    assert browser.evaluate("document.title") != "planted"
    assert any("Content Security Policy" in error for error in browser.errors)


def test_a_link_filters_searches_and_opens_a_sample(browser: Chromium, reports: Mapping[str, Path]) -> None:
    browser.open(reports["run"])
    assert seen(browser) == ["s-1", "s-2", "s-3", "s-4"]
    for fragment, ids in (
        ("#verdict=miss", ["s-1"]),
        ("#gate=g&q=dear", ["s-3"]),
        ("#detector=markdown", ["s-1"]),
        ("#tool=look_up", ["s-4"]),
        ("#q=nothing+says+this", []),
    ):
        browser.open(reports["run"], fragment)
        assert seen(browser) == ids, fragment
    browser.open(reports["run"], "#sample=s-2.unstreamed.off")
    assert browser.evaluate("document.activeElement.id") == "sample-s-2.unstreamed.off"


def test_a_link_scrolls_to_its_sample_in_a_long_list(browser: Chromium, tmp_path: Path) -> None:
    names = {f"s-{n:02}": n > 7 for n in range(1, 40)}
    run = make_run(tmp_path, "now", names)
    then = make_run(tmp_path, "then", dict.fromkeys(names, True))
    main(["compare", str(run), str(then), "--html", str(tmp_path / "page.html"), "--json"])
    browser.open(tmp_path / "page.html", "#sample=s-07.unstreamed.off")
    browser.evaluate("new Promise((done) => setTimeout(done, 300))")
    at = browser.evaluate("document.getElementById('sample-s-07.unstreamed.off').getBoundingClientRect().top")
    assert -1 <= at <= browser.evaluate("innerHeight") / 2


def test_the_keyboard_reaches_everything_and_the_hash_keeps_it(browser: Chromium, reports: Mapping[str, Path]) -> None:
    browser.open(reports["run"])
    browser.press("/")
    for letter in "dear":
        browser.press(letter)
    browser.evaluate("new Promise((done) => setTimeout(done, 400))")
    assert (seen(browser), browser.evaluate("location.hash")) == (["s-3"], "#q=dear")
    browser.press("Escape")
    assert (len(seen(browser)), browser.evaluate("location.hash")) == (4, "")
    browser.press("j")
    browser.press("j")
    browser.press("Enter")
    assert browser.evaluate("document.activeElement.parentElement.open && document.activeElement.textContent").count(
        "s-2"
    )


def test_request_and_response_open_as_they_were(browser: Chromium, reports: Mapping[str, Path]) -> None:
    browser.open(reports["run"], "#sample=s-3.unstreamed.off")
    browser.evaluate("document.activeElement.querySelector('.raw').open = true")
    texts = browser.evaluate(
        """new Promise((done) => {
            const look = () => {
                const found = [...document.querySelectorAll(".raw pre")].map((each) => each.textContent);
                found.length ? done(found) : setTimeout(look, 10);
            };
            look();
        })"""
    )
    assert json.loads(texts[0])["messages"][0]["content"] == "Hello s-3?"
    assert texts[1].startswith("curl -sS ")
    assert "Fine, dear." in texts[2]


def test_streamed_and_unstreamed_stand_beside_each_other_and_repeats_below(browser: Chromium, tmp_path: Path) -> None:
    raw = body("Fine.")
    sent = {"messages": [{"role": "user", "content": "Hello?"}], "stream": False}
    keys = [f"s-1.{how}.off{repeat}" for repeat in ("", ".2") for how in ("stream", "unstreamed")]
    exchange = StoredExchange(0, 0, sent, 200, (), raw, ((1, len(raw)),))
    kept = {key: StoredSample(key, None, 0.0, (exchange,)) for key in keys}
    source = page.Source(keys, kept.get, [Judgement("g", key) for key in keys])
    (tmp_path / "out.html").write_text(page.page(RunVerdict("PASS"), source), encoding="utf-8")
    browser.open(tmp_path / "out.html", "#sample=s-1.stream.off.2")
    tops, lefts = (
        browser.evaluate(
            f"[...document.querySelectorAll('.group article')].map((e) => e.getBoundingClientRect().{side})"
        )
        for side in ("top", "left")
    )
    assert tops[0] == tops[1] < tops[2] == tops[3]
    assert lefts[0] == lefts[2] < lefts[1] == lefts[3]


def test_changed_answers_come_first_with_the_words_that_differ(
    browser: Chromium, reports: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    browser.open(reports["compare"])
    assert seen(browser) == ["s-1", "s-2", "s-3", "s-4"]
    options = browser.evaluate(
        "[...document.querySelector('select[name=change]').options].map((each) => each.textContent)"
    )
    assert options[1:] == ["worse (1)", "other words (3)", "better (1)", "same words (1)"]
    folder = reports["run"].parent
    main(["compare", str(folder / "now"), str(folder / "then"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [[len(gate["worse"]), len(gate["better"])] for gate in told["gates"]] == [[1, 1]]
    assert told["same_words"] == [1, 4]
    browser.open(reports["compare"], "#sample=s-3.unstreamed.off")
    words = "[...document.activeElement.querySelectorAll('{}')].map((each) => each.textContent)"
    assert browser.evaluate(words.format("del")) == ["sir"]
    assert browser.evaluate(words.format("ins")) == ["dear"]


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_window(browser: Chromium, failed: RunVerdict, run_dir: Path, width: int) -> None:
    page.write(run_dir / "report.html", failed, run_dir)
    browser.look(width)
    browser.open(run_dir / "report.html")
    wide = browser.evaluate(
        "[document.documentElement, ...document.querySelectorAll('.scroll')].map((e) => e.scrollWidth - e.clientWidth)"
    )
    browser.look(1280)
    assert max(wide) <= 0


def test_print_shows_the_misses_open(browser: Chromium, reports: Mapping[str, Path]) -> None:
    browser.open(reports["run"])
    visible = "['misses', 'samples'].map((id) => document.getElementById(id).checkVisibility())"
    assert browser.evaluate(visible) == [False, True]
    browser.look(800, printed=True)
    assert browser.evaluate(visible) == [True, False]
    assert browser.evaluate("document.querySelector('#misses dd:has(mark)').checkVisibility()")
    browser.look(1280)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["failed", "compare", "history"])
def test_axe_finds_nothing(
    browser: Chromium,
    reports: Mapping[str, Path],
    failed: RunVerdict,
    run_dir: Path,
    name: str,
    dark: bool,
) -> None:
    shown = reports.get(name, run_dir / f"{name}.html")
    if name == "failed":
        points = [[1000, 50.0, 45.0, 55.0, 9], [8000, 90.0, 80.0, 99.0, 9]]
        cold: dict[str, Any] = {**failed.timings[0], "name": "ttft_cold", "points": points, "hardware": None}
        page.write(shown, RunVerdict(**{**plain(failed), "timings": (*failed.timings, cold)}), run_dir)
    if name == "history":
        night = run_dir.parent / "history" / "000001-n"
        night.mkdir(parents=True)
        verdict_json.write(night / "verdict.json", failed)
        assert main(["history", str(night.parent), "--plot", str(shown)]) == 0
    browser.look(1280, dark=dark)
    browser.open(shown)
    browser.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    browser.evaluate(gzip.decompress(AXE.read_bytes()).decode())
    found = browser.evaluate(
        "axe.run().then((r) => r.violations.map((v) => [v.id, v.impact, v.nodes.map((n) => n.html.slice(0, 200))]))"
    )
    browser.look(1280)
    assert found == []


def plain(verdict: RunVerdict) -> dict[str, Any]:
    return {name: getattr(verdict, name) for name in verdict.__slots__}
