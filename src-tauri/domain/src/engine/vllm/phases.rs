//! Where a starting server is, read from the words of its log (never from file names or lines in it).

use crate::engine::{Meeting, Phase};

/// Both are lines of vllm/distributed/parallel_state.py, before and after `init_process_group`.
const WAITS: &str = "distributed_init_method=tcp";
const MET: &str = "is assigned as DP rank";

/// What a line says of the meeting of the ranks.
pub(super) fn meeting(line: &str) -> Option<Meeting> {
    if line.contains(MET) {
        return Some(Meeting::Met);
    }
    line.contains(WAITS).then_some(Meeting::Waits)
}

/// Reads one line; `None` if it says nothing about where the server is.
pub(super) fn read(line: &str) -> Option<Phase> {
    let whole = |doing: &str| {
        Some(Phase {
            doing: doing.to_owned(),
            done: None,
            unit: "",
        })
    };
    // Every loader has a bar of this form (`_BAR_FORMAT` in weight_utils.py) with words of its own before it.
    if let Some((words, counts)) = line.rsplit_once("% Completed |") {
        // One loader counts tensors.
        let unit = match words.contains("Runai Model Streamer") {
            true => "tensors",
            false => "shards",
        };
        return Some(Phase {
            doing: format!("loading {unit}"),
            done: counts_of(counts),
            unit,
        });
    }
    if line.contains("Capturing CUDA graphs") {
        // A progress bar writes many states into one line; the last one counts.
        let last = line.rsplit("Capturing CUDA graphs").next()?;
        let counts = last.rsplit('|').next().unwrap_or_default();
        return Some(Phase {
            doing: "capturing CUDA graphs".into(),
            done: counts_of(counts),
            unit: "graphs",
        });
    }
    const TEXTS: [(&str, &str); 14] = [
        ("Application startup complete", "ready"),
        ("Starting vLLM server on", "opening the API"),
        ("init engine (profile, create kv cache", "engine is warm"),
        ("Graph capturing finished", "CUDA graphs are captured"),
        ("GPU KV cache size", "KV cache is laid out"),
        (
            "Available KV cache memory",
            "measuring memory for the KV cache",
        ),
        ("torch.compile took", "compiled"),
        ("Dynamo bytecode transform", "compiling"),
        ("Loading drafter model", "loading the MTP layers"),
        ("Starting to load model", "loading the model"),
        (MET, "both ranks have met"),
        (WAITS, "waiting for the other rank"),
        ("headless multiproc executor", "starting the second rank"),
        ("Initializing a V1 LLM engine", "starting the engine"),
    ];
    TEXTS
        .iter()
        .find(|(text, _)| line.contains(text))
        .and_then(|(_, doing)| whole(doing))
}

/// Reads `7/14 [` from the text after a bar.
fn counts_of(text: &str) -> Option<(u64, u64)> {
    let (done, rest) = text.trim_start().split_once('/')?;
    let total: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((done.trim().parse().ok()?, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_bar_gives_counts() {
        let line = "(Worker_TP0 pid=66) Loading safetensors checkpoint shards:  50% Completed | 7/14 [01:31<01:31, 13.02s/it]";
        assert_eq!(
            read(line),
            Some(Phase {
                doing: "loading shards".into(),
                done: Some((7, 14)),
                unit: "shards",
            })
        );
    }

    #[test]
    fn every_loader_has_counts() {
        for (line, done, unit) in [
            (
                "(Worker_TP0 pid=66) Loading safetensors using Fastsafetensor loader:  27% Completed | 3/11 [00:10<00:29,  3.71s/it]",
                (3, 11),
                "shards",
            ),
            (
                "(Worker_TP0 pid=66) Multi-thread loading shards:  27% Completed | 3/11 [00:10<00:29,  3.71s/it]",
                (3, 11),
                "shards",
            ),
            (
                "(Worker_TP0 pid=66) Loading safetensors using Runai Model Streamer:  50% Completed | 51/102 [00:01<00:01, 40.00it/s]",
                (51, 102),
                "tensors",
            ),
            (
                "Loading pt checkpoint shards: 100% Completed | 2/2 [00:01<00:00,  1.00it/s]",
                (2, 2),
                "shards",
            ),
        ] {
            let phase = read(line).expect(line);
            assert_eq!((phase.done, phase.unit), (Some(done), unit), "{line}");
        }
    }

    #[test]
    fn the_last_state_of_a_merged_bar_counts() {
        let line = "Capturing CUDA graphs (decode, FULL):   0%|          | 0/5 [00:00<?, ?it/s]Capturing CUDA graphs (decode, FULL): 100%|██████████| 5/5 [00:06<00:00,  1.22s/it]";
        assert_eq!(read(line).unwrap().done, Some((5, 5)));
    }

    #[test]
    fn lines_without_a_phase_say_nothing() {
        assert_eq!(
            read("(APIServer pid=1) INFO: 127.0.0.1 - \"GET /health\" 200"),
            None
        );
    }

    #[test]
    fn a_rank_says_when_it_waits_and_when_it_has_met_the_others() {
        for (line, said) in [
            (
                "(Worker pid=58) INFO 06-30 14:20:23 [parallel_state.py:1525] world_size=2 rank=1 local_rank=0 distributed_init_method=tcp://10.10.10.3:29501 backend=nccl",
                Some(Meeting::Waits),
            ),
            (
                "(Worker pid=58) INFO 06-30 14:20:27 [parallel_state.py:1735] rank 1 in world size 2 is assigned as DP rank 0, PP rank 0, PCP rank 0, TP rank 1, EP rank 1, EPLB rank N/A",
                Some(Meeting::Met),
            ),
            (
                "(Worker pid=58) INFO 06-30 14:20:25 [pynccl.py:113] vLLM is using nccl==2.28.9",
                None,
            ),
        ] {
            assert_eq!(meeting(line), said, "{line}");
        }
    }
}
