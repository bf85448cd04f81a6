use super::*;
use crate::engine::{Engine, vllm::VllmEngine};
use crate::graft;

/// The tables as a launch with grafted layers has them.
fn tables() -> [&'static [Cause]; 5] {
    let engine = &VllmEngine;
    [
        engine.causes(),
        graft::causes::CAUSES,
        CAUSES,
        engine.consequences(),
        CONSEQUENCES,
    ]
}

fn logs(head: &str, worker: &str) -> Vec<(String, Vec<String>)> {
    [("spark-a", head), ("spark-b", worker)]
        .map(|(name, text)| (name.to_owned(), text.lines().map(str::to_owned).collect()))
        .to_vec()
}

fn found(head: &str, worker: &str) -> Option<(&'static str, String)> {
    let logs = logs(head, worker);
    find(&tables(), &logs).map(|f| (f.id().0, f.machine.to_owned()))
}

const GONE: &str = "(Worker_TP0 pid=90) ERROR 11-20 09:15:58 [multiproc_executor.py:772] torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:3690, remote process exited or there was a network error, NCCL version 2.28.9\n\
(Worker_TP0 pid=90) ERROR 11-20 09:15:58 [multiproc_executor.py:772] ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.";

#[test]
fn an_unknown_end_says_so() {
    let logs = [("a".into(), vec!["ERROR boom".into()])];
    let problem = explain(&[CAUSES, CONSEQUENCES], &logs, "It ended with 1");
    assert_eq!(problem.code, Code::ServerDied);
    assert_eq!(problem.details, vec!["a: ERROR boom"]);
}

#[test]
fn a_consequence_never_hides_what_another_rank_says() {
    for (worker, id) in [
        (
            "(Worker_TP1 pid=88) ERROR 11-20 09:15:44 [multiproc_executor.py:772] torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device",
            "gpu-code-missing",
        ),
        (
            "(Worker_TP1 pid=66) ERROR 11-20 12:00:44 [multiproc_executor.py:772] safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer",
            "weights-damaged",
        ),
        (
            "(Worker_TP1 pid=301) ERROR 11-20 10:01:07 [multiproc_executor.py:772] zmq.error.ZMQError: Address already in use (addr='tcp://192.168.100.11:40043')",
            "port-of-its-own-taken",
        ),
    ] {
        assert_eq!(found(GONE, worker), Some((id, "spark-b".into())));
    }
    assert_eq!(found(GONE, "").map(|f| f.0), Some("ranks-silent"));
}

#[test]
fn what_no_table_knows_is_told_in_its_own_words_of_the_rank_that_failed_first() {
    let worker = "(Worker_TP1 pid=88) WARNING 11-20 09:00:00 [system_utils.py:299] Found ulimit of 20000. This can cause errors like `OSError: [Errno 24] Too many open files`.\n\
        (Worker_TP1 pid=88) ERROR 11-20 09:15:44 [multiproc_executor.py:772] WorkerProc failed to start.\n\
        (Worker_TP1 pid=88) ERROR 11-20 09:15:44 [multiproc_executor.py:772] KeyError: 'rope_parameters'";
    let head = format!(
        "{GONE}\n(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}"
    );
    let logs = logs(&head, worker);
    assert!(find(&tables(), &logs).is_none());
    assert!(is_told(&tables(), &logs));
    let problem = explain(&tables(), &logs, "`spark-a` ended with 1");
    assert_eq!(problem.machine.as_deref(), Some("spark-b"));
    let cause = problem.cause.expect("a cause");
    assert!(cause.ends_with("KeyError: 'rope_parameters'"), "{cause}");
    assert_eq!(problem.details, ["spark-b: KeyError: 'rope_parameters'"]);
    let later =
        "(Worker_TP0 pid=9) ERROR 11-20 09:15:59 [multiproc_executor.py:772] TypeError: later";
    let both = self::logs(later, worker);
    let problem = explain(&tables(), &both, "ended");
    assert_eq!(
        problem.machine.as_deref(),
        Some("spark-b"),
        "it failed first"
    );
}

#[test]
fn words_that_also_occur_harmlessly_count_only_where_they_are_a_cause() {
    let elsewhere = "(EngineCore_DP0 pid=140) ERROR 11-20 14:09:12 [core.py:588] Traceback (most recent call last):\n\
        (EngineCore_DP0 pid=140) ERROR 11-20 14:09:12 [core.py:588]   File \"/usr/local/lib/python3.12/dist-packages/vllm/model_executor/layers/rotary_embedding.py\", line 1203, in get_next_input_positions_tensor\n\
        (EngineCore_DP0 pid=140) ERROR 11-20 14:09:12 [core.py:588] IndexError: list index out of range";
    assert_eq!(found(elsewhere, ""), None);
    let layers = elsewhere.replace("layers/rotary_embedding.py", "models/step3p5_mtp.py");
    assert_eq!(found(&layers, "").map(|f| f.0), Some("lists-short"));
    let loading = "spark-a:2981:3113 [0] graph/search.cc:1135 NCCL WARN Could not find a path for pattern 4, falling back to simple order\n\
        (Worker_TP0 pid=66) Loading safetensors checkpoint shards:  36% Completed | 5/14 [27:31<49:51, 332.40s/it]";
    assert_eq!(found(loading, ""), None);
    assert!(
        !is_told(&tables(), &logs(loading, "")),
        "it is slow and no more"
    );
    let waits = "[rank1]:[W1126 19:49:10.100000000 socket.cpp:767] [c10d] The client socket has failed to connect to any network address of (192.0.2.77, 29710).";
    assert_eq!(found("", waits), None, "it tries again");
}

#[test]
fn what_runs_still_is_not_explained_by_a_consequence() {
    assert!(!is_told(&tables(), &logs(GONE, "")));
    let died = "(Worker_TP1 pid=88) ERROR 11-20 09:15:44 [x.py:1] KeyError: 'a'";
    assert!(is_told(&tables(), &logs(GONE, died)));
}

#[test]
fn ends_that_people_report_have_a_cause_and_a_cure() {
    for (line, id) in [
        (
            "(EngineCore_DP0 pid=99) ERROR 11-20 08:08:08 [core.py:866] RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 803: system has unsupported display driver / cuda driver combination",
            "driver-does-not-fit",
        ),
        (
            "(EngineCore_DP0 pid=140) ERROR 11-20 13:09:12 [core.py:866] AssertionError: The KV cache specs for the same layer are different across workers. This is not supported yet.",
            "cache-of-ranks-differs",
        ),
        (
            "(EngineCore_DP0 pid=201) ERROR 11-20 11:20:03 [core.py:866] zmq.error.ZMQError: Cannot assign requested address (addr='tcp://192.168.100.10:57707')",
            "address-not-in-container",
        ),
        (
            "exec /usr/local/bin/vllm: exec format error",
            "image-of-another-processor",
        ),
        (
            "FileNotFoundError: Weight files referenced in index but missing: {'/models/x/model-00002-of-00003.safetensors'}",
            "checkpoint-missing",
        ),
        (
            "(APIServer pid=16283)   Value error, User-specified max_model_len (262144) is greater than the derived max_model_len (max_position_embeddings=32768.0 or model_max_length=None in model's config.json).",
            "context-over-model",
        ),
        (
            "  Value error, World size (2) is larger than the number of available GPUs (1) in this node.",
            "gpus-too-few",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 100.00 GiB.",
            "memory-held",
        ),
        (
            "(Worker pid=4985) ERROR 11-26 19:49:11 [multiproc_executor.py:1057] torch.distributed.DistNetworkError: The client socket has failed to connect to any network address of (192.0.2.77, 29710).",
            "ranks-did-not-meet",
        ),
    ] {
        assert_eq!(found(line, "").map(|f| f.0), Some(id), "{line}");
        assert_eq!(
            found("", line).map(|f| f.1),
            Some("spark-b".into()),
            "{line}"
        );
    }
}

/// Lines as vLLM 0.26 and 0.33 printed them on GPUs, without the frames between.
#[test]
fn an_exception_that_says_little_is_told_by_where_it_came_through() {
    let traced = |file: &str, function: &str, end: &str| {
        let before = "(EngineCore pid=6820) ERROR 11-26 19:20:41 [core.py:1330]";
        format!(
            "{before} Traceback (most recent call last):\n\
             {before}   File \"/usr/local/lib/python3.12/dist-packages/vllm/{file}\", line 273, in {function}\n\
             {before} {end}"
        )
    };
    let mtp = "model_executor/models/step3p5_mtp.py";
    let runner = "v1/worker/gpu_model_runner.py";
    let sizes = "RuntimeError: The size of tensor a (128) must match the size of tensor b (256) at non-singleton dimension 1";
    let memory = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 200.00 GiB. GPU 0 has a total capacity of 79.18 GiB of which 77.33 GiB is free.";
    for (file, function, end, id) in [
        (mtp, "load_weights", sizes, Some("head-quantized")),
        (
            mtp,
            "load_weights",
            "AssertionError",
            Some("layers-quantized"),
        ),
        (
            runner,
            "initialize_kv_cache",
            memory,
            Some("cache-over-memory"),
        ),
        (
            "v1/worker/gpu/attn_utils.py",
            "init_kv_cache",
            memory,
            Some("cache-over-memory"),
        ),
        (runner, "load_model", memory, Some("memory-held")),
        (runner, "execute_model", "AssertionError", None),
        (runner, "load_model", sizes, None),
        (
            "distributed/device_communicators/shm_broadcast.py",
            "timeout_ms",
            "TimeoutError",
            Some("part-silent"),
        ),
        (
            "entrypoints/openai/api_server.py",
            "wait",
            "TimeoutError",
            None,
        ),
    ] {
        let log = traced(file, function, end);
        assert_eq!(found(&log, "").map(|f| f.0), id, "{log}");
    }
    let silent = traced(
        "distributed/device_communicators/shm_broadcast.py",
        "timeout_ms",
        "TimeoutError",
    );
    let worker = "(Worker_TP1 pid=88) ERROR 11-26 19:15:44 [x.py:1] KeyError: 'rope_parameters'";
    assert_eq!(
        found(&silent, worker),
        None,
        "the other rank's own exception is told"
    );
}

#[test]
fn a_network_that_nccl_cannot_use_is_told_also_where_it_says_only_that() {
    for line in [
        "(Worker pid=26911) ERROR 11-26 19:33:15 [multiproc_executor.py:901] RuntimeError: NCCL error: invalid usage (run with NCCL_DEBUG=WARN for details)",
        "(Worker_TP0 pid=31439) ERROR 11-26 19:36:18 [multiproc_executor.py:1189] ncclInvalidUsage: This usually reflects invalid usage of NCCL library.",
    ] {
        assert_eq!(found(line, "").map(|f| f.0), Some("nccl-misused"));
        let named = "(Worker_TP1 pid=2) ERROR 11-26 19:36:16 [x.py:1] Bootstrap : no socket interface found";
        assert_eq!(found(line, named).map(|f| f.0), Some("interface-missing"));
    }
}
