"""`annie-eval blame`: finds what makes a gate fail by changing one thing at a time. See docs/blame.md."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def add_blame(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `annie-eval blame`."""
    parser.add_argument("--model-dir", type=Path, required=True, metavar="DIR", help="the checkpoint that fails")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="the BF16 checkpoint that it was made from")
    parser.add_argument(
        "--profile",
        default="annie",
        metavar="NAME|PATH",
        help="profile with the gates (default: that of pyproject.toml, else annie)",
    )
    parser.add_argument(
        "--gate", metavar="NAME", help="the gate to search (default: the failing gate with the most misses)"
    )
    parser.add_argument(
        "--referee",
        action="store_true",
        help="also check with transformers whether the tokens are likely under the weights (needs annie-eval[quant])",
    )
    parser.add_argument(
        "--serve", choices=("native", "docker"), default="native", help="how to serve checkpoints (default: native)"
    )
    parser.add_argument("--image", metavar="NAME", help="container image for --serve docker")
    parser.add_argument("--vllm-python", type=Path, metavar="PATH", help="interpreter of the server's environment")
    parser.add_argument("--vllm-arg", action="append", default=[], metavar="ARG", help="one more argument for vLLM")
    parser.add_argument("--concurrency", type=int, metavar="N", help="requests in flight (default: the profile's)")
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="directory of the runs (default: a new one in runs/)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the search in --run-dir; finished runs are kept"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON in place of the table")
    parser.set_defaults(command=blame)


def blame(arguments: argparse.Namespace) -> int:
    """Run the search. Exit status 0: a cause was found; 1: none was; 2: wrong input; 3: nothing could be measured."""
    import dataclasses
    import importlib.util
    import json

    from annie_eval.blame.blame import Options
    from annie_eval.blame.blame import blame as search
    from annie_eval.blame.report import lines
    from annie_eval.errors import UsageError
    from annie_eval.profile.load import load
    from annie_eval.run.directory import make_series_dir
    from annie_eval.serving import checkpoint
    from annie_eval.serving.spec import TargetSpec, check
    from annie_eval.text import printable

    profile = load(arguments.profile)
    spec = TargetSpec(
        model_dir=arguments.model_dir.expanduser(),
        serve=arguments.serve,
        image=arguments.image,
        vllm_python=arguments.vllm_python,
        vllm_args=tuple(part for argument in arguments.vllm_arg for part in shlex.split(argument)),
    )
    check(spec, profile)
    reference = None if arguments.reference is None else arguments.reference.expanduser()
    if reference is not None:
        try:
            checkpoint.read(reference, ("--chat-template=", *spec.vllm_args))  # served with the model's template
        except UsageError as error:
            raise UsageError(str(error).replace("--model-dir", "--reference", 1)) from None
    if arguments.gate is not None and arguments.gate not in profile.gates:
        raise UsageError(f"--gate {arguments.gate}: profile {profile.name} has {', '.join(profile.gates)}")
    if arguments.referee and reference is None:
        raise UsageError("--referee: needs --reference, the BF16 checkpoint with the architecture to compute")
    if arguments.referee and importlib.util.find_spec("torch") is None:
        raise UsageError("--referee: needs torch, which is not installed here: pip install 'annie-eval[quant]'")
    if arguments.concurrency is not None and arguments.concurrency < 1:
        raise UsageError(f"--concurrency {arguments.concurrency}: must be at least 1")
    directory = make_series_dir(arguments.run_dir, profile.name, "blame", resume=arguments.resume)
    options = Options(spec, reference, arguments.gate, directory, arguments.concurrency, arguments.referee)
    answer = search(options, profile, lambda line: print(printable(line), file=sys.stderr, flush=True))
    if arguments.json:
        print(json.dumps(dataclasses.asdict(answer), indent=1))
    else:
        print("\n".join([*lines(answer), "", f"runs: {directory}"]))
    return answer.finding.status
