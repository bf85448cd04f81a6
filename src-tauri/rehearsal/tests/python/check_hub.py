"""Downloads from a Hub with Python's own huggingface_hub and opens the result with safetensors.

usage: check_hub.py ENDPOINT REPO REVISION COMMIT CACHE   -> one line of JSON about what was seen
"""
import json
import os
import sys

endpoint, repo, revision, commit, cache = sys.argv[1:6]
os.environ["HF_ENDPOINT"] = endpoint
os.environ["HF_HOME"] = cache
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url, snapshot_download  # noqa: E402
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError  # noqa: E402
from safetensors import safe_open  # noqa: E402

api = HfApi(endpoint=endpoint, token="hf_rehearsal")
info = api.model_info(repo, revision=revision, files_metadata=True)
assert info.sha == commit, info.sha
tree = {e.path: e for e in api.list_repo_tree(repo, revision=revision, recursive=True)}
assert set(tree) == {s.rfilename for s in info.siblings}
for sibling in info.siblings:
    assert tree[sibling.rfilename].size == sibling.size
    meta = get_hf_file_metadata(hf_hub_url(repo, sibling.rfilename, revision=revision, endpoint=endpoint))
    assert meta.commit_hash == commit and meta.size == sibling.size
    assert meta.etag == (sibling.lfs.sha256 if sibling.lfs else sibling.blob_id)

path = snapshot_download(repo, revision=revision, token="hf_rehearsal")
index = json.load(open(os.path.join(path, "model.safetensors.index.json")))["weight_map"]
seen = {}
for name in sorted(set(index.values())):
    with safe_open(os.path.join(path, name), framework="np") as file:
        for key in file.keys():
            part = file.get_slice(key)
            seen[key] = [part.get_dtype(), part.get_shape()]
assert set(seen) == set(index), set(seen) ^ set(index)

for wrong, error in (
    (lambda: api.model_info("nobody/nothing"), RepositoryNotFoundError),
    (lambda: api.model_info(repo, revision="no-such-branch"), RevisionNotFoundError),
    (lambda: api.hf_hub_download(repo, "no-such-file", revision=revision), EntryNotFoundError),
):
    try:
        wrong()
    except error:
        continue
    raise SystemExit(f"{error.__name__} was expected")

mtp = [k for k in seen if any(k.startswith(f"model.layers.{n}.") for n in (45, 46, 47))]
print(json.dumps({"files": len(tree), "tensors": len(seen), "mtp": len(mtp), "path": path}))
