//! The readers, each with its samples and what it has to keep.

use std::collections::BTreeMap;

use tandem_adapters::docker::LineCutter;
use tandem_adapters::ssh::{HostPin, config};
use tandem_domain::checkpoint::{config as model, gguf, index, safetensors};
use tandem_domain::engine::causes;
use tandem_domain::engine::metrics::Metrics;
use tandem_domain::engine::{self};
use tandem_domain::fit::{self, Ask, Attention};
use tandem_domain::machine::Facts;
use tandem_domain::network::verdict::{all_reduce, collective, perftest};
use tandem_domain::network::{cabling, health, netplan, plan};
use tandem_domain::node::NodeLine;
use tandem_domain::pattern;
use tandem_domain::recipe::{EngineKind, Recipe, import};
use tandem_node::facts::parse;

use crate::fuzz;

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Whatever a line of the node program says, it is an event or an error.
#[test]
fn lines_of_the_node_program() {
    let samples: &[&[u8]] = &[
        br#"{"seq":1,"at":1764000000000,"event":"progress","done":5,"total":10,"rate":1.5,"doing":"Fetching"}"#,
        br#"{"seq":3,"at":1764000000000,"event":"done","result":{"a":[1,2]}}"#,
        br#"{"seq":4,"at":1764000000000,"event":"failed","problem":{"code":"disk-full","message":"m","details":[]}}"#,
        br#"{"event":"lost"}"#,
    ];
    fuzz("node-lines", samples, |bytes| {
        if let Ok(line) = serde_json::from_slice::<NodeLine>(bytes) {
            let again = serde_json::to_vec(&line).expect("what was read can be written");
            serde_json::from_slice::<NodeLine>(&again).expect("and read again");
        }
    });
}

/// Facts of any content have findings, a state of the cable and a plan or a reason against one.
#[test]
fn facts_of_a_machine() {
    let samples: &[&[u8]] = &[
        br#"{"hostname":"a","memory_total":130660000000,"default_interface":"e0","interfaces":[{"name":"enp1s0f1np1","port":"p1","fabric":true,"carrier":true,"speed":200000,"mtu":9000,"mac":"4c:bb:47:2f:fb:99","ipv4":["192.168.100.10/24"],"up":true,"neighbours":["4c:bb:47:2f:fb:98"],"lanes":{"now":4,"most":4}},{"name":"bond0","mac":"4c:bb:47:2f:fb:99","ipv4":["10.0.0.1/24"]}],"routes":[{"to":"0.0.0.0/0","interface":"e0"}],"netplan":[{"path":"/etc/netplan/a.yaml","text":"network: {ethernets: {enp1s0f1np1: {}}}"}]}"#,
    ];
    fuzz("facts", samples, |bytes| {
        let Ok(facts) = serde_json::from_slice::<Facts>(bytes) else {
            return;
        };
        let other = Facts {
            machine_id: "other".into(),
            ..facts.clone()
        };
        for machines in [&[&facts][..], &[&facts, &other]] {
            health::findings(machines);
            cabling::cabling(machines);
        }
        if let Ok(plan) = plan::propose(&facts, &other) {
            let faults = plan::faults(&plan, &[&facts, &other]);
            assert!(faults.iter().all(|f| !f.message.is_empty()));
        }
    });
}

#[test]
fn headers_of_weights() {
    let samples: &[&[u8]] = &[
        br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"U8","shape":[4],"data_offsets":[12,16]}}"#,
        br#"{"a":{"dtype":"F32","shape":[18446744073709551615,18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#,
    ];
    fuzz("safetensors", samples, |bytes| {
        if let Ok(header) = safetensors::parse("model.safetensors", bytes) {
            for tensor in &header.tensors {
                tensor.bytes();
                tensor.kind();
            }
        }
        if let Some(prefix) = bytes.first_chunk() {
            let _ = safetensors::length("model.safetensors", *prefix);
        }
    });
}

#[test]
fn headers_of_gguf_files() {
    let mut small = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
    small.extend(20_u64.to_le_bytes());
    small.extend(b"general.architecture\x08\0\0\0");
    small.extend(5_u64.to_le_bytes());
    small.extend(b"llama");
    let endless = b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x7f";
    fuzz("gguf", &[&small, endless], |bytes| {
        if let Ok(header) = gguf::read("model.gguf", bytes) {
            header.architecture();
            header.split();
        }
    });
}

#[test]
fn configurations_and_indexes() {
    let samples: &[&[u8]] = &[
        br#"{"text_config":{"num_hidden_layers":60,"num_key_value_heads":2,"head_dim":256,"full_attention_interval":4,"sliding_window":512,"layer_types":["full_attention","linear_attention"]}}"#,
        br#"{"num_hidden_layers":47,"num_attention_heads":20,"hidden_size":2048,"kv_lora_rank":512,"qk_rope_head_dim":64,"index_head_dim":128}"#,
        br#"{"metadata":{"total_size":5},"weight_map":{"model.layers.45.a":"model-00001.safetensors"}}"#,
    ];
    fuzz("configurations", samples, |bytes| {
        let _ = index::parse(bytes);
        let Ok(config) = model::parse(model::FILE, bytes) else {
            return;
        };
        let _ = model::layers(&config);
        let ask = Ask {
            engine: "vLLM",
            ranks: 2,
            weights: u64::MAX / 2,
            grafted: 0,
            working: 1 << 30,
            working_source: String::new(),
            context: u32::MAX,
            share: 0.9,
            kv_element: 2,
            batched_tokens: u32::MAX,
        };
        for drafting in [true, false] {
            let attention = Attention::read(&config, drafting);
            let fit = fit::fit(&ask, &attention, 128 << 30, 100 << 30);
            assert!(!fit.says.is_empty());
        }
    });
}

#[test]
fn logs_of_an_engine() {
    let samples: &[&[u8]] = &[
        b"(Worker_TP0 pid=66) Loading safetensors checkpoint shards:  50% Completed | 7/14 [01:31<01:31, 13.02s/it]\n(EngineCore_DP0 pid=9) ERROR 11-20 13:09:12 [core.py:866] AssertionError: They differ.",
        b"Capturing CUDA graphs (decode, FULL): 100%|##########| 5/5 [00:06<00:00,  1.22s/it]\n[rank1]:[W1126 19:33:59.723498809 TCPStore.cpp:125] [c10d] recvValue failed",
        b"(A pid=1) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n(A pid=1)   Value error, no",
    ];
    fuzz("engine-logs", samples, |bytes| {
        let engine = engine::of(EngineKind::Vllm);
        let lines: Vec<String> = text(bytes).lines().map(str::to_owned).collect();
        for line in &lines {
            engine.phase(line);
        }
        engine.drafts(&lines);
        let logs = [("a".to_owned(), lines.clone()), ("b".to_owned(), lines)];
        let tables = [
            engine.causes(),
            causes::CAUSES,
            engine.consequences(),
            causes::CONSEQUENCES,
        ];
        causes::is_told(&tables, &logs);
        let problem = causes::explain(&tables, &logs, "It ended");
        assert!(problem.cause.is_some());
    });
}

#[test]
fn metrics_of_an_engine() {
    let samples: &[&[u8]] = &[
        b"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\nvllm:spec_decode_num_accepted_tokens_total{engine=\"0\"} 1e3\n",
    ];
    fuzz("metrics", samples, |bytes| {
        let metrics = Metrics::parse(&text(bytes));
        metrics.sum("vllm:num_requests_running");
        metrics.by_label("vllm:num_requests_running", "engine");
        engine::of(EngineKind::Vllm).acceptance(&metrics, &metrics);
    });
}

#[test]
fn measurements_of_the_link() {
    let samples: &[&[u8]] = &[
        b" #bytes     #iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]\n 65536      5000             98.10              97.95                0.186\n Mtu : 4096[B]\n",
        b"NCCL INFO Using network IB\n  size count type redop root time algbw busbw #wrong\n 1073741824 268435456 float sum -1 44321 24.2 24.2 0\n# Avg bus bandwidth : 21.9\n",
    ];
    fuzz("link", samples, |bytes| {
        let text = text(bytes);
        if let Some(found) = perftest::parse(&text) {
            assert!(found.gbps.is_finite());
        }
        perftest::complaint(&text, &text);
        collective::parse(&text);
        collective::used_rdma(&text);
        all_reduce::AllReduceLog::of(text.lines());
    });
}

/// A claim is found or not; a file of any content stops nothing.
#[test]
fn netplan_files() {
    let samples: &[&[u8]] = &[
        b"network:\n  version: 2\n  ethernets:\n    a:\n      match: {name: [enp1s0*], driver: mlx5_core}\n  bonds:\n    bond0:\n      interfaces: [a]\n",
        b"network:\n  ethernets:\n    NM-1:\n      match: {macaddress: \"4c:bb:47:2f:fb:99\"}\n      networkmanager: {uuid: \"1\", name: x}\n",
        b"a: &a [x,x]\nb: *a\n",
    ];
    fuzz("netplan", samples, |bytes| {
        netplan::claim(&text(bytes), "enp1s0f1np1", "4c:bb:47:2f:fb:99");
    });
}

/// A pattern of any kind fits or not; it never takes long (the classes and stars of a hostile one once did).
#[test]
fn patterns() {
    fuzz(
        "patterns",
        &[
            b"enp1s0f[01]*?\nenp1s0f1np1",
            b"*a*a*a*a*a*a*a*b\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ],
        |bytes| {
            let text = text(bytes);
            let (pattern, name) = text.split_once('\n').unwrap_or((&text, "x"));
            pattern::fnmatch(pattern, name);
            pattern::wildcard(pattern, name);
        },
    );
}

/// What others publish is read or refused, and what stands in the way of a launch is never passed over.
#[test]
fn recipes_of_others() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../src-tauri/domain/src/recipe/import/samples"
    );
    let files = std::fs::read_dir(folder).expect("samples of ours");
    let samples: Vec<Vec<u8>> = files
        .map(|f| std::fs::read(f.expect("a file").path()).expect("a sample"))
        .collect();
    let samples: Vec<&[u8]> = samples.iter().map(Vec::as_slice).collect();
    fuzz("recipes_of_others", &samples, |bytes| {
        let Ok(imported) = import::import(&text(bytes)) else {
            return;
        };
        let stands_in_the_way = imported.missing().next().is_some();
        let hash = imported.hash();
        if let Ok(recipe) = imported.confirmed(&hash) {
            assert!(!stands_in_the_way);
            assert!(tandem_domain::recipe::faults(&recipe).is_empty());
        }
    });
}

/// A recipe is read or refused.
#[test]
fn recipes() {
    let recipe = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../src-tauri/domain/src/recipe/builtin/qwen36-27b-nvfp4.toml"
    ))
    .expect("a recipe of ours");
    fuzz("recipes", &[&recipe], |bytes| {
        if let Ok(recipe) = Recipe::parse(&text(bytes)) {
            recipe.served();
            recipe.best();
        }
    });
}

#[test]
fn what_a_machine_prints() {
    let samples: &[&[u8]] = &[
        br#"[{"ifname":"e0","addr_info":[{"family":"inet","local":"10.0.0.1","prefixlen":24}]}]"#,
        br#"[{"dst":"default","dev":"e0"},{"dst":"10.0.0.0/8","nexthops":[{"dev":"a"}],"table":"52"}]"#,
        br#"[{"dst":"10.0.0.2","dev":"e0","lladdr":"4c:bb:47:2f:fb:99","state":["STALE"]}]"#,
        b"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\ne0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\n",
        b"DGX_NAME=\"DGX Spark\"\nDGX_OTA_VERSION=\"7.5.0\"\nMemTotal: 127600748 kB\nMemAvailable: 1 kB\nCmaTotal: 0 kB\n",
        b"MemTotal: 18446744073709551615 kB\nMemAvailable: 18446744073709551 kB\n",
        b"NVIDIA GB10, 580.159.03\n12.5 W, 2400 MHz, 96 %\n",
        b"e0:connected:uuid:a\\:b\nmlx5_0 port 1 ==> e0 (Up)\n0000:0000:0000:0000:0000:ffff:c0a8:640a\n4: ACTIVE\n0x1003\n",
        b"HTTP/1.0 200 OK\r\n\r\n{\"Version\":\"29.2.1\"}",
    ];
    fuzz("machine", samples, |bytes| {
        let text = text(bytes);
        parse::ip_addresses(&text);
        parse::all_routes(&text);
        parse::neighbours(&text);
        parse::routes(&text);
        parse::default_route(&text);
        parse::dgx_release(&text);
        parse::meminfo(&text);
        parse::nvidia_smi(&text);
        parse::gpu_now(&text);
        parse::nmcli_devices(&text);
        parse::networkd_manages(&text);
        parse::ibdev2netdev(&text);
        parse::docker_version(bytes);
        parse::gid_ipv4(&text);
        parse::rdma_state(&text);
        parse::is_up(&text);
        parse::fabric_port(&text);
    });
}

/// Hosts are listed, or the file is refused.
#[test]
fn configurations_of_ssh() {
    let samples: &[&[u8]] = &[
        b"Host spark-a spark-?\n  HostName 192.168.1.20\n  User \"owner\"\n  Port 22\n  IdentityFile ~/.ssh/id_ed25519\nMatch host x\n  ProxyJump y\n",
        b"Include */*\nHost !a *\n  Port=99999\n",
    ];
    fuzz("ssh-config", samples, |bytes| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config");
        std::fs::write(&file, bytes).expect("the file");
        // Not `config::host`: it may ask ssh, which runs the commands of `Match exec`.
        let _ = config::hosts(&file);
    });
}

#[test]
fn host_keys() {
    let samples: &[&[u8]] = &[
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEHUJFEUSsBtF1XZa2kvHrsWwXFZrDpEdCkBlX3R5fSH",
        b"SHA256:fCNBCaWX0oGpPnGcX3xXFuxk5rF5l2b4vYyfUaFSaTY",
    ];
    fuzz("host-keys", samples, |bytes| {
        let _ = HostPin::parse(&text(bytes));
    });
}

/// No visible letter is lost, however the bytes arrive.
#[test]
fn lines_of_a_container() {
    fuzz(
        "container-lines",
        &[b"one\r\ntwo\rthree\n\nfour \x1b[1mfive\xff\n"],
        |bytes| {
            let cut = |pieces: usize| {
                let mut cutter = LineCutter::default();
                let mut lines = Vec::new();
                for piece in bytes.chunks(pieces.max(1)) {
                    cutter.feed(piece, &mut |line| lines.push(line.to_owned()));
                }
                cutter.end(&mut |line| lines.push(line.to_owned()));
                lines
            };
            assert_eq!(
                cut(1),
                cut(bytes.len()),
                "the cuts of the connection do not matter"
            );
        },
    );
}

/// Identities of a journal, read from any text, are kept as they are.
#[test]
fn labels_of_metrics_are_plain_text() {
    fuzz(
        "labels",
        &[b"vllm:x_total{a=\"b\\\"c\",d=\"\"} 1\n"],
        |bytes| {
            let metrics = Metrics::parse(&text(bytes));
            let labels: BTreeMap<String, f64> = metrics.by_label("vllm:x_total", "a");
            assert!(labels.values().all(|value| !value.is_nan()) || text(bytes).contains("NaN"));
        },
    );
}
