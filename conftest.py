"""With a target (`--model-dir` or `--base-url`) pytest is the release gate; without one it tests the project."""

pytest_plugins = ["annie_eval.plugin"]
