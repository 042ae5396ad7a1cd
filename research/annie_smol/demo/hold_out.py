"""Chooses the prompts of `make demo`: the first of the study's held-out tool prompts, as many of each sort.

    python -m research.annie_smol.demo.hold_out --training sft.jsonl --training data/annie-430.jsonl \\
        --training data/annie-smol-4300.jsonl

`sft.jsonl` is what the BF16 model was trained on, `sft` in `study/plan.py`.
"""

import argparse
import json
from pathlib import Path

from research.annie_smol.study import free, heldout_profile, plan

PROMPTS = Path(__file__).with_name("tool-calling.jsonl")
FREE = Path(free.__file__).parent / "free"
EACH = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--training", type=Path, action="append", required=True, metavar="FILE")
    training = parser.parse_args().training
    heldout_profile.GATES = {"tool_calling": heldout_profile.TOOLS}
    overlap = heldout_profile.known(training, plan.HELD_OUT_SEED)
    lines = heldout_profile.scenarios(overlap, plan.HELD_OUT_SEED, EACH)
    freely = heldout_profile.freely_worded(overlap, FREE, EACH)
    lines += [line for line in freely if line["category"] == "tool_calling"]
    PROMPTS.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
