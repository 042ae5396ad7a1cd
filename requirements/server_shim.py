"""Lets a CUDA build of torchvision load with a CPU build of torch: `SERVER_PYTHON requirements/server_shim.py`.

vLLM imports torchvision even for text. Its CUDA build registers fakes for two operators whose schemas only its CUDA
library defines, and so fails with a CPU torch: `operator torchvision::nms does not exist`. Neither operator is called,
so defining their schemas first is enough. This script tries the import in its own environment. Only if it fails with
this error does it write a module and a .pth file there. With builds from PyTorch's own CPU index it does nothing.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

NAME = "torchvision_schemas"

#: Runs at every start of that interpreter, so it must be fast: torch is imported only with torchvision.
MODULE = '''"""Define torchvision's operator schemas before torchvision is imported (written by server_shim.py)."""

import sys
from importlib.abc import MetaPathFinder


class _Define(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "torchvision":
            return None
        sys.meta_path.remove(self)
        import torch

        for operator, schema in (
            ("nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
            ("qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
        ):
            try:
                torch.library.define(f"torchvision::{operator}", schema)
            except RuntimeError:
                pass  # defined already
        return None  # the usual finders go on from here


sys.meta_path.insert(0, _Define())
'''


def import_error() -> str:
    """The error of `import torchvision` in a new interpreter; "" if it works."""
    result = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else result.stderr


def main() -> int:
    """Install the shim if it is needed, and check that it helps."""
    error = import_error()
    if not error:
        print("torchvision imports: nothing to do")
        return 0
    if "operator torchvision::nms does not exist" not in error:
        print(f"torchvision does not import, and not for want of its operators:\n{error}", file=sys.stderr)
        return 1
    site = Path(sysconfig.get_path("purelib"))
    (site / f"{NAME}.py").write_text(MODULE)
    (site / f"{NAME}.pth").write_text(f"import {NAME}\n")
    if error := import_error():
        print(f"torchvision does not import even so:\n{error}", file=sys.stderr)
        return 1
    print(f"wrote {site / NAME}.pth: torchvision imports now")
    return 0


if __name__ == "__main__":
    sys.exit(main())
