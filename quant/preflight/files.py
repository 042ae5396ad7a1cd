"""Preflight checks of files: present, complete, safe to load, and each tensor is in exactly one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quant.checkpoint.atomic import INCOMPLETE, REFUSED
from quant.checkpoint.loading import not_a_checkpoint
from quant.checkpoint.safetensors_file import BadFile
from quant.checkpoint.templates import LARGEST, template_text, turn_end
from quant.checkpoint.untrusted import read_bytes
from quant.checkpoint.view import INDEX, Problem, View, read_json
from quant.images import Image

_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".dill"}
_LEFTOVERS = {".partial", ".tmp", ".temp", ".incomplete", ".renamed", ".untied", ".download", ".part", ".lock"}
_CODE = {".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".exe", ".sh"}
_READ = {".json", ".jinja", ".safetensors"}
#: `.model.safetensors.Xa91Bc`: rsync's temporary name for an incomplete file.
_RSYNC = re.compile(r"^\..*\.[A-Za-z0-9]{6}$")
_SHARD = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.safetensors$")
#: `hf download --local-dir` keeps locks and file metadata here; no server reads it.
_DOWNLOADED = (".cache", "huggingface")
AGAIN = "copy or export the checkpoint again"


def directory_findings(directory: Path, *, being_built: bool) -> Iterator[Problem]:
    """Findings that need only the names of the files."""
    if not directory.is_dir():
        yield Problem(1, str(directory), "is no directory", "give the directory that holds config.json")
        return
    if what := not_a_checkpoint(directory):
        yield Problem(1, "config.json", f"is missing: the directory {what}", "serve the merged model")
    if not any(directory.iterdir()):
        yield Problem(1, str(directory), "is empty", "export or copy the checkpoint into it")
        return
    half = (directory / INCOMPLETE).exists() or re.match(r"^\..*\.partial-\d+", directory.name)
    if half and not being_built:
        yield Problem(1, f"{directory.name}/{INCOMPLETE}", "its build never ended", "make the checkpoint again")
    if (directory / REFUSED).is_file():
        with (directory / REFUSED).open(errors="replace") as stream:
            reason = stream.read(300).partition("\n")[0]
        yield Problem(1, REFUSED, f"the command that made it refused it: {reason}", "fix that and make it again")
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        parts = path.relative_to(directory).parts
        if (parts[:2] == _DOWNLOADED or parts[0] == ".huggingface") and not path.is_symlink():
            continue
        if path.is_symlink():
            yield from _link_findings(directory, path, name)
        elif path.is_file():
            if path.suffix.lower() in _PICKLES:
                yield Problem(1, name, "is a pickle file, which runs code when loaded", "remove it")
            elif path.suffix.lower() in _LEFTOVERS and not being_built:
                yield Problem(1, name, "is left from an interrupted write", AGAIN)
            elif _RSYNC.match(path.name) and path.name[1:-7] and (".safetensors" in path.name or ".json" in path.name):
                yield Problem(1, name, "is left from an interrupted copy", AGAIN)
            elif path.suffix.lower() in _CODE:
                yield Problem(1, name, "is code, and no checkpoint of this project needs any", "remove it")
            elif path.stat().st_size == 0:
                yield Problem(1, name, "is empty", AGAIN)


def unreadable_findings(directory: Path) -> list[Problem]:
    """Findings about entries that must not be opened: pipes and devices, also behind links, and directories named like
    files.
    """
    found = []
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.exists() and not path.is_file() and not path.is_dir():
            found.append(Problem(1, name, "is no regular file", AGAIN))
        elif path.is_dir() and path.suffix in _READ and path.parent == directory:
            found.append(Problem(1, name, "is a directory, but must be a file", AGAIN))
    return found


def _link_findings(directory: Path, path: Path, name: str) -> Iterator[Problem]:
    try:
        target = path.resolve()
    except (OSError, RuntimeError):
        yield Problem(1, name, "is a link to itself", AGAIN)
        return
    root = directory.resolve()
    hub = root.parent.parent / "blobs"  # snapshots of a hub cache link to ../../blobs
    if not target.exists():
        yield Problem(1, name, "is a link to nothing", AGAIN)
    elif not target.is_relative_to(root) and not target.is_relative_to(hub):
        yield Problem(1, name, f"is a link out of the directory, to {target}", "replace it by the file (cp -L)")


def weight_file_findings(view: View) -> Iterator[Problem]:
    """Findings about shards, their headers and the index."""
    if not view.weight_files:
        yield Problem(1, str(view.directory), "holds no *.safetensors", "export the checkpoint again")
        return
    for name, problem in view.bad_files.items():
        yield Problem(1, name, problem, AGAIN)
    for tensor, (first, second) in view.duplicates.items():
        yield Problem(2, f"{second}: {tensor}", f"is also in {first}", "keep one of them")
    shards = [match for name in view.weight_files if (match := _SHARD.match(name))]
    for match in shards:
        wanted = {f"{match[1]}-{n:05d}-of-{match[3]}.safetensors" for n in range(1, int(match[3]) + 1)}
        for name in sorted(wanted - set(view.weight_files)):
            yield Problem(1, name, f"is missing, but {match[0]} says that there are {int(match[3])} shards", AGAIN)
        break
    if view.index is None:
        if len(view.weight_files) > 1:
            yield Problem(1, INDEX, f"is missing, but there are {len(view.weight_files)} weight files", AGAIN)
        return
    for name in sorted(set(view.index.values()) - set(view.weight_files)):
        yield Problem(1, f"{INDEX}: {name}", "is named in the index, but there is no such file", AGAIN)
    for name in sorted(set(view.weight_files) - set(view.index.values())):
        yield Problem(1, name, f"is not named in {INDEX}", "remove the file, or export again")
    for tensor, file in view.index.items():
        at = view.tensors.get(tensor)
        if at is None and file in view.weight_files and file not in view.bad_files:
            yield Problem(2, f"{INDEX}: {tensor}", f"is said to be in {file}, but is not", AGAIN)
        elif at is not None and at.file != file and tensor not in view.duplicates:
            yield Problem(2, f"{INDEX}: {tensor}", f"is said to be in {file}, but is in {at.file}", AGAIN)
    for tensor, at in view.tensors.items():
        if tensor not in view.index:
            yield Problem(2, f"{at.file}: {tensor}", f"is not in {INDEX}, so it may not be loaded", AGAIN)


_JSON = (
    "tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json",
    "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json",
)  # fmt: skip


def tokenizer_findings(view: View, image: Image | None = None) -> Iterator[Problem]:
    """Findings about tokenizer, chat template and generation config, and their agreement with the config (point 9)."""
    directory = view.directory
    contents: dict[str, Any] = {}
    for name in _JSON:
        path = directory / name
        if path.exists():
            try:
                contents[name] = read_json(path)
                if not isinstance(contents[name], dict):
                    raise BadFile("is no JSON object")
            except BadFile as error:
                contents.pop(name, None)
                yield Problem(9, name, str(error), "take the file from the BF16 checkpoint")
    if not any((directory / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        yield Problem(9, "tokenizer.json", "is missing", "take the tokenizer files from the BF16 checkpoint")
    if not (directory / "tokenizer_config.json").exists():
        yield Problem(9, "tokenizer_config.json", "is missing", "take the tokenizer files from the BF16 checkpoint")
    vocabulary = _vocabulary(contents.get("tokenizer.json", {}))
    if "tokenizer.json" in contents and not vocabulary:
        yield Problem(9, "tokenizer.json", "holds no vocabulary", "take the tokenizer files from the BF16 checkpoint")
    size = view.text_config.get("vocab_size")
    if vocabulary and isinstance(size, int) and max(vocabulary.values()) >= size:
        token = max(vocabulary, key=lambda t: vocabulary[t])
        problem = f"knows token {vocabulary[token]} ({token!r}), but config.json says vocab_size {size}"
        yield Problem(9, "tokenizer.json", problem, "take tokenizer and config from the same checkpoint")
    settings = contents.get("tokenizer_config.json", {})
    for name, content in {"config.json": view.config, **contents}.items():
        if content.get("auto_map"):
            yield Problem(7, f"{name}: auto_map", "asks for remote code, which is not run", "remove auto_map")
    if view.config.get("model_type") == "qwen3_5_text" and settings.get("tokenizer_class") == "Qwen2Tokenizer":
        problem = "Qwen2Tokenizer splits combining marks otherwise than Qwen3.5 was trained"
        yield Problem(9, "tokenizer_config.json: tokenizer_class", problem, "write TokenizersBackend")
    yield from _class_findings(contents, image)
    yield from _id_findings(view, contents)
    yield from _stop_findings(view, contents, vocabulary)


#: Tokenizer classes that transformers 5 always builds like SentencePiece, or always byte-level.
_SENTENCE_PIECE = {
    "AlbertTokenizer", "BarthezTokenizer", "BertTokenizer", "BigBirdTokenizer", "CamembertTokenizer",
    "CodeLlamaTokenizer", "DebertaV2Tokenizer", "GemmaTokenizer", "LlamaTokenizer", "MBart50Tokenizer",
    "MBartTokenizer", "NllbTokenizer", "PegasusTokenizer", "ReformerTokenizer", "RemBertTokenizer",
    "SeamlessM4TTokenizer", "T5Tokenizer", "XGLMTokenizer", "XLMRobertaTokenizer", "XLNetTokenizer",
}  # fmt: skip


_BYTE_LEVEL = {"GPT2Tokenizer", "GPTNeoXTokenizer", "Qwen2Tokenizer", "CohereTokenizer", "RobertaTokenizer"}


def _class_findings(contents: dict[str, Any], image: Image | None) -> Iterator[Problem]:
    """Check that the image's transformers builds from the tokenizer class what tokenizer.json describes."""
    settings, tokenizer = contents.get("tokenizer_config.json", {}), contents.get("tokenizer.json", {})
    kind, where = settings.get("tokenizer_class"), "tokenizer_config.json"
    older = image is not None and image.release.transformers_4
    fix = f"run: annie-quant export DIR --for {image.name} --out NEW" if image is not None else ""
    parts = json.dumps([tokenizer.get(part) for part in ("normalizer", "pre_tokenizer", "decoder")])
    byte_level = '"ByteLevel"' in parts
    pieces = '"Metaspace"' in parts or '"\\u2581"' in parts
    if isinstance(kind, str) and kind.removesuffix("Fast") in _BYTE_LEVEL and pieces and not byte_level and not older:
        problem = f"is {kind}, which transformers 5 builds over bytes, but tokenizer.json is SentencePiece's"
        yield Problem(9, f"{where}: tokenizer_class", problem, "write PreTrainedTokenizerFast")
    if isinstance(kind, str) and kind.removesuffix("Fast") in _SENTENCE_PIECE and byte_level and not older:
        problem = f"is {kind}, which transformers 5 builds like SentencePiece, but tokenizer.json is byte-level"
        yield Problem(9, f"{where}: tokenizer_class", problem, "write PreTrainedTokenizerFast")
    if older and image is not None and kind == "TokenizersBackend":
        problem = f"is TokenizersBackend, which {image.name} (transformers 4) does not know"
        yield Problem(9, f"{where}: tokenizer_class", problem, fix)
    if older and image is not None and isinstance(settings.get("extra_special_tokens"), list):
        problem = f"is a list, of which {image.name} (transformers 4) wants the keys"
        yield Problem(9, f"{where}: extra_special_tokens", problem, fix)


def _id_findings(view: View, contents: dict[str, Any]) -> Iterator[Problem]:
    """Check that token ids in the configs are in the vocabulary; those that end answers are checked elsewhere."""
    size = view.text_config.get("vocab_size")
    if not isinstance(size, int):
        return
    generation = contents.get("generation_config.json", {})
    parts = {"config.json": view.config, "generation_config.json": generation}
    if view.text_config is not view.config:
        parts["config.json: text_config"] = view.text_config
    for where, part in parts.items():
        for key, value in part.items():
            if not key.endswith(("_token_id", "_token_ids", "_token_index")) or key == "eos_token_id":
                continue
            for token in _ids(value):
                if isinstance(token, int) and not isinstance(token, bool) and token >= size:
                    problem = f"is {token}, but the vocabulary has {size} tokens"
                    yield Problem(9, f"{where}: {key}", problem, "take the BF16 checkpoint's")
    decoder = contents.get("tokenizer_config.json", {}).get("added_tokens_decoder")
    for number, entry in decoder.items() if isinstance(decoder, dict) else ():
        if str(number).isdecimal() and int(number) >= size:
            shown = entry.get("content") if isinstance(entry, dict) else entry
            problem = f"gives {shown!r:.40} the id {number}, but the vocabulary has {size} tokens"
            yield Problem(9, "tokenizer_config.json: added_tokens_decoder", problem, "take the BF16 checkpoint's")


def _vocabulary(tokenizer: dict[str, Any]) -> dict[str, int]:
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    found = dict(vocabulary) if isinstance(vocabulary, dict) else {}
    for entry in tokenizer.get("added_tokens") or []:
        if isinstance(entry, dict) and isinstance(entry.get("id"), int):
            found[str(entry.get("content"))] = entry["id"]
    return {token: number for token, number in found.items() if isinstance(number, int)}


def _ids(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _stop_findings(view: View, contents: dict[str, Any], vocabulary: dict[str, int]) -> Iterator[Problem]:
    generation = contents.get("generation_config.json")
    if generation is None and (view.directory / "generation_config.json").exists():
        return
    size = view.text_config.get("vocab_size")
    stops = _ids((generation or {}).get("eos_token_id"))
    for stop in stops:
        if not isinstance(stop, int) or (isinstance(size, int) and not 0 <= stop < size):
            problem = f"{stop!r} is no token of a vocabulary of {size}"
            yield Problem(9, "generation_config.json: eos_token_id", problem, "take the BF16 checkpoint's")
    text = template_text(view.directory)
    yield from _template_findings(view.directory / "chat_template.jinja", text)
    declared = stops or _ids(view.text_config.get("eos_token_id")) or _ids(view.config.get("eos_token_id"))
    for where, part in (("config.json: eos_token_id", view.config), ("config.json: text_config", view.text_config)):
        for stop in _ids(part.get("eos_token_id")):
            if isinstance(size, int) and (not isinstance(stop, int) or not 0 <= stop < size):
                yield Problem(
                    9, where, f"{stop!r:.40} is no token of a vocabulary of {size}", "take the BF16 checkpoint's"
                )
        if view.text_config is view.config:
            break
    token = turn_end(text)
    end = vocabulary.get(token) if token is not None else None
    if token is not None and vocabulary and end is None:
        problem = f"knows no {token}, which ends a turn in the chat template"
        yield Problem(9, "tokenizer.json", problem, "take tokenizer and template from the BF16 checkpoint")
    if end is not None and end not in declared:
        problem = f"does not name {end} ({token}), which ends a turn in the chat template: answers would not stop"
        yield Problem(9, "generation_config.json: eos_token_id", problem, f"add {end}")


def _template_findings(path: Path, text: str) -> Iterator[Problem]:
    """Check that the chat template is UTF-8 and compiles; otherwise every request to the server fails."""
    from jinja2 import TemplateSyntaxError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import SandboxedEnvironment

    class Generation(Extension):
        """transformers' `generation` tag for templates."""

        tags = {"generation"}  # noqa: RUF012 (Jinja's attribute)

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    fix = "take the template of the BF16 checkpoint"
    try:
        raw = read_bytes(path, LARGEST) if path.is_file() else b""
    except BadFile as error:
        yield Problem(9, path.name, str(error), fix)
        return
    if raw and "\ufffd" in text and b"\xef\xbf\xbd" not in raw:
        yield Problem(9, path.name, "is not UTF-8", fix)
        return
    try:
        SandboxedEnvironment(extensions=[loopcontrols, Generation]).parse(text)
    except TemplateSyntaxError as error:
        yield Problem(9, path.name, f"is no Jinja template: {error.message}, line {error.lineno}", fix)
    except RecursionError:
        yield Problem(9, path.name, "is nested too deep to be a Jinja template", fix)
