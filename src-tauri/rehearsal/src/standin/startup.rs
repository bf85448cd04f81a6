//! From the command line to a server that answers, with the lines of the real one on the way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

use super::api::{VERSION, handle};
use super::args::Args;
use super::engine::Engine;
use super::link::Link;
use super::log::{Failure, Part, headless, take};
use super::metrics::Metrics;
use super::model::Model;
use super::mtp;

/// Takes the API's port without listening on it yet, so that it is refused until all is ready.
async fn bind(args: &Args) -> Result<TcpSocket, Failure> {
    let (host, port) = (
        args.value("--host").unwrap_or("0.0.0.0"),
        args.number("--port", 8000),
    );
    let failed = |error: io::Error| {
        Failure::Config(match error.kind() {
            io::ErrorKind::AddrInUse => "OSError: [Errno 98] Address already in use".into(),
            _ => format!("OSError: {error}"),
        })
    };
    let address: SocketAddr = tokio::net::lookup_host((host, port as u16))
        .await
        .map_err(failed)?
        .next()
        .ok_or_else(|| {
            Failure::Config(format!(
                "socket.gaierror: [Errno -2] Name or service not known: {host}"
            ))
        })?;
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
    .map_err(failed)?;
    // With SO_REUSEADDR two sockets may be bound while neither listens: look whether one answers.
    if std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
        return Err(failed(io::ErrorKind::AddrInUse.into()));
    }
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(address).map_err(failed)?;
    Ok(socket)
}

fn banner(args: &Args) {
    for line in [
        "",
        "       █     █     █▄   ▄█",
        &format!(" ▄▄ ▄█ █     █     █ ▀▄▀ █  version {VERSION}"),
        &format!("  █▄█▀ █     █     █     █  model   {}", args.model),
        "   ▀▀  ▀▀▀▀▀ ▀▀▀▀▀ ▀     ▀",
        "Tandem's stand-in for vLLM: simulated, no model is run.",
    ] {
        Part::Api.info(line);
    }
    Part::Api.info(&format!("non-default args: {}", args.shown()));
}

fn clock(seconds: f64) -> String {
    let s = seconds.round() as u64;
    format!("{:02}:{:02}", s / 60, s % 60)
}

/// The bar over all files. Only the first rank has one.
async fn shards(part: Part, rank: u64, count: usize, seconds: f64) {
    let each = seconds / count.max(1) as f64;
    for done in 0..=count {
        if done > 0 {
            take(each).await;
        }
        if rank > 0 {
            continue;
        }
        let percent = 100 * done / count.max(1);
        let (gone, left) = (
            clock(each * done as f64),
            clock(each * (count - done) as f64),
        );
        let tail = if done == 0 {
            format!("[{gone}<?, ?it/s]")
        } else {
            format!("[{gone}<{left}, {:5.2}it/s]", 1.0 / each.max(1e-6))
        };
        part.bare(&format!(
            "Loading safetensors checkpoint shards: {percent:3}% Completed | {done}/{count} {tail}"
        ));
    }
    if rank == 0 {
        part.bare("");
    }
}

fn graphs(part: Part, what: &str, count: u32) {
    let bar = |done: u32| {
        let percent = 100 * done / count;
        format!(
            "Capturing CUDA graphs ({what}): {percent:3}%|{}| {done}/{count} [00:00<00:00, 9.10it/s]",
            "█".repeat(done as usize)
        )
    };
    // The real bar rewrites itself with carriage returns, which a container's log keeps in one line.
    let states: Vec<String> = (0..=count).map(bar).collect();
    part.bare(&states.join("\r"));
}

/// The ranks: how many, and which this is.
fn ranks(args: &Args) -> Result<(u64, u64), Failure> {
    let tensor = args.number("--tensor-parallel-size", 1);
    let world = tensor * args.number("--pipeline-parallel-size", 1);
    let (nodes, rank) = (args.number("--nnodes", 1), args.number("--node-rank", 0));
    if nodes == 0 || !world.is_multiple_of(nodes) {
        return Err(Failure::Config(format!(
            "AssertionError: world_size={world} must be divisible by nnodes={nodes}."
        )));
    }
    if rank >= nodes {
        return Err(Failure::Config(format!(
            "ValueError: node_rank ({rank}) must be less than nnodes ({nodes})"
        )));
    }
    if world / nodes > 1 {
        return Err(Failure::Config(format!(
            "ValueError: World size ({}) is larger than the number of available GPUs (1) in this node. If this is intended and you are using:\n- ray, set '--distributed-executor-backend ray'.\n- multiprocessing, set '--nnodes' appropriately.",
            world / nodes
        )));
    }
    if rank > 0 && !args.flag("--headless") {
        return Err(Failure::Config(
            "AssertionError: rpc_broadcast_mq is only set on the leader node".into(),
        ));
    }
    Ok((nodes, rank))
}

/// Loads what there is to load; both ranks do this at the same time.
async fn load(
    args: &Args,
    model: &mut Model,
    rank: u64,
    drafting: Option<&mtp::Drafting>,
) -> Result<(), Failure> {
    let part = Part::Rank(rank);
    let started = Instant::now();
    if rank == 0 {
        part.info(&format!("Starting to load model {}...", args.model));
    }
    if model.quantized() {
        part.info("Using 'FLASHINFER_CUTLASS' NvFp4 MoE backend out of potential backends: ['FLASHINFER_TRTLLM', 'FLASHINFER_CUTLASS', 'VLLM_CUTLASS', 'MARLIN', 'EMULATION'].");
    }
    take(0.1).await;
    part.info(&format!(
        "Filesystem type for checkpoints: EXT4. Checkpoint size: {:.2} GiB. Available RAM: 111.20 GiB.",
        model.bytes as f64 / f64::from(1 << 30)
    ));
    let loading = Instant::now();
    shards(part, rank, model.files.len(), 0.7).await;
    part.info(&format!(
        "Loading weights took {:.2} seconds",
        loading.elapsed().as_secs_f64()
    ));
    if let Some(drafting) = drafting {
        part.info("Loading drafter model...");
        let files = drafting.load(model)?;
        let loading = Instant::now();
        shards(part, rank, files, 0.25).await;
        part.info(&format!(
            "Loading weights took {:.2} seconds",
            loading.elapsed().as_secs_f64()
        ));
        part.info(
            "Detected MTP model. Sharing target model embedding weights with the draft model.",
        );
    }
    part.info(&format!(
        "Model loading took {:.2} GiB memory and {:.6} seconds",
        model.bytes as f64 / f64::from(1 << 30) / 2.0,
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}

async fn warm(args: &Args, rank: u64) {
    let part = Part::Rank(rank);
    if !args.flag("--enforce-eager") {
        take(0.15).await;
        part.info("Dynamo bytecode transform time: 0.15 s");
        take(0.2).await;
        part.info("torch.compile took 0.35 s in total");
    }
    take(0.15).await;
    part.info("Initial profiling/warmup run took 0.15 s");
    part.info("Available KV cache memory: 36.12 GiB");
    if rank == 0 {
        let length = args.number("--max-model-len", 262_144);
        Part::Engine.info("GPU KV cache size: 2,968,516 tokens");
        Part::Engine.info(&format!(
            "Maximum concurrency for {length} tokens per request: {:.2}x",
            2_968_516.0 / length.max(1) as f64
        ));
    }
    if !args.flag("--enforce-eager") {
        take(0.2).await;
        if rank == 0 {
            graphs(part, "mixed prefill-decode, PIECEWISE", 7);
            graphs(part, "decode, FULL", 5);
        }
        part.info("Graph capturing finished in 0 secs, took 0.71 GiB");
    }
}

/// Lines about the last seconds, while there is something to tell.
async fn report(engine: Arc<Engine>) {
    let mut before = engine.metrics.read();
    loop {
        take(10.0).await;
        let now = engine.metrics.read();
        if now.generation_tokens == before.generation_tokens && now.running == 0 {
            continue;
        }
        Part::Api.info(&format!(
            "Engine 000: Avg prompt throughput: {:.1} tokens/s, Avg generation throughput: {:.1} tokens/s, Running: {} reqs, Waiting: 0 reqs, GPU KV cache usage: {:.1}%, Prefix cache hit rate: 0.0%",
            (now.prompt_tokens - before.prompt_tokens) as f64 / 10.0,
            (now.generation_tokens - before.generation_tokens) as f64 / 10.0,
            now.running,
            now.running as f64 * 0.4
        ));
        let (drafts, drafted, accepted) = (
            now.drafts - before.drafts,
            now.draft_tokens - before.draft_tokens,
            now.accepted - before.accepted,
        );
        if drafts > 0 {
            let per: Vec<String> = now
                .accepted_at
                .iter()
                .enumerate()
                .map(|(i, n)| {
                    format!(
                        "{:.3}",
                        (n - before.accepted_at.get(i).unwrap_or(&0)) as f64 / drafts as f64
                    )
                })
                .collect();
            Part::Api.info(&format!(
                "SpecDecoding metrics: Mean acceptance length: {:.2}, Accepted throughput: {:.2} tokens/s, Drafted throughput: {:.2} tokens/s, Accepted: {accepted} tokens, Drafted: {drafted} tokens, Per-position acceptance rate: {}, Avg Draft acceptance rate: {:.1}%",
                1.0 + accepted as f64 / drafts as f64,
                accepted as f64 / 10.0,
                drafted as f64 / 10.0,
                per.join(", "),
                100.0 * accepted as f64 / drafted as f64
            ));
        }
        before = now;
    }
}

/// Runs the server until `stop`, or the worker until its head goes away.
pub(crate) async fn run(args: Args, stop: CancellationToken) -> Result<(), Failure> {
    let (nodes, rank) = ranks(&args)?;
    let socket = if args.flag("--headless") {
        headless();
        None
    } else {
        Some(bind(&args).await?)
    };
    if rank == 0 {
        banner(&args);
    } else {
        Part::Api.info(&format!(
            "Launching vLLM (v{VERSION}) headless multiproc executor, with head node address {}:{} for torch.distributed process group. Tandem's stand-in: simulated.",
            args.value("--master-addr").unwrap_or("127.0.0.1"),
            args.number("--master-port", 29501)
        ));
    }
    take(0.1).await;
    let mut model = Model::configure(&args)?;
    let mut drafting = mtp::drafted(&args, &model)?;
    Part::Api.info(&format!("Resolved architecture: {}", model.architecture()));
    let max_len = args.number(
        "--max-model-len",
        model.text("max_position_embeddings") as u64,
    );
    Part::Api.info(&format!("Using max model len {max_len}"));
    if drafting.is_some() {
        Part::Api.info("Resolved architecture: Step3p5MTP");
    }
    take(0.1).await;
    if rank == 0 {
        Part::Engine.info(&format!(
            "Initializing a V1 LLM engine (v{VERSION}) with config: model='{}', speculative_config={}, [...]",
            args.model,
            drafting.as_ref().map_or("None".into(), |d| format!("SpeculativeConfig(method='mtp', model='{}', num_spec_tokens={})", d.place(&model), d.tokens))
        ));
    }
    let (address, port) = (
        args.value("--master-addr").unwrap_or("127.0.0.1"),
        args.number("--master-port", 29501),
    );
    Part::Worker.info(&format!(
        "world_size={nodes} rank={rank} local_rank=0 distributed_init_method=tcp://{address}:{port} backend=nccl"
    ));
    model.open()?;
    let mut fingerprint = model.fingerprint.clone();
    if let Some(drafting) = &mut drafting {
        drafting.open()?;
        fingerprint.push_str(drafting.fingerprint());
    }
    let link = if nodes > 1 {
        Some(Link::meet(&args, rank, &fingerprint).await?)
    } else {
        None
    };
    if rank == 0 {
        Part::Worker.info("vLLM is using nccl==2.28.9");
    }
    Part::Worker.info(&format!(
        "rank {rank} in world size {nodes} is assigned as DP rank 0, PP rank 0, PCP rank 0, TP rank {rank}, EP rank {rank}, EPLB rank N/A"
    ));
    let started = Instant::now();
    load(&args, &mut model, rank, drafting.as_ref()).await?;
    let drafting = drafting.map(|d| d.tokens);
    warm(&args, rank).await;
    let Some(socket) = socket else {
        if let Some(link) = link {
            link.follow().await;
        }
        Part::Worker.info("Parent process exited, terminating worker queues");
        return Ok(());
    };
    Part::Engine.info(&format!(
        "init engine (profile, create kv cache, warmup model) took {:.2} s",
        started.elapsed().as_secs_f64()
    ));
    let seconds = std::env::var("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(300);
    let engine = Arc::new(Engine {
        served: args.served.clone(),
        root: args.model.clone(),
        max_len,
        drafting,
        link,
        patience: Duration::from_secs(seconds),
        metrics: Metrics::default(),
        key: args
            .value("--api-key")
            .map(str::to_owned)
            .or_else(|| std::env::var("VLLM_API_KEY").ok()),
        origins: args.allowed_origins(),
        requests: AtomicU64::new(0),
    });
    Part::Api.info("Supported tasks: ['generate']");
    Part::Api.info(&format!(
        "Starting vLLM server on http://{}:{}",
        args.value("--host").unwrap_or("0.0.0.0"),
        args.number("--port", 8000)
    ));
    let listener = socket
        .listen(1024)
        .map_err(|e| Failure::Config(format!("OSError: {e}")))?;
    Part::Api.bare(&format!(
        "INFO:     Started server process [{}]",
        std::process::id()
    ));
    Part::Api.bare("INFO:     Waiting for application startup.");
    Part::Api.bare("INFO:     Application startup complete.");
    tokio::spawn(report(engine.clone()));
    crate::wire::serve(listener, stop, move |request| {
        handle(engine.clone(), request)
    })
    .await;
    Ok(())
}
