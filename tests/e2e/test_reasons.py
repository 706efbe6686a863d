"""test_reasons.py - each way in which an invocation fails, provoked.

Every reason of docs/errors.md is somewhere in these tests or in the unit
tests; what the server refuses while it reads a request is in test_http.py.
"""
import contextlib
import ctypes
import os
import re
import select
import signal

import harness
from harness import BUSY, wait_for

SLOW = BUSY + """return function(e, ctx)
  if e.query.ms then busy(ctx, tonumber(e.query.ms)) end
  return "ok"
end"""
LONG = {"timeout_ms": 60000, "max_workers": 1}
PIDFD_GETFD = 438  # x86-64


def descriptors_of(pid):
    return sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))


@contextlib.contextmanager
def socket_of(pid):
    """A worker's own end of its only socket, shared with it: root may, and an
    ordinary user who started the server (SECURITY.md)."""
    pidfd = os.pidfd_open(pid)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        found = [libc.syscall(PIDFD_GETFD, pidfd, fd, 0)
                 for fd in descriptors_of(pid)
                 if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")]
        if len(found) != 1 or found[0] < 0:
            raise PermissionError(ctypes.get_errno(), "pidfd_getfd")
        yield found[0]
        os.close(found[0])
    finally:
        os.close(pidfd)


class Reasons(harness.TestCase):
    def assert_reason(self, reply, reason):
        """As documented, and with an id."""
        self.assert_fails(reply, reason)
        self.assertRegex(reply.request_id, r"^[0-9a-z]{26}$")
        self.assertTrue(reply.json()["detail"], reply)

    def assert_recorded(self, server, reply, billed=None):
        """The id leads to a record that says the same, and the bill."""
        record = server.record(reply.request_id)
        self.assertEqual((record["reason"], record["failed_by"],
                          record["status"]),
                         (reply.reason, reply.failed_by, reply.status))
        if billed is not None:  # None: depends on how far it came
            self.assertEqual(record["billed_ms"] > 0, billed, record)

    def running(self, server):
        """A call that goes on for long, and the worker that runs it."""
        call = harness.Background(lambda: server.get("/f?ms=30000"))
        return call, server.wait_for_running("f")[0]["pid"]

    def slow(self, config=None):
        server = self.server(config)
        server.deploy("f", SLOW, LONG)
        return server

    # The handler's own.

    def test_handler_error(self):
        server = self.server()
        server.deploy("f", "return function() error('no') end")
        reply = server.get("/f")
        self.assert_reason(reply, "handler_error")
        self.assert_recorded(server, reply, billed=True)

    def test_bad_response(self):
        server = self.server()
        server.deploy("f", "return function() return print end")
        reply = server.get("/f")
        self.assert_reason(reply, "bad_response")
        self.assert_recorded(server, reply, billed=True)

    def test_timeout(self):
        server = self.server(harness.PATIENT)
        server.deploy("f", "return function() while true do end end",
                      {"timeout_ms": 100})
        reply = server.get("/f")
        self.assert_reason(reply, "timeout")
        self.assert_recorded(server, reply, billed=True)

    def test_out_of_memory(self):
        server = self.server()
        server.deploy("f", "return function() local t = {} "
                      "for i = 1, 1e9 do t[i] = {} end end", {"memory_mb": 4})
        reply = server.get("/f")
        self.assert_reason(reply, "out_of_memory")
        self.assert_recorded(server, reply, billed=True)

    def test_init_failed(self):
        # An init that fails every other time, and no room for its image:
        # each start from zero runs it again.
        server = self.server({"image_cache_bytes": 0})
        for i in range(64):
            server.write_function("f", f"""
                if crypto.random(1):byte() < 128 then error("unlucky {i}.") end
                return function() return "lucky" end""")
            found = wait_for(lambda i=i: (f := server.function("f")) and (
                f["state"] == "serving" or f"unlucky {i}." in (f["error"] or ""))
                and f, "a decision")
            if found["state"] == "serving":
                break
        for _ in range(64):
            reply = server.get("/f")
            if reply.status != 200:
                break
            harness.Process(server.workers("f")[0]["pid"]).kill()
            server.wait_for_zero("f")
        self.assert_reason(reply, "init_failed")
        self.assertIn("unlucky", str(server.log_lines("f")))
        self.assert_recorded(server, reply, billed=True)

    # The worker's end.

    def test_worker_killed(self):
        server = self.slow()
        call, pid = self.running(server)
        harness.Process(pid).kill()
        reply = call.result()
        self.assert_reason(reply, "worker_killed")
        self.assert_recorded(server, reply, billed=False)
        self.assert_ok(server.get("/f"), "ok")

    def test_worker_crashed(self):
        server = self.slow()
        for number in (signal.SIGABRT, signal.SIGFPE):
            call, pid = self.running(server)
            harness.Process(pid).kill(number)
            reply = call.result()
            self.assert_reason(reply, "worker_crashed")
            self.assertIn(f"signal {int(number)} ", reply.json()["detail"])
            self.assert_recorded(server, reply)
        self.assert_ok(server.get("/f"), "ok")

    def test_sandbox_violation(self):
        # The signal that the kernel sends for a forbidden system call, sent
        # by us: Lua has no way to make one.  tests/jail makes real ones.
        server = self.slow()
        call, pid = self.running(server)
        harness.Process(pid).kill(signal.SIGSYS)
        reply = call.result()
        self.assert_reason(reply, "sandbox_violation")
        self.assert_recorded(server, reply)
        self.assert_ok(server.get("/f"), "ok")

    def test_protocol_error(self):
        # Bytes that no honest worker sends, from its own socket.
        server = self.slow()
        call, pid = self.running(server)
        try:
            with socket_of(pid) as fd:
                os.write(fd, b"\xff" * 64)
        except OSError as error:
            harness.Process(pid).kill()
            call.result()
            self.skipTest(f"a worker's socket cannot be had: {error}")
        reply = call.result()
        self.assert_reason(reply, "protocol_error")
        self.assert_recorded(server, reply)
        wait_for(lambda: pid not in [w["pid"] for w in server.workers()],
                 "it is killed")
        self.assert_ok(server.get("/f"), "ok")

    def test_zygote_died(self):
        # Its death is told by the end of its socket.  On a busy machine the
        # worker's end is now and then seen long before, without anybody who
        # could say how it died: then it looks like a crash of its own.
        server = self.slow()
        for _ in range(10):
            call, _ = self.running(server)
            zygote = server.zygote()
            zygote.kill()
            reply = call.result()
            if reply.reason != "worker_crashed":
                break
            wait_for(lambda z=zygote: not z.alive(), "its death")
        self.assert_reason(reply, "zygote_died")
        self.assert_recorded(server, reply, billed=False)
        self.assert_ok(server.get("/f"), "ok")

    # Too much at once.

    def test_queue_full(self):
        server = self.slow({"max_queue": 1})
        call, pid = self.running(server)
        waiting = harness.Background(lambda: server.get("/f"))
        wait_for(lambda: server.function("f")["queued"] == 1, "one waits")
        reply = server.get("/f")
        self.assert_reason(reply, "queue_full")
        self.assertGreater(int(reply.headers["retry-after"]), 0)
        self.assert_recorded(server, reply, billed=False)
        harness.Process(pid).kill()
        call.result()
        self.assert_ok(waiting.result(), "ok")

    def test_no_worker_in_time(self):
        server = self.slow({"max_queue_wait_ms": 1000})
        call, pid = self.running(server)
        reply = server.get("/f")
        self.assert_reason(reply, "no_worker_in_time")
        self.assert_recorded(server, reply, billed=False)
        harness.Process(pid).kill()
        call.result()

    def test_bodies_in_memory(self):
        server = self.server({"max_buffered_bytes": 1048576,
                              "body_timeout_ms": 60000})
        server.deploy("f", "return function() return 'ok' end")
        part = b"x" * 400000
        head = (b"POST /f HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: 400001\r\n\r\n")
        with contextlib.ExitStack() as stack:
            replies = []
            for _ in range(3):
                connection = stack.enter_context(server.connect())
                connection.send(head + part)
                replies.append(connection)
            reply = replies[self.first_readable(replies)].reply()
            self.assert_reason(reply, "bodies_in_memory")
            self.assertGreater(int(reply.headers["retry-after"]), 0)
        wait_for(lambda: server.http("POST", "/f", part).status == 200,
                 "room again")

    @staticmethod
    def first_readable(connections):
        def found():
            sockets = [c.socket for c in connections]
            ready = select.select(sockets, [], [], 0)[0]
            return ready and [sockets.index(ready[0])]
        return wait_for(found, "one to be refused")[0]

    # The end.

    def test_draining(self):
        server = self.slow({"drain_timeout_ms": 300})
        call, _ = self.running(server)
        server.process.send_signal(signal.SIGTERM)
        reply = call.result()
        self.assert_reason(reply, "draining")
        self.assertEqual(server.process.wait(harness.DEADLINE), 0)


class Documentation(harness.TestCase):
    def test_every_reason_is_provoked_by_some_test(self):
        tests = [*(harness.ROOT / "tests/e2e").glob("test_*.py"),
                 *(harness.ROOT / "tests/unit").rglob("*.c")]
        said = "\n".join(path.read_text() for path in tests)
        # the parsers' own tests name a fault by its constant
        faults = dict(re.findall(
            r"^FAULT\((\w+), \d+, \"\w+\", \"(\w+)\"",
            (harness.ROOT / "runtime/http/faults.def").read_text(), re.M))
        constants = {reason: name for name, reason in faults.items()}
        for reason in harness.documented_errors():
            with self.subTest(reason=reason):
                words = [rf'["\s]{reason}["\\]']
                if reason in constants:
                    words.append(rf"HTTP_FAULT_{constants[reason]}\b")
                self.assertTrue(any(re.search(word, said) for word in words),
                                "no test names it")


if __name__ == "__main__":
    harness.main()
