"""test_http.py - the public listener: RFC 9112 strictly, limits, who failed."""
import contextlib
import http.client
import os
import re
import socket
import time

import harness
from harness import BUSY, wait_for

ECHO = "return function(e) return e.method .. ' ' .. e.body end"
GET = b"GET /f HTTP/1.1\r\nHost: x\r\n\r\n"


class Connections(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.up = self.server({"idle_timeout_ms": 60000})
        self.up.deploy("f", ECHO)

    def test_a_connection_is_kept_for_more_requests(self):
        with self.up.connect() as connection:
            for _ in range(50):
                connection.send(GET)
                self.assert_ok(connection.reply(), "GET ")

    def test_pipelined_requests_are_answered_in_order(self):
        with self.up.connect() as connection:
            connection.send(b"".join(
                b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%d"
                % (len(str(i)), i) for i in range(500)))
            for i in range(500):
                self.assert_ok(connection.reply(), f"POST {i}")

    def test_a_bad_request_ends_the_pipeline_after_those_before_it(self):
        with self.up.connect() as connection:
            connection.send(GET + GET + b"GET /f HTTP/1.1\r\n\r\n" + GET)
            self.assert_ok(connection.reply())
            self.assert_ok(connection.reply())
            self.assert_fails(connection.reply(), "bad_host")
            self.assertTrue(connection.is_closed())

    def test_connection_close_is_obeyed(self):
        with self.up.connect() as connection:
            connection.send(b"GET /f HTTP/1.1\r\nHost: x\r\n"
                            b"Connection: close\r\n\r\n")
            reply = connection.reply()
            self.assert_ok(reply)
            self.assertEqual(reply.headers["connection"].lower(), "close")
            self.assertTrue(connection.is_closed())

    def test_http_1_0_closes_and_gets_no_chunks(self):
        with self.up.connect() as connection:
            connection.send(b"GET /f HTTP/1.0\r\n\r\n")
            reply = connection.reply()
            self.assert_ok(reply, "GET ")
            self.assertNotIn("transfer-encoding", reply.headers)
            self.assertTrue(connection.is_closed())

    def test_a_request_may_come_byte_by_byte(self):
        with self.up.connect() as connection:
            for byte in (b"POST /f HTTP/1.1\r\nHost: x\r\n"
                         b"Content-Length: 3\r\n\r\nabc"):
                connection.send(bytes([byte]))
            self.assert_ok(connection.reply(), "POST abc")

    def test_a_chunked_body_is_put_together(self):
        with self.up.connect() as connection:
            for size, repeat in ((1, 1), (7, 5), (4096, 300)):
                body = bytes(range(33, 127)) * repeat
                chunks = b"".join(
                    b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in (
                        body[i:i + size] for i in range(0, len(body), size)))
                connection.send(b"POST /f HTTP/1.1\r\nHost: x\r\n"
                                b"Transfer-Encoding: chunked\r\n\r\n" + chunks
                                + b"0\r\nX-Trailer: y\r\n\r\n")
                self.assert_ok(connection.reply(), b"POST " + body)

    def test_streams_are_chunked_on_the_way_out(self):
        with harness.Connection(self.up.state / "admin.sock") as connection:
            connection.send(b"GET /v1/logs?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            while line := connection._line():
                if line.lower() == "transfer-encoding: chunked":
                    break
            else:
                self.fail("the stream is not chunked")

    def test_expect_100_continue_is_answered_before_the_body(self):
        with self.up.connect() as connection:
            connection.send(b"POST /f HTTP/1.1\r\nHost: x\r\n"
                            b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            self.assertEqual(connection.reply().status, 100)
            connection.send(b"ok")
            self.assert_ok(connection.reply(), "POST ok")

    def test_expect_is_not_answered_100_when_the_request_is_refused(self):
        with self.up.connect() as connection:
            connection.send(b"POST /nobody HTTP/1.1\r\nHost: x\r\n"
                            b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            self.assert_fails(connection.reply(), "no_such_function")

    def test_an_unknown_expectation_is_417(self):
        reply, _ = self.up.refused(
            b"POST /f HTTP/1.1\r\nHost: x\r\nExpect: moon\r\n"
            b"Content-Length: 2\r\n\r\nok")
        self.assertEqual(reply.status, 417)

    def test_head_has_the_headers_of_get_and_no_body(self):
        with self.up.connect() as connection:
            connection.send(b"HEAD /f HTTP/1.1\r\nHost: x\r\n\r\n")
            reply = connection.reply("HEAD")
            self.assertEqual(reply.status, 200)
            self.assertEqual(reply.headers["content-length"], "5")
            connection.send(GET)  # nothing stood between
            self.assert_ok(connection.reply(), "GET ")

    def test_options_is_answered_with_allow(self):
        self.up.deploy("g", ECHO, {"methods": ["GET"]})
        reply = self.up.http("OPTIONS", "/g")
        self.assertIn(reply.status, (200, 204))
        self.assertIn("GET", reply.headers["allow"])
        with self.up.connect() as connection:
            connection.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(connection.reply().status, (200, 204))

    def test_a_half_closed_client_still_gets_its_answer(self):
        with self.up.connect() as connection:
            connection.send(GET)
            connection.socket.shutdown(socket.SHUT_WR)
            self.assert_ok(connection.reply())
            self.assertTrue(connection.is_closed())

    def test_the_server_names_date_length_and_request_id(self):
        reply = self.up.get("/f")
        self.assertRegex(reply.headers["date"],
                         r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
        self.assertEqual(reply.headers["content-length"], "4")
        self.assertRegex(reply.request_id, r"^[0-9a-z]{26}$")
        ids = [self.up.get("/f").request_id for _ in range(20)]
        self.assertEqual(len(set(ids)), 20)
        self.assertEqual(ids, sorted(ids))

    def test_many_connections_are_served_at_once(self):
        with_all = [self.up.connect() for _ in range(200)]
        try:
            for connection in with_all:
                connection.send(GET)
            for connection in with_all:
                self.assert_ok(connection.reply())
        finally:
            for connection in with_all:
                connection.close()


def request(*lines, body=b""):
    return b"\r\n".join((b"POST /f HTTP/1.1",) + lines) + b"\r\n\r\n" + body


HOST = b"Host: x"


class Ambiguous(harness.TestCase):
    """Each is refused with the connection closed, and reaches no function."""
    CASES = {
        "length and chunked": request(
            HOST, b"Content-Length: 5", b"Transfer-Encoding: chunked",
            body=b"0\r\n\r\n"),
        "chunked and length": request(
            HOST, b"transfer-encoding: chunked", b"content-length: 5",
            body=b"0\r\n\r\n"),
        "two lengths": request(
            HOST, b"Content-Length: 1", b"Content-Length: 2", body=b"ab"),
        "equal lengths": request(
            HOST, b"Content-Length: 1", b"Content-Length: 1", body=b"a"),
        "list of lengths": request(HOST, b"Content-Length: 5, 5",
                                   body=b"abcde"),
        "signed length": request(HOST, b"Content-Length: +1", body=b"a"),
        "negative length": request(HOST, b"Content-Length: -1"),
        "hex length": request(HOST, b"Content-Length: 0x5", body=b"abcde"),
        "length with letters": request(HOST, b"Content-Length: 5abc",
                                       body=b"abcde"),
        "empty length": request(HOST, b"Content-Length: "),
        "length over 64 bits": request(
            HOST, b"Content-Length: 18446744073709551617", body=b"a"),
        "bare CR": request(HOST, b"X: a\rb"),
        "bare CR in the value's end": request(HOST, b"X: a\r"),
        "bare LF": b"GET /f HTTP/1.1\nHost: x\n\n",
        "obs-fold": request(HOST, b"X: a", b" b"),
        "folded by tab": request(HOST, b"X: a", b"\tb"),
        "space before the colon": request(HOST, b"Content-Length : 1",
                                          body=b"a"),
        "space in a name": request(HOST, b"X Y: a"),
        "empty name": request(HOST, b": a"),
        "no colon": request(HOST, b"nothing"),
        "leading space line": request(b" Host: x"),
        "NUL in a value": request(HOST, b"X: a\0b"),
        "control in a value": request(HOST, b"X: a\x01b"),
        "no host": request(b"X: y"),
        "two hosts": request(HOST, b"Host: y"),
        "host with user": request(b"Host: u@x"),
        "chunk size with sign": request(
            HOST, b"Transfer-Encoding: chunked", body=b"+1\r\na\r\n0\r\n\r\n"),
        "chunk size in hex style": request(
            HOST, b"Transfer-Encoding: chunked", body=b"0x1\r\na\r\n0\r\n\r\n"),
        "chunk size empty": request(
            HOST, b"Transfer-Encoding: chunked", body=b"\r\na\r\n0\r\n\r\n"),
        "chunk size of 17 digits": request(
            HOST, b"Transfer-Encoding: chunked",
            body=b"00000000000000001\r\na\r\n0\r\n\r\n"),
        "chunk ended by LF": request(
            HOST, b"Transfer-Encoding: chunked", body=b"1\na\r\n0\r\n\r\n"),
        "chunk without its end": request(
            HOST, b"Transfer-Encoding: chunked", body=b"1\r\naX0\r\n\r\n"),
        "trailer with a length": request(
            HOST, b"Transfer-Encoding: chunked",
            body=b"1\r\na\r\n0\r\nContent-Length: 5\r\n\r\n"),
        "two spaces": b"GET  /f HTTP/1.1\r\nHost: x\r\n\r\n",
        "tab in the request line": b"GET\t/f HTTP/1.1\r\nHost: x\r\n\r\n",
        "space in the target": b"GET /f x HTTP/1.1\r\nHost: x\r\n\r\n",
        "NUL in the target": b"GET /f\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "encoded NUL in the path": b"GET /f%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        "bad percent escape": b"GET /f%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    }
    CODES = {
        "unknown coding": (request(HOST, b"Transfer-Encoding: gzip"), {501}),
        "chunked twice": (request(
            HOST, b"Transfer-Encoding: chunked, chunked"), {400, 501}),
        "chunked not last": (request(
            HOST, b"Transfer-Encoding: chunked, identity"), {400, 501}),
        "not chunked": (request(HOST, b"Transfer-Encoding: xchunked"), {501}),
        "chunked in 1.0": (b"POST /f HTTP/1.0\r\nTransfer-Encoding: chunked"
                           b"\r\n\r\n0\r\n\r\n", {400}),
        "HTTP/2.0": (b"GET /f HTTP/2.0\r\nHost: x\r\n\r\n", {505}),
        "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                  {400, 505}),
        "lower-case version": (b"GET /f http/1.1\r\nHost: x\r\n\r\n",
                               {400, 505}),
        "version with two digits": (b"GET /f HTTP/1.32\r\nHost: x\r\n\r\n",
                                    {400, 505}),
        "CONNECT": (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
                    {400, 405}),
        "TRACE": (b"TRACE /f HTTP/1.1\r\nHost: x\r\n\r\n", {405}),
        "a method without end": (b"G" * 70000, {400, 414, 501}),
    }

    def test_whatever_is_ambiguous_is_400_and_the_connection_closes(self):
        server = self.server({"head_timeout_ms": 3000,
                              "body_timeout_ms": 3000})
        server.deploy("f", "return function() return 'reached' end")
        for name, data in self.CASES.items():
            with self.subTest(case=name):
                reply, closed = server.refused(data)
                self.assertEqual(reply.status, 400, reply)
                self.assert_problem(reply)
                self.assertTrue(closed)
        for name, (data, statuses) in self.CODES.items():
            with self.subTest(case=name):
                reply, closed = server.refused(data)
                self.assertIn(reply.status, statuses)
                self.assert_problem(reply)
                self.assertTrue(closed)
        self.assert_ok(server.get("/f"), "reached")
        self.assertEqual(len(server.records("f")), 1)

    def test_a_leading_zero_in_a_length_is_fine(self):
        server = self.server()
        server.deploy("f", ECHO)
        with server.connect() as connection:
            connection.send(request(HOST, b"Content-Length: 003", body=b"abc"))
            self.assert_ok(connection.reply(), "POST abc")

    def test_encoded_dots_and_slashes_find_nothing(self):
        server = self.server()
        server.deploy("f", ECHO)
        for path in ("/..%2ff", "/%2e%2e/f", "/x/../f", "//f", "/f;x", "/F",
                     "/%c0%afetc", "/" + "a" * 300, "/./f"):
            with self.subTest(path=path):
                self.assertIn(server.get(path).status, (400, 404))


# reason: what a client must send to get it (a Host field is added).
MALFORMED = {
    "bad_request_line": "GET  / HTTP/1.1",
    "bad_method": "G(T / HTTP/1.1",
    "unknown_method": "G" * 40 + " / HTTP/1.1",
    "method_refused": "TRACE / HTTP/1.1",
    "bad_version": "GET / HTTP/2.0",
    "bad_target": "GET hello HTTP/1.1",
    "bad_path": "GET /a/../b HTTP/1.1",
    "host_differs": "GET http://b/ HTTP/1.1",
    "bad_line_end": "GET / HTTP/1.1\n",
    "bad_host": "GET / HTTP/1.1\r\nHost: b",
    "bad_header": "GET / HTTP/1.1\r\nA : b",
    "folded_header": "GET / HTTP/1.1\r\nA: b\r\n c",
    "unknown_expectation": "GET / HTTP/1.1\r\nExpect: x",
    "bad_content_length": "POST / HTTP/1.1\r\nContent-Length: +1",
    "unknown_transfer_encoding":
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
    "bad_transfer_encoding":
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked",
    "ambiguous_length": "POST / HTTP/1.1\r\nContent-Length: 1\r\n"
                        "Transfer-Encoding: chunked",
}
CHUNKED = {
    "bad_chunk": "zz\r\n",
    "bad_trailer": "0\r\nContent-Length: 1\r\n\r\n",
    "chunk_overhead": ("1;" + "x" * 200 + "\r\na\r\n") * 2000,
    "trailers_too_long": "0\r\n" + "x: y\r\n" * 5000 + "\r\n",
}


class Reasons(harness.TestCase):
    def test_each_malformed_request_has_its_documented_reason(self):
        server = self.server()
        server.deploy("f", "return function() return 'hi' end", {
            "route": "/"})
        for reason, head in MALFORMED.items():
            with self.subTest(reason=reason):
                self.refused(server, reason, head + "\r\nHost: a\r\n\r\n")
        for reason, body in CHUNKED.items():
            with self.subTest(reason=reason):
                self.refused(server, reason, "POST / HTTP/1.1\r\nHost: a\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n" + body)

    def refused(self, server, reason, request):
        with harness.Connection(("127.0.0.1", server.port)) as connection:
            with contextlib.suppress(OSError):  # refused before its end
                connection.send(request)
            self.assert_fails(connection.reply(), reason)


class Limits(harness.TestCase):
    CONFIG = {"max_line_bytes": 512, "max_head_bytes": 4096, "max_headers": 20,
              "max_body_bytes": 10000, "head_timeout_ms": 400,
              "body_timeout_ms": 500, "idle_timeout_ms": 600}

    def setUp(self):
        super().setUp()
        self.up = self.server(self.CONFIG)
        self.up.deploy("f", ECHO)

    def assert_closes(self, data, reason):
        reply, closed = self.up.refused(data)
        self.assert_fails(reply, reason)
        self.assertTrue(closed)

    def test_a_long_request_line_is_414(self):
        self.assert_closes(b"GET /f?" + b"x" * 600 + b" HTTP/1.1\r\n"
                           b"Host: x\r\n\r\n", "line_too_long")

    def test_large_headers_are_431(self):
        self.assert_closes(b"GET /f HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 5000
                           + b"\r\n\r\n", "head_too_long")

    def test_many_headers_are_431(self):
        self.assert_closes(b"GET /f HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 30
                           + b"\r\n", "too_many_headers")

    def test_a_large_body_is_413_before_it_is_read(self):
        with self.up.connect() as connection:
            connection.send(b"POST /f HTTP/1.1\r\nHost: x\r\n"
                            b"Content-Length: 10737418240\r\n\r\n")
            self.assert_fails(connection.reply(), "body_too_long")

    def test_a_chunked_body_that_grows_too_large_is_413(self):
        self.assert_closes(
            b"POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"2000\r\n" + b"x" * 8192 + b"\r\n2000\r\n" + b"x" * 8192,
            "body_too_long")

    def test_a_function_may_allow_more_or_less(self):
        self.up.deploy("big", "return function(e) return tostring(#e.body) end",
                       {"max_request_bytes": 20000})
        self.up.deploy("small", ECHO, {"max_request_bytes": 10})
        self.assert_ok(self.up.post("/big", b"x" * 20000), "20000")
        self.assert_fails(self.up.post("/small", b"x" * 11), "body_too_long")
        self.assert_ok(self.up.post("/small", b"x" * 10))

    def test_a_slow_head_is_408(self):
        with self.up.connect() as connection:
            connection.send(b"GET /f HT")
            began = time.monotonic()
            self.assert_fails(connection.reply(), "head_timeout")
            self.assertTrue(connection.is_closed())
            self.assertLess(time.monotonic() - began, 5)

    def test_a_trickled_head_is_cut_at_the_same_deadline(self):
        with self.up.connect() as connection:
            began = time.monotonic()
            connection.send(b"GET /f HTTP/1.1\r\n")
            try:
                while time.monotonic() - began < 10:
                    connection.send(b"X: y\r\n")
                    connection.socket.settimeout(0.05)
                    try:
                        if not connection._more():
                            break
                    except TimeoutError:
                        pass
            except OSError:
                pass
            self.assertLess(time.monotonic() - began, 5)

    def test_a_slow_body_is_408(self):
        with self.up.connect() as connection:
            connection.send(b"POST /f HTTP/1.1\r\nHost: x\r\n"
                            b"Content-Length: 10\r\n\r\nabc")
            self.assert_fails(connection.reply(), "body_timeout")
            self.assertTrue(connection.is_closed())

    def test_an_idle_connection_is_closed_without_a_word(self):
        with self.up.connect() as connection:
            connection.send(GET)
            self.assert_ok(connection.reply())
            self.assertTrue(connection.is_closed())
            self.assertEqual(connection.buffer, b"")

    def test_connections_above_the_limit_wait_and_are_served_later(self):
        server = self.server({"max_connections": 16})
        server.deploy("f", ECHO)
        first = [server.connect() for _ in range(16)]
        for connection in first:
            connection.send(GET)
            self.assert_ok(connection.reply())
        late = server.connect()
        late.send(GET)
        late.socket.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            late.reply()
        for connection in first:
            connection.close()
        late.socket.settimeout(harness.DEADLINE)
        self.assert_ok(late.reply())
        late.close()

    def test_a_client_that_does_not_read_is_cut_off_and_holds_no_worker(self):
        server = self.server({"write_timeout_ms": 500})
        server.deploy("f", "return function() return ('x'):rep(4 << 20) end",
                      {"max_response_bytes": 5 << 20, "max_workers": 1})
        with server.connect() as connection:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                         4096)
            connection.send(GET)
            wait_for(lambda: server.workers("f", "idle"), "the worker is free")
            with self.assertRaises((http.client.HTTPException, OSError)):
                end = time.monotonic() + 10
                while time.monotonic() < end:
                    time.sleep(1)  # not reading is what is tested
                    connection.reply()

    def test_idle_connections_and_slow_heads_do_not_disturb_others(self):
        slow = [self.up.connect() for _ in range(300)]
        for connection in slow:
            connection.send(b"GET /f HTTP/1.1\r\nX: ")
        for _ in range(20):
            self.assert_ok(self.up.get("/f"))
        for connection in slow:
            connection.close()


class WhoFailed(harness.TestCase):
    def test_what_the_handler_made_has_no_failed_by(self):
        server = self.server()
        server.deploy("f", "return function() return {status = 503, body = ''} "
                      "end")
        reply = server.get("/f")
        self.assertEqual((reply.status, reply.failed_by), (503, None))

    def test_nobody_answers_is_404(self):
        self.assert_fails(self.server().get("/nobody"), "no_such_function")

    def test_a_function_that_never_loaded_is_404(self):
        server = self.server()
        server.write_function("f", "return = 1")
        server.wait_for_error("f")
        self.assert_fails(server.get("/f"), "no_such_function")

    def test_a_full_queue_is_429_with_retry_after(self):
        server = self.server({"max_queue": 2})
        server.deploy("f", BUSY + "return function(e, ctx) busy(ctx, 1000) "
                      "return 'ok' end", {"max_workers": 1})
        replies = harness.at_once(12, lambda _: server.get("/f"))
        refused = [r for r in replies if r.status == 429]
        self.assertGreaterEqual(len(refused), 6)
        for reply in refused:
            self.assert_fails(reply, "queue_full")
            self.assertGreater(int(reply.headers["retry-after"]), 0)
        for reply in replies:
            if reply not in refused:
                self.assert_ok(reply, "ok")

    def test_a_dead_worker_is_502(self):
        server = self.server()
        server.deploy("f", BUSY + "return function(e, ctx) busy(ctx, 2500) end")
        running = harness.Background(lambda: server.get("/f"))
        worker = server.wait_for_running("f")[0]
        harness.Process(worker["pid"]).kill()
        self.assert_fails(running.result(), "worker_killed")

    def test_waiting_too_long_for_a_worker_is_503_and_not_billed(self):
        server = self.server({"max_queue_wait_ms": 300})
        server.deploy("f", BUSY + "return function(e, ctx) busy(ctx, 900) "
                      "return 'ok' end", {"max_workers": 1})
        replies = harness.at_once(4, lambda _: server.get("/f"))
        self.assertEqual(sorted(r.status for r in replies),
                         [200, 503, 503, 503])
        for reply in replies:
            if reply.status == 503:
                self.assert_fails(reply, "no_worker_in_time")
                record = server.record(reply.request_id)
                self.assertEqual((record["billed_ms"], record["outcome"]),
                                 (0, "expired"))

    def test_a_result_that_cannot_be_sent_is_502(self):
        server = self.server()
        for i, result in enumerate((
                "{status = 99}", "{status = 1000}", "{status = '200 OK'}",
                "{status = 200, headers = {['x'] = 'a\\r\\nSet-Cookie: b'}}",
                "{status = 200, headers = {['x y'] = 'a'}}",
                "{status = 200, headers = {['content-length'] = '3'}}",
                "{status = 200, headers = {['transfer-encoding'] = 'chunked'}}",
                "{status = 200, headers = {['connection'] = 'close'}}",
                "{status = 200, body = print}", "{a = print}", "{a = 0/0}",
                "{a = 1/0}", "{[1] = 1, x = 2}", "print")):
            with self.subTest(result=result):
                server.deploy(f"f{i}", f"return function() return {result} end")
                reply = server.get(f"/f{i}")
                self.assert_fails(reply, "bad_response")
                self.assertNotIn("set-cookie", reply.headers)

    def test_cyclic_tables_are_no_result(self):
        server = self.server()
        server.deploy("f", "return function() local t = {} t.t = t return t end")
        self.assert_fails(server.get("/f"), "bad_response")

    def test_what_the_server_refuses_by_itself_is_documented_as_it_is(self):
        table = harness.documented_errors()
        faults = (harness.ROOT / "runtime/http/faults.def").read_text()
        found = re.findall(r'^FAULT\(\w+, (\d+), "(\w+)", "(\w+)"', faults,
                           re.M)
        self.assertGreater(len(found), 20)
        for status, failed_by, reason in found:
            self.assertEqual(table.get(reason), (int(status), failed_by),
                             reason)
        for reason, (status, failed_by) in table.items():
            self.assertTrue(400 <= status <= 505)
            self.assertIn(failed_by, ("client", "policy", "gateway", "pool",
                                      "sandbox", "limit", "handler"), reason)


class Receipts(harness.TestCase):
    def test_receipt_record_and_log_agree(self):
        server = self.server()
        server.deploy("f", BUSY + "return function(e, ctx) busy(ctx, 20) "
                      "print('here') return 'ok' end")
        replies = [server.get("/f") for _ in range(5)]
        replies += harness.at_once(8, lambda _: server.get("/f"))
        for reply in replies:
            record = server.record(reply.request_id)
            us, timing = record["us"], reply.timing_us
            self.assertEqual(timing["queue"], us["queue"])
            self.assertEqual(timing["init"], us["init"])
            self.assertEqual(timing["handler"], us["handler"])
            self.assertEqual(timing["start"],
                             us["spawn"] + us["jail"] + us["load"])
            self.assertEqual(reply.billed_ms, record["billed_ms"])
            self.assertEqual(reply.peak_kb, record["peak_kb"])
            self.assertEqual(reply.start, (record["start"]["kind"],
                                           record["start"]["cause"]))
            self.assertEqual((record["status"], record["outcome"],
                              record["function"], record["version"],
                              record["source"]), (200, "ok", "f", 1, "http"))
            self.assertEqual(record["bytes_out"], 2)
            # STARTED is read when the gateway gets to it: what passed
            # until then counts as load.
            self.assertGreaterEqual(us["handler"] + us["load"], 19000)
            self.assertTrue(any(
                line["request_id"] == reply.request_id
                for line in server.wait_for_log("here", "f")))

    def test_the_phases_fit_into_what_the_client_waited(self):
        server = self.server()
        server.deploy("f", BUSY + "return function(e, ctx) busy(ctx, 50) end")
        for _ in range(3):
            began = time.monotonic()
            reply = server.get("/f")
            waited_us = (time.monotonic() - began) * 1e6
            self.assertLessEqual(sum(reply.timing_us.values()), waited_us)

    def test_a_failed_invocation_has_a_receipt_too(self):
        server = self.server()
        server.deploy("f", "return function() error('x') end")
        reply = server.get("/f")
        record = server.record(reply.request_id)
        self.assertEqual((record["outcome"], record["failed_by"],
                          record["reason"], record["status"]),
                         ("error", "handler", "handler_error", 500))
        self.assertEqual(reply.billed_ms, record["billed_ms"])
        self.assertGreaterEqual(reply.billed_ms, 1)

    def test_receipts_can_be_switched_off_and_the_id_stays(self):
        server = self.server({"receipts": 0})
        server.deploy("f", ECHO)
        reply = server.get("/f")
        self.assert_ok(reply)
        for name in ("server-timing", "perilune-start", "perilune-billed-ms",
                     "perilune-peak-kb"):
            self.assertNotIn(name, reply.headers)
        self.assertTrue(reply.request_id)


class GoneClients(harness.TestCase):
    def test_a_client_that_goes_away_cancels_its_invocation(self):
        server = self.server()
        server.deploy("f", "return function(e) if e.query.ok then return 'ok' "
                      "end while true do end end", {"timeout_ms": 60000})
        for leave in ("close", "reset"):
            with self.subTest(leave=leave):
                connection = server.connect()
                connection.send(GET)
                wait_for(lambda: server.workers("f", "busy"), "it runs")
                time.sleep(0.05)  # later than what counts as a half-close
                getattr(connection, leave)()
                wait_for(lambda: not server.workers("f", "busy"),
                         "it was stopped")
                records = wait_for(
                    lambda: [r for r in server.records("f")
                             if r["outcome"] == "cancelled"], "its record")
                self.assertEqual(records[0]["failed_by"], "client")
                self.assert_ok(server.get("/f?ok=1"), "ok")

    def test_a_client_that_leaves_the_queue_frees_its_place(self):
        server = self.server({"max_queue": 1})
        server.deploy("f", BUSY + "return function(e, ctx) "
                      "if e.query.ms then busy(ctx, 1500) end return 'ok' end",
                      {"max_workers": 1})
        running = harness.Background(lambda: server.get("/f?ms=1"))
        wait_for(lambda: server.workers("f", "busy"), "it runs")
        waiting = server.connect()
        waiting.send(GET)
        wait_for(lambda: server.function("f")["queued"] == 1, "one waits")
        self.assert_fails(server.get("/f"), "queue_full")
        waiting.close()
        wait_for(lambda: server.function("f")["queued"] == 0, "none waits")
        self.assert_ok(server.get("/f"), "ok")
        self.assert_ok(running.result(), "ok")

    def test_leaving_in_every_state_leaves_nothing_behind(self):
        server = self.server()
        server.deploy("f", ECHO)
        whole = (b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
                 * 2)
        for cut in range(1, len(whole), 3):
            connection = server.connect()
            connection.send(whole[:cut])
            connection.reset() if cut % 2 else connection.close()
        wait_for(lambda: not server.workers("f", "busy"), "nothing runs")
        fds = len(_fds(server))
        self.assertLess(fds, 100)
        self.assert_ok(server.get("/f"))

    def test_descriptors_do_not_pile_up(self):
        server = self.server()
        server.deploy("f", ECHO)
        for _ in range(20):
            server.get("/f")
        before = len(_fds(server))
        for _ in range(300):
            server.get("/f")
        wait_for(lambda: len(_fds(server)) <= before + 5, "no more fds")


def _fds(server):
    return os.listdir(f"/proc/{server.gateway().pid}/fd")


if __name__ == "__main__":
    harness.main()
