"""`annie-eval say`: speaks the answers of one sample with espeak-ng."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

from annie_eval.detectors.english.sentences import count_words
from annie_eval.errors import UsageError
from annie_eval.profile.types import Speech, current_key
from annie_eval.run.directory import run_dir as find_run
from annie_eval.run.store import Store
from annie_eval.text import printable
from annie_eval.wire.parse import parse

_ENGINES = ("espeak-ng", "espeak")


def add_say(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's directory, or its name in runs/")
    parser.add_argument("sample", metavar="SAMPLE", help="a sample's key, as the report prints it")
    parser.add_argument("--voice", default="en", metavar="VOICE", help="espeak-ng's voice (default: en)")
    parser.add_argument("--out", metavar="FILE", help="write a WAV file instead of playing it")
    parser.set_defaults(command=say)


def say(arguments: argparse.Namespace) -> int:
    """Run the command. Returns 0, also without espeak-ng; raises UsageError if the sample does not exist."""
    store = Store(find_run(arguments.run))
    try:
        stored = store.sample(current_key(arguments.sample))
    finally:
        store.close()
    if stored is None:
        raise UsageError(
            f"{arguments.run}: has no sample {arguments.sample}; annie-eval show {arguments.run} names some"
        )
    answers = [parse(one.body, streamed=bool(one.request.get("stream"))).content for one in stored.exchanges]
    spoken = [answer for answer in answers if answer and answer.strip()]
    if not spoken:
        raise UsageError(f"{arguments.sample}: has no spoken text; choose a sample with a spoken answer")
    minute = Speech().words_per_minute
    for answer in spoken:
        print(f"{count_words(answer) * 60 / minute:.1f} s  {printable(answer)}", flush=True)
    engine = next((path for path in map(shutil.which, _ENGINES) if path), None)
    if engine is None:
        print("not spoken: espeak-ng is not installed", file=sys.stderr)
        return 0
    out = ["-w", arguments.out] if arguments.out else []
    # Through standard input, because an untrusted answer must not be read as an option.
    done = subprocess.run(
        [engine, "-v", arguments.voice, "-s", str(minute), *out, "--stdin"],
        input="\n\n".join(spoken),
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise UsageError(f"{engine} failed: {' '.join(done.stderr.split())[:200]}; try another --voice")
    return 0
