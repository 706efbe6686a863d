/*
 * test_server.c - exchanges over real sockets: order, framing, leaving.
 *
 * Runs in: tests.
 */
#include "tests/unit/runtime/http/http_test.h"

#include <sys/un.h>

START_TEST(a_request_is_answered_and_the_connection_is_kept)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c, SLICE(GET("/hello")));
	WAIT(client_has(&c, "\r\n\r\nhello"));
	ck_assert(client_has(&c, "HTTP/1.1 200 OK\r\nDate: "));
	ck_assert(client_has(&c, " GMT\r\nPerilune-Request-Id: "));
	ck_assert(client_has(&c, "Content-Type: text/plain\r\n"));
	ck_assert(client_has(&c, "Content-Length: 5\r\n"));
	ck_assert(!client_has(&c, "Connection:"));
	client_send(&c, SLICE(GET("/hello")));
	WAIT(client_count(&c, "\r\n\r\nhello") == 2);
	ck_assert_uint_eq(stats().connections_total, 1);
	ck_assert_uint_eq(stats().requests_total, 2);
	client_close(&c);
	WAIT(stats().connections_open == 0);
	ck_assert_uint_eq(gones, 0);
	serve_end();
}
END_TEST

START_TEST(http_1_0_closes_unless_it_asks)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c,
	    SLICE("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
	WAIT(client_has(&c, "Connection: keep-alive\r\n"));
	client_send(&c, SLICE("GET /hello HTTP/1.0\r\n\r\n"));
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "Connection: close\r\n"));
	ck_assert_uint_eq(client_count(&c, "\r\n\r\nhello"), 2);
	ck_assert(!c.reset);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
	struct buf in = {0};
	struct client c;
	size_t at = 0;

	serve_default();
	c = client_open();
	for (int i = 0; i < 10000; i++)
		buf_addf(&in,
		    "POST /echo HTTP/1.1\r\n" H "Content-Length: 7\r\n\r\n"
		    "<%05d>",
		    i);
	client_send(&c, buf_slice(&in));
	WAIT(client_has(&c, "<09999>"));
	for (int i = 0; i < 10000; i++) {
		char text[16];
		char *found;

		(void)snprintf(text, sizeof(text), "<%05d>", i);
		found = strstr(c.got.p + at, text);
		ck_assert_msg(found != NULL, "%s out of order", text);
		at = (size_t)(found - c.got.p);
	}
	ck_assert_uint_eq(requests, 10000);
	buf_fini(&in);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_pipelined_request_waits_for_a_late_reply)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c, SLICE(GET("/later") GET("/hello") GET("/later")));
	WAIT(nkept == 1);
	for (int i = 0; i < 20; i++)
		turn();
	ck_assert_uint_eq(requests, 1);
	reply_text(kept[0], SLICE("first"));
	ck_assert_uint_eq(requests, 1);
	WAIT(nkept == 2);
	WAIT(client_has(&c, "first") && client_has(&c, "hello"));
	ck_assert(strstr(c.got.p, "first") < strstr(c.got.p, "hello"));
	reply_text(kept[1], SLICE("last"));
	WAIT(client_has(&c, "last"));
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_bad_request_ends_the_pipeline)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c, SLICE(GET("/hello") "GET /x\r\n\r\n" GET("/hello")));
	WAIT(client_ended(&c));
	ck_assert_uint_eq(client_count(&c, "\r\n\r\nhello"), 1);
	ck_assert(client_has(&c, "HTTP/1.1 400 Bad Request\r\n"));
	ck_assert(client_has(&c, "Content-Type: application/problem+json\r\n"));
	ck_assert(client_has(&c, "Perilune-Failed-By: client\r\n"));
	ck_assert(client_has(&c, "Perilune-Reason: bad_request_line\r\n"));
	ck_assert(client_has(&c,
	    "{\"type\":\"about:blank\",\"title\":\"Bad Request\","
	    "\"status\":400,\"detail\":\""));
	ck_assert(client_has(&c,
	    "\"reason\":\"bad_request_line\","
	    "\"failed_by\":\"client\",\"request_id\":\""));
	ck_assert(client_has(&c, "Connection: close\r\n"));
	ck_assert(!c.reset);
	ck_assert_uint_eq(refusals, 1);
	ck_assert_uint_eq(stats().refused_total, 1);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_chunked_upload_is_the_same_cut_at_every_byte)
{
	static const struct slice whole = SLICE(
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
	    "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: v\r\n\r\n");

	serve_default();
	for (size_t cut = 1; cut <= whole.n; cut++) {
		struct client c = client_open();

		client_send(&c, (struct slice){whole.p, cut});
		turn();
		client_send(&c, (struct slice){whole.p + cut, whole.n - cut});
		WAIT(client_has(&c, "\r\n\r\nabcdefg"));
		client_send(&c, SLICE(GET("/hello")));
		WAIT(client_has(&c, "\r\n\r\nhello"));
		client_close(&c);
	}
	WAIT(stats().connections_open == 0);
	ck_assert_uint_eq(stats().buffered_bytes, 0);
	serve_end();
}
END_TEST

START_TEST(a_long_body_comes_back_whole)
{
	struct buf in = {0};
	struct client c;

	serve_default();
	c = client_open();
	buf_puts(&in,
	    "POST /echo HTTP/1.1\r\n" H "Content-Length: 1048576\r\n\r\n");
	for (int i = 0; i < 131072; i++)
		buf_addf(&in, "%07d\n", i);
	client_send(&c, buf_slice(&in));
	WAIT(client_has(&c, "0131071\n"));
	ck_assert_int_eq(memcmp(c.got.p + c.got.n - 1048576,
			     in.p + in.n - 1048576, 1048576),
	    0);
	WAIT(stats().buffered_bytes == 0);
	buf_fini(&in);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(head_gets_the_length_without_the_body)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c, SLICE("HEAD /hello HTTP/1.1\r\n" H "\r\n" GET("/x")));
	WAIT(client_count(&c, "HTTP/1.1 200 OK") == 2);
	ck_assert(client_has(&c, "Content-Length: 5\r\n\r\nHTTP/1.1 200"));
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(options_star_is_the_servers_and_unknown_methods_are_not)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c, SLICE("OPTIONS * HTTP/1.1\r\n" H "\r\n"));
	WAIT(client_has(&c, "Allow: GET, HEAD, POST"));
	ck_assert(client_has(&c, "Content-Length: 0\r\n"));
	ck_assert_uint_eq(requests, 0);
	client_send(&c,
	    SLICE("OPTIONS /echo HTTP/1.1\r\n" H "\r\n"
		  "BREW /hello HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n"));
	WAIT(requests == 2 && client_has(&c, "hello"));
	client_send(&c, SLICE("TRACE / HTTP/1.1\r\n" H "\r\n"));
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "HTTP/1.1 405 Method Not Allowed"));
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(expect_is_answered_once_the_head_is_accepted)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c,
	    SLICE("POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
		  "Content-Length: 3\r\n\r\n"));
	WAIT(client_has(&c, "HTTP/1.1 100 Continue\r\n\r\n"));
	client_send(&c, SLICE("abc"));
	WAIT(client_has(&c, "\r\n\r\nabc"));
	/* Sent without waiting: nothing to say. */
	client_send(&c,
	    SLICE("POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
		  "Content-Length: 3\r\n\r\ndef"));
	WAIT(client_has(&c, "\r\n\r\ndef"));
	ck_assert_uint_eq(client_count(&c, "100 Continue"), 1);
	/* Refused in on_head: no body is asked for. */
	client_send(&c,
	    SLICE("POST /no HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
		  "Content-Length: 3\r\n\r\n"));
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "HTTP/1.1 404 Not Found"));
	ck_assert_uint_eq(client_count(&c, "100 Continue"), 1);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(an_unknown_expectation_is_417)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c,
	    SLICE("POST /echo HTTP/1.1\r\n" H "Expect: tea\r\n"
		  "Content-Length: 3\r\n\r\nabc"));
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "HTTP/1.1 417 Expectation Failed"));
	ck_assert_uint_eq(heads, 0);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_short_body_refused_in_on_head_costs_no_connection)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c,
	    SLICE("POST /no HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\nabc"));
	WAIT(client_has(&c, "HTTP/1.1 404 Not Found"));
	client_send(&c, SLICE("def" GET("/hello")));
	WAIT(client_has(&c, "\r\n\r\nhello"));
	ck_assert(!client_has(&c, "Connection: close"));
	ck_assert_uint_eq(requests, 1);
	client_send(&c,
	    SLICE(
		"POST /no HTTP/1.1\r\n" H "Content-Length: 600000\r\n\r\nabc"));
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "Connection: close"));
	ck_assert_uint_eq(gones, 0);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_client_that_leaves_cancels_its_request)
{
	struct client c, d;

	serve_default();
	c = client_open();
	client_send(&c, SLICE(GET("/later")));
	WAIT(nkept == 1);
	(void)usleep(150000); /* longer than the half-close rule forgives */
	client_close(&c);
	WAIT(gones == 1);
	ck_assert_ptr_null(kept[0]);
	ck_assert_uint_eq(stats().connections_open, 0);
	/* By reset: at once. */
	d = client_open();
	client_send(&d, SLICE(GET("/later")));
	WAIT(nkept == 2);
	struct linger reset = {.l_onoff = 1};
	(void)setsockopt(d.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	client_close(&d);
	WAIT(gones == 2);
	serve_end();
}
END_TEST

START_TEST(a_client_that_leaves_in_its_body_is_forgotten)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c,
	    SLICE(
		"POST /echo HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\nabc"));
	WAIT(stats().buffered_bytes == 3);
	client_close(&c);
	WAIT(stats().connections_open == 0);
	ck_assert_uint_eq(gones, 1);
	ck_assert_uint_eq(requests, 0);
	ck_assert_uint_eq(stats().buffered_bytes, 0);
	serve_end();
}
END_TEST

START_TEST(a_half_close_right_after_the_request_is_answered)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c, SLICE(GET("/later") GET("/hello")));
	(void)shutdown(c.fd, SHUT_WR);
	WAIT(nkept == 1);
	for (int i = 0; i < 150; i++)
		turn();
	ck_assert_uint_eq(gones, 0);
	reply_text(kept[0], SLICE("late"));
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "\r\n\r\nlate"));
	ck_assert(client_has(&c, "\r\n\r\nhello"));
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_slow_reader_gets_a_big_response_whole)
{
	struct client c;
	int small = 65536;

	serve_default();
	c = client_open();
	(void)setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	client_send(&c, SLICE(GET("/big") GET("/hello")));
	for (int i = 0; i < 50; i++)
		turn();
	ck_assert_uint_eq(requests, 1); /* the next waits for room */
	WAIT(client_has(&c, "\r\n\r\nhello"));
	ck_assert_uint_gt(c.got.n, BIG);
	ck_assert_ptr_nonnull(memmem(c.got.p, c.got.n, "bbbHTTP/1.1 200", 15));
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_stream_is_chunked_and_tells_when_more_can_come)
{
	struct client c;
	size_t waiting = 0;

	serve_default();
	c = client_open();
	client_send(&c, SLICE(GET("/stream") GET("/hello")));
	WAIT(nkept == 1);
	ck_assert_uint_eq(http_stream_write(kept[0], SLICE("one")), 0);
	(void)http_stream_write(kept[0], (struct slice){0});
	WAIT(client_has(&c, "3\r\none\r\n"));
	ck_assert(client_has(&c, "Transfer-Encoding: chunked\r\n"));
	ck_assert(!client_has(&c, "Content-Length"));
	while (waiting < 1u << 20)
		waiting = http_stream_write(kept[0], slice_from(big, 1u << 18));
	WAIT((client_take(&c), writables == 1));
	http_stream_end(kept[0]);
	WAIT(client_has(&c, "\r\n0\r\n\r\n"));
	WAIT(client_has(&c, "\r\n\r\nhello"));
	ck_assert_uint_eq(gones, 0);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_stream_for_http_1_0_ends_with_the_connection)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c, SLICE("GET /stream HTTP/1.0\r\n\r\n"));
	WAIT(nkept == 1);
	(void)http_stream_write(kept[0], SLICE("one"));
	(void)http_stream_write(kept[0], SLICE("two"));
	http_stream_end(kept[0]);
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "\r\n\r\nonetwo"));
	ck_assert(!client_has(&c, "chunked"));
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(an_aborted_stream_is_visibly_not_whole)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c, SLICE(GET("/stream")));
	WAIT(nkept == 1);
	(void)http_stream_write(kept[0], SLICE("one"));
	http_stream_abort(kept[0]);
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "3\r\none\r\n"));
	ck_assert(!client_has(&c, "0\r\n\r\n"));
	ck_assert_uint_eq(gones, 0);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_stream_notices_that_its_client_left)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c, SLICE(GET("/stream")));
	WAIT(nkept == 1);
	(void)usleep(150000);
	client_close(&c);
	WAIT(gones == 1);
	ck_assert_uint_eq(stats().connections_open, 0);
	serve_end();
}
END_TEST

START_TEST(draining_closes_the_idle_and_finishes_the_busy)
{
	struct client idle, busy;

	serve_default();
	idle = client_open();
	busy = client_open();
	client_send(&idle, SLICE(GET("/hello")));
	client_send(&busy, SLICE(GET("/later") GET("/hello")));
	WAIT(nkept == 1 && client_has(&idle, "hello"));
	http_server_drain(server, on_test_drained, &drained);
	WAIT(client_ended(&idle));
	ck_assert(!drained);
	reply_text(kept[0], SLICE("late"));
	WAIT(client_ended(&busy));
	ck_assert(client_has(&busy, "Connection: close\r\n"));
	ck_assert(client_has(&busy, "\r\n\r\nlate"));
	client_close(&busy);
	WAIT(drained);
	ck_assert_uint_eq(stats().connections_open, 0);
	ck_assert_uint_eq(gones, 0);
	client_close(&idle);
	serve_end();
}
END_TEST

START_TEST(a_request_that_drains_the_server_is_still_served)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c,
	    SLICE(GET("/hello") "POST /drain HTTP/1.1\r\n" H
				"Content-Length: 3\r\n\r\n"));
	WAIT(heads == 2);
	client_send(&c, SLICE("abc"));
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "\r\n\r\nabc"));
	ck_assert(client_has(&c, "Connection: close\r\n"));
	client_close(&c);
	WAIT(drained);
	serve_end();
}
END_TEST

START_TEST(draining_an_empty_server_is_done_at_once)
{
	serve_default();
	http_server_drain(server, on_test_drained, &drained);
	ck_assert(drained);
	serve_end();
}
END_TEST

START_TEST(freeing_the_server_tells_whoever_waits)
{
	struct client c, d;

	serve_default();
	c = client_open();
	d = client_open();
	client_send(&c, SLICE(GET("/later")));
	client_send(&d, SLICE(GET("/stream")));
	WAIT(nkept == 2);
	serve_end();
	ck_assert_uint_eq(gones, 2);
	client_close(&c);
	client_close(&d);
}
END_TEST

START_TEST(a_unix_socket_serves_too)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct client c = {.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	/* An abstract name: nothing to remove afterwards. */
	(void)snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1,
	    "perilune-http-test-%d", (int)getpid());
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&name, sizeof(name)),
	    0);
	ck_assert_int_eq(listen(fd, 8), 0);
	serve_default();
	http_server_listen(server, fd);
	ck_assert_int_eq(connect(c.fd, (const struct sockaddr *)&name,
			     sizeof(name)),
	    0);
	client_send(&c, SLICE(GET("/later")));
	WAIT(nkept == 1);
	ck_assert_str_eq(http_request_of(kept[0])->peer, "unix");
	reply_text(kept[0], SLICE("here"));
	WAIT(client_has(&c, "\r\n\r\nhere"));
	client_close(&c);
	serve_end();
	(void)close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/http/server");
	TCase *tcase = tcase_create("server");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_request_is_answered_and_the_connection_is_kept);
	tcase_add_test(tcase, http_1_0_closes_unless_it_asks);
	tcase_add_test(tcase, pipelined_requests_are_answered_in_order);
	tcase_add_test(tcase, a_pipelined_request_waits_for_a_late_reply);
	tcase_add_test(tcase, a_bad_request_ends_the_pipeline);
	tcase_add_test(tcase, a_chunked_upload_is_the_same_cut_at_every_byte);
	tcase_add_test(tcase, a_long_body_comes_back_whole);
	tcase_add_test(tcase, head_gets_the_length_without_the_body);
	tcase_add_test(tcase,
	    options_star_is_the_servers_and_unknown_methods_are_not);
	tcase_add_test(tcase, expect_is_answered_once_the_head_is_accepted);
	tcase_add_test(tcase, an_unknown_expectation_is_417);
	tcase_add_test(tcase,
	    a_short_body_refused_in_on_head_costs_no_connection);
	tcase_add_test(tcase, a_client_that_leaves_cancels_its_request);
	tcase_add_test(tcase, a_client_that_leaves_in_its_body_is_forgotten);
	tcase_add_test(tcase, a_half_close_right_after_the_request_is_answered);
	tcase_add_test(tcase, a_slow_reader_gets_a_big_response_whole);
	tcase_add_test(tcase, a_stream_is_chunked_and_tells_when_more_can_come);
	tcase_add_test(tcase, a_stream_for_http_1_0_ends_with_the_connection);
	tcase_add_test(tcase, an_aborted_stream_is_visibly_not_whole);
	tcase_add_test(tcase, a_stream_notices_that_its_client_left);
	tcase_add_test(tcase, draining_closes_the_idle_and_finishes_the_busy);
	tcase_add_test(tcase, a_request_that_drains_the_server_is_still_served);
	tcase_add_test(tcase, draining_an_empty_server_is_done_at_once);
	tcase_add_test(tcase, freeing_the_server_tells_whoever_waits);
	tcase_add_test(tcase, a_unix_socket_serves_too);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
