"""Prints, as JSON, all of a machine that a set-up could change. Runs on the machine as root."""
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import time

ROOTS = ["/etc", "/home", "/root", "/usr/local", "/opt", "/var/lib/systemd/linger"]
# Things that change by themselves, or that hold nothing but an earlier state of another file.
IGNORED = re.compile(
    r"^/etc/(\.pwd\.lock|mtab|(passwd|group|shadow|gshadow|subuid|subgid)-|\.updated|ld\.so\.cache)$"
    r"|^/etc/docker/key\.json$"  # made by each engine for itself when it starts
    r"|^/opt/lab(/|$)"  # kept by the lab
    r"|^/home/(lost\+found|\.lab-filler)$"
    r"|^/home/[^/]+/\.cache$"  # made by the login itself for the next one
    r"|^/home/[^/]+/\.cache/motd\.legal-displayed$"
    r"|^/home/[^/]+/\.sudo_as_admin_successful$"
    r"|__pycache__"
)


def describe(path, info):
    """What a comparison before and after must find equal."""
    kind = stat.S_IFMT(info.st_mode)
    head = f"{stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid}"
    if kind == stat.S_IFLNK:
        return f"{head} -> {os.readlink(path)}"
    if kind == stat.S_IFREG:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return f"{head} {info.st_size} {digest.hexdigest()}"
    return head


def files():
    for root in ROOTS:
        if not os.path.lexists(root):
            continue
        paths = [root]
        for folder, folders, names in os.walk(root):
            folders[:] = [n for n in folders if n != "lab" or folder != "/opt"]
            paths += [os.path.join(folder, n) for n in folders + names]
        for path in paths:
            if not IGNORED.search(path):
                try:
                    info = os.lstat(path)
                    yield path, describe(path, info), info.st_mtime_ns
                except FileNotFoundError:
                    pass


def ask(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def docker():
    questions = {
        "containers": ["ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}} {{.Image}} {{.State}}"],
        "images": ["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"],
        "volumes": ["volume", "ls", "--format", "{{.Name}}"],
    }
    for name, question in questions.items():
        said = ask("docker", *question)
        yield f"docker {name}", "no answer" if said is None else ", ".join(sorted(said.split("\n"))).strip(", ")


def settled():
    """The links once the kernel has made sure of every address, which takes it a second or two."""
    for _ in range(60):
        now = json.loads(ask("ip", "-j", "addr"))
        if not any(a.get("tentative") for link in now for a in link["addr_info"]):
            break
        time.sleep(0.1)
    return now


def network():
    for link in settled():
        addresses = sorted(
            f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if not a.get("tentative")
        )
        up = "up" if "UP" in link["flags"] else "down"
        yield f"link {link['ifname']}", f"{up} mtu {link['mtu']} {link['address']} {' '.join(addresses)}".strip()
    for family in ("-4", "-6"):
        routes = sorted(line.strip() for line in ask("ip", family, "route").splitlines())
        # The kernel counts down how long a learnt route lives.
        yield f"routes {family}", "; ".join(re.sub(r" expires \S+", "", r) for r in routes)


def profiles():
    """NetworkManager's profiles that no file of /etc holds, and the one that each device has."""
    if not shutil.which("nmcli"):
        return
    folder = "/run/NetworkManager/system-connections"
    for name in sorted(os.listdir(folder)):
        # The loopback's is made anew by each start.
        if not name.startswith("lo"):
            path = os.path.join(folder, name)
            yield f"profile {name}", describe(path, os.lstat(path))
    for line in (ask("nmcli", "-t", "-f", "DEVICE,CON-UUID", "device") or "").splitlines():
        device, uuid = line.split(":", 1)
        if device != "lo":
            yield f"active on {device}", uuid


def units():
    said = ask("systemctl", "list-unit-files", "--no-legend", "--plain", "--state=enabled,masked") or ""
    yield "units", ", ".join(sorted(" ".join(line.split()[:2]) for line in said.splitlines()))


state, written = {}, {}
for path, text, when in files():
    state[path] = text
    written[path] = when
for section in (docker(), network(), profiles(), units()):
    state.update(section)
print(json.dumps({"state": state, "written": written}))
