"""The native code equals the torch operators, and everything works without it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.formats import nvfp4, nvfp4_native

DTYPES = [torch.bfloat16, torch.float32]


@pytest.fixture
def fresh_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache directory, and a library that is looked for again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    nvfp4_native._library.cache_clear()
    yield tmp_path / "annie-quant"
    nvfp4_native._library.cache_clear()


def need_native() -> None:
    if nvfp4_native._library() is None:
        pytest.skip("no C++ compiler here")


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    blocks=st.integers(1, 200),
    magnitude=st.floats(-37, 30),
    spread=st.sampled_from([0.0, 1.0, 6.0]),
    share=st.sampled_from([0.1, 1.0, 8.0]),
    dtype=st.sampled_from(DTYPES),
)
def test_equals_the_reference_bit_for_bit(
    seed: int, blocks: int, magnitude: float, spread: float, share: float, dtype: torch.dtype
) -> None:
    need_native()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(blocks, 16, generator=generator) * 10.0**magnitude
    x = (x * torch.exp(spread * torch.randn(blocks, 1, generator=generator))).clamp(-3e38, 3e38).to(dtype)
    scale = nvfp4.global_scale((x.abs().max().float() * share).clamp(max=3e38))
    native = nvfp4_native.fake_quantize("export", x, scale.item())
    assert native is not None
    integers = torch.int32 if dtype is torch.float32 else torch.int16
    assert torch.equal(native.view(integers), nvfp4.fake_quantize_reference(x, scale).view(integers))


@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_the_reference_where_threads_share_the_work(dtype: torch.dtype) -> None:
    need_native()
    x = torch.randn(1000, 1008).to(dtype)
    scale = nvfp4.global_scale(x.abs().max())
    native = nvfp4_native.fake_quantize("export", x, scale.item())
    assert native is not None
    assert torch.equal(native, nvfp4.fake_quantize_reference(x, scale))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_that_is_none_spoils_its_own_block_only(dtype: torch.dtype) -> None:
    x = torch.randn(4, 16).to(dtype)
    x[1, 3], x[2, 5] = torch.nan, torch.inf
    amax = torch.tensor(4.0)
    for out in (nvfp4.fake_quantize(x, amax), nvfp4.fake_quantize_reference(x, nvfp4.global_scale(amax))):
        assert out[1].isnan().all()
        assert torch.isfinite(out[[0, 2, 3]]).all()


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"], ids=["missing", "failing"])
def test_without_a_compiler_the_result_is_the_same(
    compiler: str, fresh_library: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", compiler)
    x = torch.randn(8, 64).to(torch.bfloat16)
    out = nvfp4.fake_quantize(x)
    assert torch.equal(out, nvfp4.fake_quantize_reference(x, nvfp4.global_scale(x.abs().max())))
    nvfp4.fake_quantize(x)
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once, and in one line
    assert "\n" not in caplog.text.strip()
    assert not list(fresh_library.glob("*.so"))


def test_a_built_library_is_kept_and_found_again(fresh_library: Path) -> None:
    need_native()
    (built,) = fresh_library.iterdir()
    assert nvfp4_native._build() == built
    stamp = built.stat().st_mtime_ns
    nvfp4_native._library.cache_clear()
    need_native()
    assert [path.stat().st_mtime_ns for path in fresh_library.iterdir()] == [stamp]


def test_processes_that_build_at_once_all_get_a_whole_library(fresh_library: Path) -> None:
    need_native()
    for path in fresh_library.iterdir():
        path.unlink()
    program = "import torch; from quant.formats import nvfp4_native as n; assert n._library() is not None"
    children = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    assert len(list(fresh_library.iterdir())) == 1


def test_a_directory_that_cannot_be_written_is_no_reason_to_fail(
    fresh_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    x = torch.randn(2, 16)
    assert torch.equal(nvfp4.fake_quantize(x), nvfp4.fake_quantize_reference(x, nvfp4.global_scale(x.abs().max())))


def test_half_precision_and_other_devices_are_left_to_torch() -> None:
    assert nvfp4_native.fake_quantize("export", torch.zeros(16, dtype=torch.float16), 1.0) is None
    assert nvfp4_native.fake_quantize("export", torch.zeros(16, device="meta"), 1.0) is None
