//! Where a starting llama.cpp server is, read from the words of its log.

use crate::engine::Phase;

/// What it says, in the order of a start from its end; each line is held against all of them.
const TEXTS: [(&str, &str); 9] = [
    ("server is listening on http", "ready"),
    (": model loaded", "model is loaded"),
    ("initializing slots", "laying out the slots"),
    ("warming up the model", "warming up"),
    ("llama_kv_cache", "laying out the KV cache"),
    ("constructing llama_context", "making the context"),
    ("loading model tensors", "loading the model"),
    ("loaded meta data with", "reading the GGUF header"),
    ("HTTP server is listening", "opening the API"),
];

/// Reads one line; `None` if it says nothing about where the server is.
pub(super) fn read(line: &str) -> Option<Phase> {
    let (_, doing) = TEXTS.iter().find(|(text, _)| line.contains(text))?;
    Some(Phase {
        doing: (*doing).to_owned(),
        done: None,
        unit: "",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines in which llama-server tells of a start, in their order.
    #[test]
    fn a_start_is_read_from_its_begin_to_its_end() {
        let log = "\
build: 5489 (2d38b6e4) with cc for aarch64-linux-gnu
main: binding port with default address family
main: HTTP server is listening, hostname: 127.0.0.1, port: 8000, http threads: 19
main: loading model
srv    load_model: loading model '/m/x-00001-of-00003.gguf'
llama_model_loader: loaded meta data with 51 key-value pairs and 754 tensors from /m/x-00001-of-00003.gguf (version GGUF V3 (latest))
load_tensors: loading model tensors, this can take a while... (mmap = false)
load_tensors:        CUDA0 model buffer size = 99871.00 MiB
llama_context: constructing llama_context
llama_kv_cache: size = 1536.00 MiB ( 32768 cells, 12 layers, 1/1 seqs)
common_init_from_params: warming up the model with an empty run - please wait ... (--no-warmup to disable)
srv          init: initializing slots, n_slots = 1
main: model loaded
main: server is listening on http://127.0.0.1:8000 - starting the main loop
srv  update_slots: all slots are idle";
        let told: Vec<String> = log.lines().filter_map(read).map(|p| p.doing).collect();
        assert_eq!(
            told,
            [
                "opening the API",
                "reading the GGUF header",
                "loading the model",
                "making the context",
                "laying out the KV cache",
                "warming up",
                "laying out the slots",
                "model is loaded",
                "ready"
            ]
        );
    }
}
