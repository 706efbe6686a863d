"""targets.py - what is measured: our server, and the peers of --peers.

A target has a name, url(path), cpu() (ns by part) and pids().
"""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

import core

# Peer folders and the variant that is closest to what we do.
PEERS = [("nginx-lua", "w1"), ("uwsgi-lua", "lua51"), ("lighttpd-lua", "w1"),
         ("php-fpm", "static"), ("node-http", ""), ("deno", "one"),
         ("bun", "one"), ("workerd", "one")]
QUICK_PEERS = ("nginx-lua", "uwsgi-lua")
PATHS = {"hello": "/hello", "json": "/json", "cpu": "/cpu"}


class Ours:
    """A running Server of the end-to-end tests' harness."""

    name = core.OURS

    def __init__(self, config=None):
        import harness  # after PERILUNE_BIN is set
        self.server = harness.Server(config)
        self.server.start()
        self.gateway = self.server.gateway().pid
        self.zygote = self.server.zygote().pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.remove()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.port}" + PATHS.get(path, path)

    def deploy(self, name, lua, manifest=None):
        return self.server.deploy(name, lua, manifest)

    def workers(self):
        return [w["pid"] for w in self.server.workers()]

    def cpu(self):
        return {"gateway": core.cpu_ns(self.gateway),
                "workers": sum(map(core.cpu_ns, self.workers())),
                "zygote": core.cpu_ns(self.zygote)}

    def pids(self):
        return [self.gateway, self.zygote] + self.workers()


class Peer:
    """A folder of the peers' scripts, started on a port of its own."""

    def __init__(self, folder, variant, run):
        self.folder, self.variant, self.name = folder, variant, folder.name
        self.env = dict(os.environ, PEERS_RUN=str(run))
        self.run = run
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self):
        """Why it can't be had, or None."""
        command = [str(self.folder / "start.sh"), str(self.port)]
        with open(self.run / f"{self.name}.log", "w+") as log:
            code = subprocess.run(
                command + ([self.variant] if self.variant else []),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.env, timeout=90).returncode
            log.seek(0)
            said = log.read().strip().splitlines()
        return (said or ["no reason given"])[-1] if code else None

    def stop(self):
        subprocess.run([str(self.folder / "stop.sh"), str(self.port)],
                       env=self.env, stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=30)

    def url(self, path):
        return f"http://127.0.0.1:{self.port}" + PATHS.get(path, path)

    def pids(self):
        """All processes of the sessions that it leads."""
        leaders = (self.run / str(self.port) / "pids").read_text().split()
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    text = pathlib.Path(f"/proc/{entry}/stat").read_text()
                except OSError:
                    continue
                if text[text.rindex(")") + 2:].split()[3] in leaders:
                    found.append(int(entry))
        return found

    def cpu(self):
        return {"all": sum(map(core.cpu_ns, self.pids()))}


class Peers:
    """Those of --peers that are installed, running; stopped at the end."""

    def __init__(self, bench, folder):
        self.bench, self.folder, self.running = bench, folder, []

    def __enter__(self):
        self.run = pathlib.Path(tempfile.mkdtemp(prefix="perilune-peers-"))
        self.run.chmod(0o755)
        for name, variant in PEERS if self.folder else ():
            where = pathlib.Path(self.folder).resolve() / name
            if self.bench.quick and name not in QUICK_PEERS:
                continue
            if not (where / "start.sh").exists():
                self.bench.note(f"peer {name}: no {where}/start.sh")
                continue
            peer = Peer(where, variant, self.run)
            why = peer.start()
            if why:
                self.bench.note(f"peer {name} is left out: {why}")
            else:
                self.running.append(peer)
        return self.running

    def __exit__(self, *_):
        for peer in self.running:
            peer.stop()
        shutil.rmtree(self.run, ignore_errors=True)
