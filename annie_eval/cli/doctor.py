"""`annie-eval doctor`: check a target's files, start its server and ask one question, without a gate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from annie_eval.cli import server_options

if TYPE_CHECKING:
    from annie_eval.http_client import Response


def add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model-dir", type=Path, metavar="DIR", help="serve this checkpoint with vLLM")
    parser.add_argument("--base-url", metavar="URL", help="a server that is already there")
    server_options.add(parser)
    parser.set_defaults(command=doctor)


def doctor(arguments: argparse.Namespace) -> int:
    """Exit status 0 when nothing was found wrong, 1 when something was."""
    from annie_eval.profile.load import load
    from annie_eval.serving import doctor as examination
    from annie_eval.timing.connection import TimedResponse
    from annie_eval.timing.stream import observe

    def first_token(response: Response) -> int | None:
        return observe(TimedResponse(response.status, response.body, response.reads)).first_token

    spec = server_options.spec(arguments, arguments.model_dir, arguments.base_url)
    return examination.doctor(spec, load(arguments.profile), sys.stdout, first_token)
