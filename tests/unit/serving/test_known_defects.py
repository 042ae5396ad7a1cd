"""Known defects: the file is valid, and matches servers by version, arguments and model."""

from __future__ import annotations

import re

import pytest

from annie_eval.serving.known_defects import defects, matching

HYBRID = {"text_config": {"layer_types": ["linear_attention", "full_attention"]}}
PLAIN = {"layer_types": ["full_attention"]}
MTP = ["--enable-prefix-caching", "--speculative-config", '{"method": "mtp"}']
BOTH = "issues/53912"


def found(version: str | None, arguments: list[str], config: object = HYBRID, algorithm: str | None = None) -> str:
    return " ".join(one.url for one in matching(version, arguments, config, algorithm, cpu=False))  # type: ignore[arg-type]


def test_the_file_names_public_reports_and_plain_versions() -> None:
    assert len({one.url for one in defects()}) == len(defects()) >= 5
    for one in defects():
        assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", one.url)
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in (one.since, one.seen, one.fixed or one.seen))
        assert all(argument.startswith("--") for argument in (*one.arguments, *one.without))
        assert one.topics
        assert one.effect
        assert one.way_round


@pytest.mark.parametrize(
    ("version", "arguments", "config", "there"),
    [
        ("0.28.0", MTP, HYBRID, True),
        ("0.32.0+cpu", ["--enable_prefix_caching", "--speculative-config={}"], HYBRID, True),
        ("0.22.0", MTP, HYBRID, False),
        ("0.28.0", MTP, PLAIN, False),
        ("0.28.0", MTP, {}, False),
        ("0.28.0", ["--no-enable-prefix-caching", "--speculative-config={}"], HYBRID, False),
        ("0.28.0", ["--enable-prefix-caching"], HYBRID, False),
        (None, MTP, HYBRID, False),
        ("a build of ours", MTP, HYBRID, False),
    ],
)
def test_all_conditions_must_hold(version: str | None, arguments: list[str], config: object, there: bool) -> None:
    assert (BOTH in found(version, arguments, config)) == there


def test_values_of_arguments_the_algorithm_and_the_machine_count() -> None:
    assert "issues/39056" in found("0.19.0", ["--tool-call-parser", "qwen3_coder", "--reasoning-parser", "qwen3"])
    assert "issues/39056" not in found("0.19.0", ["--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"])
    ranks = ["--tensor-parallel-size", "8"]
    assert "issues/48898" in found("0.25.1", ranks, algorithm="NVFP4")
    assert "issues/48898" not in found("0.25.1", ranks, algorithm="FP8")
    assert "issues/48898" not in found("0.25.1", [*ranks, "--linear-backend", "marlin"], algorithm="NVFP4")
    assert matching("0.25.1", ranks, PLAIN, "NVFP4", cpu=True) == ()
