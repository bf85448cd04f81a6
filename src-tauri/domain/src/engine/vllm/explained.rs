//! Why the writer of vLLM's command gives each word of its own, and what published commands have in its place.

/// See [`Engine::explained`](crate::engine::Engine::explained).
pub(super) const EXPLAINED: &[(&str, &str)] = &[
    (
        "model",
        "The checkpoint is read from its folder in the machine's Hugging Face cache, at the revision that was fetched: nothing is fetched at the start, and both machines serve the same bytes.",
    ),
    (
        "--served-model-name",
        "Requests name the model so. Without it they would have to name a folder inside the container.",
    ),
    (
        "--tokenizer",
        "The tokenizer is that of another artifact of the recipe.",
    ),
    (
        "--tensor-parallel-size",
        "Always the number of machines: a Spark has one GPU.",
    ),
    (
        "--max-model-len",
        "The context is always named, so that the forecast of memory holds.",
    ),
    (
        "--gpu-memory-utilization",
        "The share is always named: what vLLM takes without it went from 0.90 to 0.92 in version 0.20, and the system needs its part of the same memory.",
    ),
    (
        "--distributed-executor-backend",
        "The ranks are started by Tandem, one container a machine, without Ray.",
    ),
    ("--nnodes", "The number of machines."),
    ("--node-rank", "The machine's place among those that serve."),
    (
        "--master-addr",
        "The head's own address on the private link.",
    ),
    ("--master-port", "The port at which the ranks meet."),
    (
        "--speculative-config",
        "Written without spaces, so that no shell on the way can part it.",
    ),
    (
        "--host",
        "The API listens on loopback. The app reaches it through its SSH tunnel, and nothing else in the network does.",
    ),
    (
        "--port",
        "The port that was chosen for the API, always named.",
    ),
    ("--allowed-origins", "No page of a browser may use the API."),
    ("--headless", "A rank above 0 has no API."),
    (
        "--trust-remote-code",
        "The code that comes with the checkpoint runs where the recipe has a reason for it.",
    ),
    ("env:HF_HOME", "The cache's own place inside the container."),
    (
        "env:HF_HUB_OFFLINE",
        "The weights are there and checked; nothing is fetched at the start.",
    ),
    (
        "env:HF_TOKEN_PATH",
        "No login is given to the container, and none that came with the image is used.",
    ),
    (
        "env:HF_HUB_DISABLE_IMPLICIT_TOKEN",
        "No login is used by itself.",
    ),
    (
        "env:HF_MODULES_CACHE",
        "The checkpoint is mounted read-only, so code that comes with it is unpacked elsewhere.",
    ),
    ("env:VLLM_NO_USAGE_STATS", "Nothing is reported to anybody."),
    ("env:DO_NOT_TRACK", "Nothing is reported to anybody."),
    (
        "env:VLLM_ENGINE_READY_TIMEOUT_S",
        "A cold start over two machines takes longer than the ten minutes that vLLM waits by itself.",
    ),
    (
        "env:VLLM_HOST_IP",
        "The rank announces its address on the private link; by itself it takes that of the default route.",
    ),
    (
        "env:HF_TOKEN",
        "The weights are fetched before the launch, and the container gets no login.",
    ),
];
