"""`python -m quant data generate`: choose the teacher, run, report."""

import argparse
import sys
from pathlib import Path
from typing import Any

from annie_data import generate as making
from annie_data.journal import Journal
from annie_data.mix import Mix, load_mix
from annie_data.overlap import Overlap
from annie_data.scenario_prompts import Profile, load_profile, prompts, scenario_files
from annie_data.teachers.protocol import Teacher
from quant.errors import UsageError
from quant.quantize.progress import Progress


def run(arguments: argparse.Namespace) -> int:
    """Status 0: the file is there. 1: the teacher gave out; --resume goes on.

    Raises:
        UsageError: before anything is asked, for whatever can be known then.
    """
    mix = load_mix(arguments.mix, arguments.count)
    profile = load_profile(mix.profile)
    _check(arguments, mix, profile)
    teacher = _teacher(arguments, mix, profile)
    overlap = Overlap(prompts(scenario_files(arguments.against)))
    out: Path = arguments.out
    plan = {
        "mix": mix.name, "kinds": {kind.name: kind.count for kind in mix.kinds}, "profile": mix.profile,
        "thinking": mix.thinking, "teacher": teacher.name, "seed": arguments.seed,
    }  # fmt: skip
    if out.exists():
        if not arguments.resume:
            raise UsageError(f"{out} exists already; name another --out, or remove it first")
        if not Journal.path_for(out).exists():
            print(f"{out} is complete")
            return 0
    journal = Journal(out, plan, resume=arguments.resume)
    done = False
    try:
        generation = making.Generation(
            mix, profile, teacher, overlap, journal, seed=arguments.seed, attempts=arguments.attempts
        )
        done = _finish(generation, plan, out, mix.count)
    finally:
        journal.close(done=done)
    return 0 if done else 1


def _finish(generation: making.Generation, plan: dict[str, Any], out: Path, count: int) -> bool:
    report_path = out.with_name(out.name + ".report.json")
    lines = None
    gave_out: making.OutOfPatience | None = None
    try:
        with Progress("generate", count, "conversations") as bar:
            lines = generation.run(bar.add)
    except making.OutOfPatience as error:
        gave_out = error
    content = making.report(generation, plan)
    making.write_atomically(report_path, making.dump_report({"finished": lines is not None, **content}))
    if lines is not None:
        making.write_lines(out, lines)
    kept = ", ".join(f"{n} {kind}" for kind, n in content["kept"].items() if n)
    print(f"{content['conversations']} of {count} conversations in {content['batches']} batches: {kept or 'none'}")
    for cause, n in content["dropped"].items():
        print(f"  dropped {n:5d}  {cause}")
    if gave_out is not None:
        mend = f"see {report_path}, mend the teacher, go on with --resume"
        print(f"python -m quant data generate: {gave_out}; {mend}", file=sys.stderr)
        return False
    print(f"wrote {out} and {report_path}")
    return True


def _check(arguments: argparse.Namespace, mix: Mix, profile: Profile) -> None:
    if mix.count == 0:
        raise UsageError(f"mix {mix.name}: every count is 0; give at least one kind a count")
    names = sorted(tool["function"]["name"] for tool in profile.tools)
    for kind in mix.kinds:
        if kind.tool and kind.tool not in names:
            there = f"it has {', '.join(names)}" if names else "it has none"
            raise UsageError(
                f"mix {mix.name}: kinds.{kind.name}.tool {kind.tool!r} is no tool of {mix.profile}; {there}"
            )
    if arguments.attempts < 1:
        raise UsageError(f"--attempts is {arguments.attempts}; write a number of at least 1")
    if not arguments.timeout > 0:
        raise UsageError(f"--timeout is {arguments.timeout}; write seconds, more than 0")


_OPTIONS = {"builtin": (), "endpoint": ("base_url", "model", "api_key_env"), "command": ("command",)}


def _teacher(arguments: argparse.Namespace, mix: Mix, profile: Profile) -> Teacher:
    for owner, names in _OPTIONS.items():
        for name in names:
            if owner != arguments.teacher and getattr(arguments, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{option} is for --teacher {owner}, not for {arguments.teacher}; leave one of them out"
                )
    if arguments.teacher == "builtin":
        from research.annie_smol.generator.teacher import Builtin

        return Builtin(mix, arguments.seed)
    if arguments.teacher == "command":
        from annie_data.teachers.command import Command

        if arguments.command is None:
            raise UsageError("--teacher command wants --command, the program that writes the conversations")
        return Command(arguments.command, profile, arguments.timeout)
    from annie_data.endpoint import Endpoint
    from annie_data.teachers.endpoint import EndpointTeacher

    if arguments.base_url is None:
        raise UsageError("--teacher endpoint wants --base-url, such as http://localhost:8000/v1")
    endpoint = Endpoint(arguments.base_url, arguments.model, arguments.api_key_env, arguments.timeout)
    return EndpointTeacher(endpoint, profile, arguments.seed)
