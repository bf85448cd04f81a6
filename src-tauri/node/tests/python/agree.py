"""Opens with Python's own packages what tandem-node wrote, and prints what it finds as JSON.

usage: agree.py HF_HOME REPO COMMIT OVERLAY SOURCE_FOLDER DRAFT
"""

import hashlib
import json
import sys
from pathlib import Path

from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache
from safetensors import safe_open


def tensors(path):
    """Name to dtype, shape and hash of the bytes."""
    found = {}
    with safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}, file.metadata()
        for name in file.keys():
            part = file.get_slice(name)
            found[name] = [part.get_dtype(), part.get_shape()]
    return found


def raw(path):
    """Name to the hash of a tensor's bytes, read by the format's plain rules."""
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = data[8 + length :]
    return {
        name: hashlib.sha256(body[slice(*entry["data_offsets"])]).hexdigest()
        for name, entry in header.items()
    }


def main():
    home, repo, commit, overlay, source, draft = sys.argv[1:7]
    cache = Path(home) / "hub"
    info = scan_cache_dir(cache)
    assert not info.warnings, [str(w) for w in info.warnings]
    (found,) = [r for r in info.repos if r.repo_id == repo]
    (revision,) = [r for r in found.revisions if r.commit_hash == commit]
    snapshot = snapshot_download(repo, revision=commit, cache_dir=cache, local_files_only=True)
    by_branch = snapshot_download(
        repo, revision="before-mtp", cache_dir=cache, local_files_only=True
    )
    assert snapshot == by_branch, (snapshot, by_branch)
    config = try_to_load_from_cache(repo, "config.json", cache_dir=cache, revision=commit)
    assert config == str(Path(snapshot) / "config.json"), config

    overlay = Path(overlay)
    index = json.loads((overlay / "model.safetensors.index.json").read_text())
    held = {}
    for file in sorted(set(index["weight_map"].values())):
        for name, kind in tensors(overlay / file).items():
            assert index["weight_map"][name] == file, (name, file)
            held[name] = kind
    assert set(held) == set(index["weight_map"]), "the index and the files agree"
    ours = raw(overlay / "model-mtp-bf16.safetensors")
    theirs = {}
    for file in sorted(Path(source).glob("*.safetensors")):
        theirs.update(raw(file))
    assert all(theirs[name] == value for name, value in ours.items()), "bytes differ"

    draft = Path(draft)
    index = json.loads((draft / "model.safetensors.index.json").read_text())
    drafted = tensors(draft / "model.safetensors")
    assert index["weight_map"] == dict.fromkeys(drafted, "model.safetensors")
    theirs_too = raw(draft / "model.safetensors")
    assert all(theirs[name] == value for name, value in theirs_too.items()), "bytes differ"
    assert all(kind[0] == "BF16" for kind in drafted.values()), drafted
    print(
        json.dumps(
            {
                "files": len(revision.files),
                "bytes": revision.size_on_disk,
                "refs": sorted(found.refs),
                "tensors": len(held),
                "mtp": len(ours),
                "drafted": sorted(set(drafted) - set(ours)),
            }
        )
    )


if __name__ == "__main__":
    main()
