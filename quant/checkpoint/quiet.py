"""Silences progress bars and notices of libraries; warnings about problems are still shown."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

#: Environment variables that the libraries read when they are imported.
ENVIRONMENT = {
    "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_OFFLINE": "1",  # models and data are local; a mistyped path must not become a download
}  # fmt: skip


def quiet_imports() -> None:
    """Call before the libraries are imported. Environment variables that the user has set are not changed."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for module in ("modelopt", "torch", "transformers", "peft", "huggingface_hub"):
        warnings.filterwarnings("ignore", module=module)
    # On a machine without a GPU torch logs "No CUDA runtime is found, using CUDA_HOME=...", when ModelOpt is imported.
    logging.getLogger("torch.utils.cpp_extension").addFilter(_says_something)


def _says_something(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("No CUDA runtime is found")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide ModelOpt's output, logs and warnings inside the block; exceptions are not affected."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(max(before, logging.WARNING))
        try:
            yield
        finally:
            logging.disable(before)
