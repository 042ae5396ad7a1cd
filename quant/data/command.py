"""`python -m quant data generate|validate|decontaminate|sample`: conversations to train on."""

import argparse
import sys
from pathlib import Path

from quant.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every subcommand."""
    commands = parser.add_subparsers(required=True, metavar="generate|validate|decontaminate|sample")
    one = commands.add_parser("generate", help="have a teacher write a mix of conversations")
    one.add_argument("--mix", required=True, metavar="NAME|FILE", help="annie-430, annie-smol-10k, or a .toml file")
    one.add_argument("--count", type=int, metavar="N", help="the mix's proportions at this size")
    one.add_argument("--teacher", choices=("builtin", "endpoint", "command"), default="builtin", help="default: builtin")
    one.add_argument("--base-url", metavar="URL", help="of the endpoint, such as http://localhost:8000/v1")
    one.add_argument("--model", metavar="NAME", help="served name (default: the endpoint's first)")
    one.add_argument("--api-key-env", metavar="VAR", help="environment variable that holds the endpoint's key")
    one.add_argument("--command", metavar="LINE", help="writes JSON Lines; {prompt} is the prompt's file, else stdin")
    one.add_argument("--timeout", type=float, default=120.0, metavar="S", help="for a batch; 2.5 times that for several turns")
    one.add_argument("--attempts", type=int, default=20, metavar="N", help="batches in a row that may bring nothing (20)")
    one.add_argument("--seed", type=int, default=0, metavar="N")
    one.add_argument("--against", action="append", type=Path, default=[], metavar="PATH", help="scenarios to stay away from (default: all of ours)")
    one.add_argument("--out", type=Path, required=True, metavar="FILE")
    one.add_argument("--resume", action="store_true", help="go on with a run that was killed or gave up")
    one.set_defaults(data_command=generate)


def run(arguments: argparse.Namespace) -> int:
    """Dispatch; returns the exit status."""
    return int(arguments.data_command(arguments))


def generate(arguments: argparse.Namespace) -> int:
    """Status 0: the file is there. 1: the teacher gave out; --resume continues."""
    from quant.data import generate as making
    from quant.data.journal import Journal
    from quant.data.mix import load_mix
    from quant.data.overlap import Overlap
    from quant.data.profile_files import load_profile, prompts, scenario_files
    from quant.progress import Progress

    mix = load_mix(arguments.mix, arguments.count)
    if mix.count == 0:
        raise UsageError(f"mix {mix.name}: every count is 0; give at least one kind a count")
    profile = load_profile(mix.profile)
    names = {tool["function"]["name"] for tool in profile.tools}
    for kind in mix.kinds:
        if kind.tool and kind.tool not in names:
            raise UsageError(f"mix {mix.name}: kinds.{kind.name}.tool {kind.tool!r} is no tool of {mix.profile}; it has {', '.join(sorted(names)) or 'none'}")
    if arguments.attempts < 1 or arguments.timeout <= 0:
        raise UsageError("--attempts and --timeout must be more than 0")
    teacher = _teacher(arguments, mix, profile)
    overlap = Overlap(prompts(scenario_files(arguments.against)))
    out: Path = arguments.out
    plan = {
        "mix": mix.name, "kinds": {kind.name: kind.count for kind in mix.kinds}, "profile": mix.profile,
        "thinking": mix.thinking, "teacher": teacher.name, "seed": arguments.seed,
    }  # fmt: skip
    report_path = out.with_name(out.name + ".report.json")
    if out.exists():
        if arguments.resume and not (out.parent / f".{out.name}.journal").exists():
            print(f"{out} is complete")
            return 0
        if not arguments.resume:
            raise UsageError(f"{out} exists already; name another --out, or remove it first")
    try:
        journal = Journal(out, plan, resume=arguments.resume)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}") from error
    done = False
    try:
        generation = making.Generation(mix, profile, teacher, overlap, journal, seed=arguments.seed, attempts=arguments.attempts)
        try:
            with Progress("generate", mix.count, "conversations") as bar:
                lines = generation.run(bar.add)
        except making.OutOfPatience as error:
            content = making.report(generation, plan)
            making.write_atomically(report_path, making.dump_report({"finished": False, **content}))
            _print_tally(content, mix.count)
            print(f"python -m quant data: {error}; see {report_path}, mend the teacher, go on with --resume", file=sys.stderr)
            return 1
        content = making.report(generation, plan)
        making.write_atomically(report_path, making.dump_report({"finished": True, **content}))
        making.write_lines(out, lines)
        done = True
    finally:
        journal.close(done=done)
    _print_tally(content, mix.count)
    print(f"wrote {out} and {report_path}")
    return 0


def _print_tally(content: dict, count: int) -> None:
    kept = ", ".join(f"{n} {kind}" for kind, n in content["kept"].items())
    print(f"{content['conversations']} of {count} conversations in {content['batches']} batches: {kept}")
    for cause, n in content["dropped"].items():
        print(f"  dropped {n:5d}  {cause}")


def _teacher(arguments: argparse.Namespace, mix, profile):
    foreign = {"endpoint": ["command"], "command": ["base_url", "model", "api_key_env"], "builtin": ["command", "base_url", "model", "api_key_env"]}
    for name in foreign[arguments.teacher]:
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} is not for --teacher {arguments.teacher}; leave one of them out")
    if arguments.teacher == "builtin":
        from quant.data.teacher_builtin import Builtin

        return Builtin(mix, arguments.seed)
    if arguments.teacher == "command":
        from quant.data.teacher_command import Command

        if arguments.command is None:
            raise UsageError("--teacher command wants --command, the program that writes the conversations")
        return Command(arguments.command, profile, arguments.timeout)
    from quant.data.endpoint import Endpoint
    from quant.data.teacher_endpoint import EndpointTeacher

    if arguments.base_url is None:
        raise UsageError("--teacher endpoint wants --base-url, such as http://localhost:8000/v1")
    return EndpointTeacher(Endpoint(arguments.base_url, arguments.model, arguments.api_key_env, arguments.timeout), profile, arguments.seed)
