# Tandem: a short all-reduce between two containers of one image, by that image's own PyTorch.
# Prints JSON lines, writes no file, and ends by itself even if nobody waits for it any more.
import argparse
import datetime
import faulthandler
import json
import os
import signal
import socket
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("--node-rank", type=int, required=True)
parser.add_argument("--nnodes", type=int, required=True)
parser.add_argument("--master-addr", required=True)
parser.add_argument("--master-port", type=int, required=True)
parser.add_argument("--seconds", type=float, required=True)
parser.add_argument("--meet-seconds", type=float, required=True)
parser.add_argument("--limit-seconds", type=float, required=True)
args = parser.parse_args()

# Ends the process from a thread that needs nothing of Python's, and says where it hung.
faulthandler.dump_traceback_later(args.limit_seconds, exit=True)
# As the first process of a container it would ignore SIGTERM, and it hears none while it waits in a library.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def end_when_asked():
    signal.sigwait({signal.SIGTERM})
    os._exit(143)


threading.Thread(target=end_when_asked, daemon=True).start()


def say(what, **more):
    print(json.dumps({"all-reduce": what, **more}), flush=True)


import torch
import torch.distributed as dist

cuda = torch.cuda.is_available() and dist.is_nccl_available()
backend = "nccl" if cuda else "gloo"
device = torch.device("cuda", 0) if cuda else torch.device("cpu")
if cuda:
    torch.cuda.set_device(device)
say("started", backend=backend, torch=str(torch.__version__))

# The ranks meet first and connect afterwards, so that it can be told which of the two failed.
wait = datetime.timedelta(seconds=args.meet_seconds)
head = args.node_rank == 0
listener = None
if head:
    # Left alone the store listens on every interface, and whoever reaches it may write to it. It cannot be bound
    # to the device as well: the head's own client comes over loopback.
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind((args.master_addr, args.master_port))
    door.listen(128)
    listener = door.detach()
store = dist.TCPStore(
    args.master_addr,
    args.master_port,
    args.nnodes,
    head,
    wait,
    master_listen_fd=listener,
)
say("met")
dist.init_process_group(
    backend, store=store, rank=args.node_rank, world_size=args.nnodes, timeout=wait
)


def settle():
    if cuda:
        torch.cuda.synchronize()


def reduce(data):
    dist.all_reduce(data)
    settle()


MIB = 1 << 20
sizes = [MIB, 16 * MIB, 256 * MIB, 1024 * MIB] if cuda else [MIB, 16 * MIB, 64 * MIB]
share = args.seconds / len(sizes)
for size in sizes:
    data = torch.full((size // 4,), float(args.node_rank + 1), device=device)
    # The first of a size opens connections. Its sum is known, so it also tells whether it is right.
    reduce(data)
    expected = args.nnodes * (args.nnodes + 1) / 2
    wrong = int((data != expected).sum().item())
    # From here on zeros: a sum of sums would leave what a float can hold.
    data.zero_()
    settle()
    began = time.monotonic()
    reduce(data)
    once = max(time.monotonic() - began, 1e-9)
    # Both ranks must reduce as often; the head says how often its share of the time allows.
    count = torch.tensor([max(1, min(2000, int(share / once)))], device=device)
    dist.broadcast(count, src=0)
    count = int(count.item())
    settle()
    began = time.monotonic()
    for _ in range(count):
        dist.all_reduce(data)
    settle()
    seconds = (time.monotonic() - began) / count
    carried = size * 8 / seconds / 1e9
    say(
        "measured",
        size=size,
        count=count,
        seconds=seconds,
        algorithm_gbps=carried,
        bus_gbps=carried * 2 * (args.nnodes - 1) / args.nnodes,
        wrong=wrong,
    )
    del data
    # A link so slow that the next size would take all the time has shown what it is.
    following = [s for s in sizes if s > size][:1]
    go_on = following and 3 * seconds * following[0] / size < 20
    go_on = torch.tensor([1 if go_on else 0], device=device)
    dist.broadcast(go_on, src=0)
    if not go_on.item():
        break

dist.barrier()
say("done")
dist.destroy_process_group()
