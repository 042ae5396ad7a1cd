"""`annie-eval serve`: start the vLLM that the gate would start for a checkpoint, and keep it running."""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

from annie_eval.cli import server_options
from annie_eval.errors import TargetError, UsageError
from annie_eval.text import printable


def add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", type=Path, metavar="DIR", help="serve this checkpoint with vLLM")
    server_options.add(parser)
    parser.set_defaults(command=serve)


def serve(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C, SIGTERM or SIGHUP, then stop the server with all its processes.

    Returns 0 if it was stopped, 1 if the server did not start or died; then its log is kept. Raises UsageError for
    wrong input, before anything starts.
    """
    from annie_eval.profile.load import load
    from annie_eval.serving import check, open_target
    from annie_eval.serving.target import LOG

    def say(line: str) -> None:
        print(printable(line), file=sys.stderr, flush=True)

    profile, spec = load(arguments.profile), server_options.spec(arguments, arguments.dir)
    try:
        check(spec, profile)
    except UsageError as error:
        raise UsageError(str(error).removeprefix("--model-dir ")) from None
    say(f"starting vLLM for {arguments.dir}, with the flags of profile {profile.name} ({profile.path})")
    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda *_: stop.set())
    directory = Path(tempfile.mkdtemp(prefix="annie-eval-serve-"))
    try:
        target = open_target(spec, profile, directory, say, stop)
        try:
            options = ["--profile", arguments.profile] if arguments.profile != "annie" else []
            options += ["--api-key-env", spec.api_key_env] if spec.api_key_env else []
            command = shlex.join(["pytest", "--base-url", target.base_url, *options])
            print(f"serving {printable(target.served_model)} at {target.base_url}, until Ctrl-C")
            print(f"log:      {directory / LOG}")
            print(f"judge it: {printable(command)}", flush=True)
            while not stop.wait(0.5):
                if died := target.alive():
                    raise TargetError(died)
        finally:
            target.close()
    except TargetError as error:
        if not stop.is_set():
            say(f"annie-eval serve: {error}")
            return 1
    except BaseException:
        shutil.rmtree(directory)
        raise
    shutil.rmtree(directory)
    return 0
