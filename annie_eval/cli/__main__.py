"""Runs the command line: `python -m annie_eval.cli`."""

from annie_eval.cli.main import main

raise SystemExit(main())
