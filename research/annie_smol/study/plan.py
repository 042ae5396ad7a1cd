"""Lists the candidates of the study. Each is a checkpoint made by one `python -m quant` command.

In a command, `{NAME}` is the checkpoint of another candidate and `{data:NAME}` a file of DATA. A candidate's name is
also the name of its result file and of its row in docs/results.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# How each data file is made. The first word is the kind: `file` of the repository; `lines` of such a file, which is
# already shuffled; `text`, the prose of Python's own documentation; `spoken`, freely worded examples (spoken.py);
# `frames` (frames.py); `join` of other data files; or a command of the generator with its arguments.
DATA: dict[str, tuple[str, ...]] = {
    "sft": ("join", "sft-16k", "spoken", "frames"),
    "sft-16k": ("generate", "--mix", "annie-smol-sft", "--count", "16000", "--seed", "7"),
    "spoken": ("spoken", "data/spoken"),
    "frames": ("frames", "data/spoken"),
    "sft-40k": ("generate", "--mix", "annie-smol-sft", "--count", "40000", "--seed", "9"),
    "430": ("file", "data/annie-430.jsonl"),
    "on-policy": ("file", "data/annie-430-on-policy.jsonl"),
    "4300": ("file", "data/annie-smol-4300.jsonl"),
    "43": ("lines", "data/annie-smol-4300.jsonl", "0", "43"),
    "domain-430": ("lines", "data/annie-smol-4300.jsonl", "0", "430"),
    "domain-430-2": ("lines", "data/annie-smol-4300.jsonl", "430", "860"),
    # For measuring the KL divergence to BF16: generated with a seed that no training data has.
    "kl": ("generate", "--mix", "annie-smol-sft", "--count", "64", "--seed", "20261130"),
    "generic": ("text",),
}

# The held-out set was made after recipes and choices were fixed. The development set could be used to choose them.
HELD_OUT_SEED, DEVELOPMENT_SEED = 20261128, 77

# The study of recipes is judged on the held-out set and on a second one, with another seed and with prompts written
# after the recipes were fixed. The ids of the second set begin with `new-`.
SECOND_SEED, SECOND_FREE = 20261129, "free-recipes"
MATRIX_SAMPLES = 25


@dataclass(frozen=True)
class Candidate:
    """One checkpoint to make and to judge.

    Attributes:
        group: the ablation that it belongs to; "" for the main table.
        about: description in docs/results.md.
        make: arguments of `python -m quant`, without `--out`; () if the checkpoint already exists.
        start: name of the candidate that it is made from.
        matrix: judge it with hardened system prompts, too.
        weights_alone: serve it with BF16 activations (Marlin, on a GPU without FP4 units).
    """

    name: str
    about: str
    make: tuple[str, ...] = ()
    start: str = "bf16"
    group: str = ""
    matrix: bool = False
    weights_alone: bool = False

    @property
    def quantised(self) -> bool:
        """Whether its weights are quantised (not a BF16 checkpoint)."""
        return bool(self.make) and (self.make[0] in {"ptq", "qat"} or "nvfp4" in self.name)

    @property
    def w4a4(self) -> bool:
        """Whether its activations are quantised to four bits, too."""
        return self.quantised and not self.weights_alone and not {"nvfp4-w4a16", "fp8"} & set(self.make)


def _sft(name: str, about: str, recipe: str, *settings: str, data: str = "sft") -> Candidate:
    sets = tuple(part for setting in settings for part in ("--set", setting))
    make = ("sft", "--model", "{untuned}", "--recipe", recipe, "--data", f"{{data:{data}}}", *sets)
    return Candidate(name, about, make, start="untuned", group="" if name == "bf16" else "sft")


def _ptq(name: str, about: str, recipe: str, data: str, group: str = "") -> Candidate:
    make = ("ptq", "--model", "{bf16}", "--recipe", recipe, "--calib", f"{{data:{data}}}")
    return Candidate(name, about, make, group=group)


def _trained(name: str, about: str, recipe: str, data: str, *settings: str, group: str = "") -> Candidate:
    sets = tuple(part for setting in ("training.epochs=3", *settings) for part in ("--set", setting))
    make = ("qat", "--model", "{bf16}", "--recipe", recipe, "--data", f"{{data:{data}}}", *sets)
    return Candidate(name, about, make, group=group)


SFT = [
    _sft(
        "bf16", "SFT, LoRA rank 16, 1e-3, three epochs", "sft-lora", "training.learning_rate=1e-3", "training.epochs=3"
    ),
    _sft(
        "sft-16k", "without the freely worded, two epochs",
        "sft-lora", "training.learning_rate=1e-3", "training.epochs=2", data="sft-16k",
    ),
    _sft(
        "sft-3-epochs", "without the freely worded, three epochs",
        "sft-lora", "training.learning_rate=1e-3", "training.epochs=3", data="sft-16k",
    ),
    _sft(
        "sft-40k", "40,000 conversations of the grammar once; more than half of the factual prompts are near to one",
        "sft-lora", "training.learning_rate=1e-3", "training.epochs=1", data="sft-40k",
    ),
    _sft(
        "sft-full", "without the freely worded, full, 1e-4, two epochs",
        "sft-full", "training.learning_rate=1e-4", "training.epochs=2", data="sft-16k",
    ),
]  # fmt: skip

MAIN = [
    _ptq("ptq-generic", "PTQ W4A4, calibrated on technical prose", "nvfp4-default", "generic"),
    _ptq("ptq", "PTQ W4A4, calibrated on Annie's 430 conversations", "nvfp4-default", "430"),
    _ptq("awq-lite", "PTQ W4A4 with AWQ-lite where it folds into a norm", "nvfp4-awq-lite", "430"),
    _trained("qat-lora", "QAT, LoRA rank 16, cross-entropy, 430 x 3", "qat-lora", "430"),
    _trained("qat-full", "QAT, all weights, cross-entropy, 430 x 3", "qat-full", "430"),
    _trained("qad-lora", "QAD, LoRA rank 16, KL, 430 x 3", "qad-lora", "430"),
    _trained("qad-full", "QAD, all weights, KL, 430 x 3", "qad-full", "430"),
]

# The embedded default is the one of these with the smaller KL divergence to BF16 after training. Rank 8, so that the
# adapters are small enough for the repository. They come first because they take longest.
WHOLE_SET = [
    _trained(
        "qad-whole",
        "the whole fine-tuning set x 2, rank 8",
        "qad-lora",
        "sft",
        "training.epochs=2",
        "training.rank=8",
        "training.alpha=16",
        group="size",
    ),
    _trained(
        "qat-whole",
        "the whole fine-tuning set x 2, rank 8, cross-entropy",
        "qat-lora",
        "sft",
        "training.epochs=2",
        "training.rank=8",
        "training.alpha=16",
        group="size",
    ),
]

ABLATIONS = [
    _ptq("w4a16", "weights alone in four bits", "nvfp4-w4a16", "430", "format"),
    _ptq("mlp-only", "MLP NVFP4, attention BF16", "nvfp4-mlp-only", "430", "format"),
    _ptq("fp8", "FP8 everywhere", "fp8", "430", "format"),
    *(
        _trained(
            f"qad-lr-{rate}", f"QAD, LoRA, {rate}", "qad-lora", "430", f"training.learning_rate={rate}", group="rate"
        )
        for rate in ("1e-5", "5e-5", "5e-4", "1e-3")
    ),
    *(
        _trained(
            f"qat-lr-{rate}", f"QAT, LoRA, {rate}", "qat-lora", "430", f"training.learning_rate={rate}", group="rate"
        )
        for rate in ("1e-5", "5e-5", "5e-4", "1e-3")
    ),
    _trained("qad-43", "43 conversations x 3", "qad-lora", "43", group="size"),
    _trained("qad-domain-430", "430 of the whole domain x 3", "qad-lora", "domain-430", group="size"),
    _trained("qad-on-policy", "the 430 as the BF16 model answers them x 3", "qad-lora", "on-policy", group="size"),
    _trained("qad-4300", "4,300 x 3", "qad-lora", "4300", group="size"),
    _trained("qat-4300", "4,300 x 3, cross-entropy", "qat-lora", "4300", group="size"),
    _trained("qad-rank-4", "rank 4", "qad-lora", "430", "training.rank=4", "training.alpha=8", group="rank"),
    *(
        _trained(
            f"{q}-lora-seed-{seed}",
            f"{q.upper()}, LoRA, seed {seed}",
            f"{q}-lora",
            "430",
            f"training.seed={seed}",
            group="seed",
        )
        for q in ("qat", "qad")
        for seed in (1, 2)
    ),
    _trained("qad-rank-64", "rank 64", "qad-lora", "430", "training.rank=64", "training.alpha=128", group="rank"),
]


# The study of recipes: searched weight scales, headroom above the activations' amax, and both, each calibrated on
# three sets; weights only; and training from these checkpoints with three seeds. All start from the embedded BF16
# model and were made on one machine.
RECIPES = {
    "max": ("nvfp4-default", ()),
    "mse": ("nvfp4-mse", ('algorithm="mse"',)),
    "four-over-six": ("nvfp4-four-over-six", ('algorithm="four_over_six"',)),
    "headroom": ("nvfp4-act-headroom", ('activations="headroom"',)),
    "mse-headroom": ("nvfp4-mse-act-headroom", ('algorithm="mse"', 'activations="headroom"')),
    "local-hessian": ("nvfp4-local-hessian", ()),
    "gptq": ("nvfp4-gptq", ()),
    "constant": ("nvfp4-constant-amax", ('activations="constant"',)),
}
CALIBRATIONS = ("430", "domain-430", "domain-430-2")


def _recipe_study() -> Iterator[Candidate]:
    base = "annie-smol-bf16"
    for number, data in enumerate(CALIBRATIONS):
        for name, (recipe, _) in RECIPES.items():
            make: tuple[str, ...] = (
                "ptq",
                "--model",
                f"{{{base}}}",
                "--recipe",
                recipe,
                "--calib",
                f"{{data:{data}}}",
            )
            if "headroom" in name:
                make += ("--set", "calibration.samples=64")  # as it was judged; the recipes take 16 since
            if name != "constant" or number == 0:  # this recipe uses no calibration data
                yield Candidate(f"ptq-{name}-{number}", f"PTQ, {recipe}, calibrated on {data}", make, base, "recipes")
    yield Candidate(
        "ptq-max-0-again", "ptq-max-0 made and judged once more",
        ("ptq", "--model", f"{{{base}}}", "--recipe", "nvfp4-default", "--calib", "{data:430}"), base, "recipes",
    )  # fmt: skip
    for seed in range(3):
        for name in ("max", "mse", "four-over-six", "mse-headroom"):
            sets = (f"training.seed={seed}", "training.epochs=3", *RECIPES[name][1])
            make = ("qat", "--model", f"{{{base}}}", "--recipe", "qad-lora", "--data", "{data:430}")
            make += ("--no-compile", *(part for setting in sets for part in ("--set", setting)))
            yield Candidate(f"qad-{name}-{seed}", f"QAD from {RECIPES[name][0]}, seed {seed}", make, base, "recipes")
    # The checkpoints of the first calibration again: which part of the loss is the weights'.
    for name in ("max", "mse", "four-over-six", "local-hessian", "gptq"):
        make = ("ptq", "--model", f"{{{base}}}", "--recipe", RECIPES[name][0], "--calib", "{data:430}")
        about = f"{RECIPES[name][0]}, activations in BF16"
        yield Candidate(f"w4a16-{name}", about, make, base, "recipes", weights_alone=True)
    for half, layers in (("mlp", '["*.mlp.*", "nvfp4"]'), ("attention", '["*.self_attn.*", "nvfp4"]')):
        for name in ("max", "mse", "gptq"):
            make = ("ptq", "--model", f"{{{base}}}", "--recipe", RECIPES[name][0], "--calib", "{data:430}")
            make += ("--set", f"layers=[{layers}]")
            yield Candidate(f"{half}-{name}", f"{RECIPES[name][0]}, the rest in BF16", make, base, "recipes")


def _embedded(name: str, about: str, start: str, matrix: bool = False) -> Candidate:
    make = ("merge", "--model", f"{{{start}}}", "--adapter", f"adapters/{name}")
    return Candidate(name, about, make, start=start, group="embedded", matrix=matrix)


# The models that `make model` builds from the repository. `make results` judges them on the local machine.
EMBEDDED = [
    _embedded("annie-smol-bf16", "bf16", "untuned"),
    _embedded("annie-smol-nvfp4-ptq", "ptq", "annie-smol-bf16", matrix=True),
    _embedded("annie-smol-nvfp4-qat", "the embedded default", "annie-smol-bf16"),
]

UNTUNED = Candidate("untuned", "SmolLM2-135M-Instruct as it comes", start="")
RECIPE_STUDY = list(_recipe_study())
CANDIDATES = [UNTUNED, *SFT, *WHOLE_SET, *MAIN, *ABLATIONS, *EMBEDDED, *RECIPE_STUDY]
