"""Holds every frame between two interfaces for a while, in both directions, in order.

The kernel's own means for this (netem) is missing from many small kernels, this works on all.
Started inside the namespace: relay.py MILLISECONDS INTERFACE INTERFACE
"""
import collections
import select
import socket
import sys
import time

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23

delay = int(sys.argv[1]) / 1000
ends = []
for name in sys.argv[2:4]:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    # With this header the kernel hands over unfinished checksums and unsplit segments as they are.
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    end.bind((name, 3))
    end.setblocking(False)
    ends.append(end)

waiting = collections.deque()
print("ready", flush=True)
while True:
    pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
    readable, _, _ = select.select(ends, [], [], pause)
    for end in readable:
        other = ends[1] if end is ends[0] else ends[0]
        try:
            for _ in range(64):
                waiting.append((time.monotonic() + delay, other, end.recv(1 << 17)))
        except BlockingIOError:
            pass
    now = time.monotonic()
    while waiting and waiting[0][0] <= now:
        _, other, frame = waiting.popleft()
        try:
            other.send(frame)
        except OSError:
            # A full queue or a link that is down loses the frame, as a real one does.
            pass
