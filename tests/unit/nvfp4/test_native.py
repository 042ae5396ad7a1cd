"""The native code equals the torch operators, and everything works without it."""

import ctypes
import os
import platform
import re
import stat
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


def test_the_library_is_named_by_what_it_depends_on(fresh_library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_native()
    built = nvfp4_native._build()
    assert re.fullmatch(r"nvfp4-[0-9a-f]{16}\.so", built.name)
    assert built.parent == fresh_library
    assert stat.S_IMODE(fresh_library.stat().st_mode) == 0o700
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert nvfp4_native._build() == built  # without a compiler, too
    for part, value in (("_FLAGS", ("-O0",)), ("_cpu", lambda: "another")):
        with monkeypatch.context() as patched:
            patched.setattr(nvfp4_native, part, value)
            with pytest.raises(
                FileNotFoundError, match=r"no C\+\+ compiler found \(install g\+\+, or name one in CXX\)"
            ):
                nvfp4_native._build()


def test_what_the_compiler_says_first_is_told(
    fresh_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho >&2\necho 'a.cpp: no such instruction' >&2\necho 'and more' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert nvfp4_native._library() is None
    (record,) = caplog.records
    assert record.getMessage() == (
        "NVFP4 runs on torch operators, about 40 times slower: the C++ compiler failed: ['a.cpp: no such instruction']"
    )
    assert list(fresh_library.iterdir()) == []


@pytest.mark.parametrize("xdg", [True, False])
def test_the_library_is_kept_in_the_users_cache_directory(
    xdg: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a" / "b") if xdg else "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    expected = tmp_path / ("a/b" if xdg else ".cache") / "annie-quant"
    assert nvfp4_native._cache_directory() == nvfp4_native._cache_directory() == expected
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    elsewhere = nvfp4_native._cache_directory()
    assert elsewhere.is_dir()
    assert elsewhere.name.startswith("annie-quant-")


def test_the_machine_is_told_by_the_flags_of_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "flags\t: a b\nmodel name\t: x\nFeatures : c\nflags\t: a b\n"
    monkeypatch.setattr(Path, "read_text", lambda _: lines)
    assert nvfp4_native._cpu() == f"{platform.machine()}Features : cflags\t: a b"

    def missing(_: Path) -> str:
        raise OSError("no such file")

    monkeypatch.setattr(Path, "read_text", missing)
    assert nvfp4_native._cpu() == platform.machine() + platform.processor()


def test_there_is_a_function_for_each_arithmetic_and_dtype_with_its_number_of_tensors() -> None:
    need_native()
    library = nvfp4_native._library()
    assert library is not None
    tensors = {"export": 2, "emulation": 2, "fp8": 2, "scaled": 3, "sweep": 2}
    assert set(library) == {(name, dtype) for name in tensors for dtype in DTYPES}
    for (name, _), function in library.items():
        types: tuple[object, ...] = function.argtypes  # type: ignore[attr-defined]
        assert types == (*[ctypes.c_void_p] * tensors[name], ctypes.c_int64, ctypes.c_float)
        assert function.restype is None  # type: ignore[attr-defined]
