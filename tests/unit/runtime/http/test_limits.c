/*
 * test_limits.c - sizes, times and numbers that clients may not exceed.
 *
 * Runs in: tests.
 */
#include "tests/unit/runtime/http/http_test.h"

#include <sys/resource.h>
#include <sys/time.h>

START_TEST(a_body_too_long_is_refused_before_it_is_read)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c,
	    SLICE("POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
		  "Content-Length: 10737418240\r\n\r\n"));
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "HTTP/1.1 413 Content Too Large\r\n"));
	ck_assert(client_has(&c, "Perilune-Failed-By: limit\r\n"));
	ck_assert(!client_has(&c, "100 Continue"));
	ck_assert_uint_eq(heads, 1);
	ck_assert_uint_eq(gones, 1);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(on_head_sets_the_limit_of_its_request)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c,
	    SLICE("POST /tiny HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nabcd"));
	WAIT(client_has(&c, "\r\n\r\nabcd"));
	client_send(&c,
	    SLICE(
		"POST /tiny HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n2\r\n"));
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "HTTP/1.1 413 Content Too Large\r\n"));
	ck_assert_uint_eq(requests, 1);
	client_close(&c);
	serve_end();
}
END_TEST

/* The reply must arrive although the client is still sending. */
START_TEST(a_client_in_the_middle_of_its_body_reads_the_refusal)
{
	struct client c;
	ssize_t n = 1;

	serve_default();
	c = client_open();
	client_send(&c,
	    SLICE("POST /echo HTTP/1.1\r\n" H
		  "Content-Length: 10485760\r\n\r\n"));
	for (int i = 0; i < 100 && n > 0; i++) {
		n = send(c.fd, big, 65536, MSG_NOSIGNAL | MSG_DONTWAIT);
		turn();
	}
	WAIT(client_ended(&c));
	ck_assert(!c.reset);
	ck_assert(client_has(&c, "HTTP/1.1 413 Content Too Large\r\n"));
	client_close(&c);
	WAIT(stats().connections_open == 0);
	serve_end();
}
END_TEST

static void
refused_head(struct slice head, const char *status)
{
	struct client c = client_open();

	client_send(&c, head);
	WAIT(client_ended(&c));
	ck_assert_msg(client_has(&c, status), "not %s but %.60s", status,
	    c.got.p);
	client_close(&c);
}

START_TEST(heads_too_long_are_414_and_431)
{
	struct buf b = {0};

	serve_default();
	buf_puts(&b, "GET /");
	for (int i = 0; i < 8192; i++)
		buf_putc(&b, 'a');
	refused_head(buf_slice(&b), "HTTP/1.1 414 URI Too Long\r\n");
	buf_reset(&b, 1 << 20);
	buf_puts(&b, "GET / HTTP/1.1\r\n" H);
	for (int i = 0; i < 100; i++)
		buf_addf(&b, "x-%d: y\r\n", i);
	buf_puts(&b, "\r\n");
	refused_head(buf_slice(&b), "HTTP/1.1 431 Request Header Fields");
	ck_assert_str_eq(last_reason, "too_many_headers");
	buf_reset(&b, 1 << 20);
	buf_puts(&b, "GET / HTTP/1.1\r\n" H "x: ");
	for (int i = 0; i < 65536; i++)
		buf_putc(&b, 'a');
	refused_head(buf_slice(&b), "HTTP/1.1 431 Request Header Fields");
	ck_assert_str_eq(last_reason, "head_too_long");
	buf_fini(&b);
	serve_end();
}
END_TEST

START_TEST(a_head_longer_than_a_read_is_served)
{
	struct buf b = {0};
	struct client c;

	serve_default();
	c = client_open();
	buf_puts(&b, "GET /hello HTTP/1.1\r\n" H "x: ");
	for (int i = 0; i < 60000; i++)
		buf_putc(&b, 'a');
	buf_puts(&b, "\r\n\r\n");
	client_send(&c, buf_slice(&b));
	WAIT(client_has(&c, "\r\n\r\nhello"));
	buf_fini(&b);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_slow_head_is_cut_however_busy_it_is)
{
	struct http_limits limits = default_limits();
	uint64_t begin = clock_mono_us();
	struct client c;

	limits.head_timeout_ms = 200;
	serve(&limits);
	c = client_open();
	client_send(&c, SLICE("GET / HTTP/1.1\r\n"));
	while (!client_ended(&c)) {
		(void)send(c.fd, "x", 1, MSG_NOSIGNAL);
		turn();
	}
	ck_assert(client_has(&c, "HTTP/1.1 408 Request Timeout\r\n"));
	ck_assert(client_has(&c, "Perilune-Reason: head_timeout\r\n"));
	ck_assert_uint_ge(clock_mono_us() - begin, 200000);
	ck_assert_uint_lt(clock_mono_us() - begin, 2000000);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_slow_body_is_cut)
{
	struct http_limits limits = default_limits();
	struct client c;

	limits.body_timeout_ms = 200;
	serve(&limits);
	c = client_open();
	client_send(&c,
	    SLICE(
		"POST /echo HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\n"));
	while (!client_ended(&c)) {
		(void)send(c.fd, "x", 1, MSG_NOSIGNAL);
		turn();
	}
	ck_assert(client_has(&c, "HTTP/1.1 408 Request Timeout\r\n"));
	ck_assert(client_has(&c, "Perilune-Reason: body_timeout\r\n"));
	ck_assert_uint_eq(gones, 1);
	ck_assert_uint_eq(stats().buffered_bytes, 0);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(an_idle_connection_is_closed_silently)
{
	struct http_limits limits = default_limits();
	struct client fresh, used;

	limits.idle_timeout_ms = 200;
	serve(&limits);
	fresh = client_open();
	used = client_open();
	client_send(&used, SLICE(GET("/hello")));
	WAIT(client_ended(&fresh) && client_ended(&used));
	ck_assert_uint_eq(fresh.got.n, 0);
	ck_assert_uint_eq(client_count(&used, "HTTP/1.1"), 1);
	ck_assert_uint_eq(refusals, 0);
	client_close(&fresh);
	client_close(&used);
	serve_end();
}
END_TEST

START_TEST(a_request_that_runs_is_not_idle)
{
	struct http_limits limits = default_limits();
	struct client c;
	uint64_t end;

	limits.idle_timeout_ms = limits.head_timeout_ms =
	    limits.body_timeout_ms = limits.write_timeout_ms = 100;
	serve(&limits);
	c = client_open();
	client_send(&c, SLICE(GET("/later")));
	WAIT(nkept == 1);
	end = clock_mono_us() + 400000;
	while (clock_mono_us() < end)
		turn();
	reply_text(kept[0], SLICE("late"));
	WAIT(client_has(&c, "\r\n\r\nlate"));
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_client_that_takes_nothing_is_reset)
{
	struct http_limits limits = default_limits();
	struct client c;

	limits.write_timeout_ms = 200;
	serve(&limits);
	c = client_open();
	client_send(&c, SLICE(GET("/big")));
	WAIT(requests == 1 && stats().connections_open == 0);
	WAIT(client_ended(&c));
	ck_assert(c.reset);
	ck_assert_uint_lt(c.got.n, BIG);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(a_stream_to_a_client_that_takes_nothing_ends)
{
	struct client c;

	serve_default();
	c = client_open();
	client_send(&c, SLICE(GET("/stream")));
	WAIT(nkept == 1);
	for (int i = 0; i < 100 && kept[0] != NULL; i++) {
		(void)http_stream_write(kept[0], slice_from(big, 1u << 20));
		ck_assert_uint_eq(gones, 0); /* never from within */
	}
	WAIT(gones == 1);
	ck_assert_uint_eq(stats().connections_open, 0);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(bodies_in_memory_are_limited_together)
{
	struct http_limits limits = default_limits();
	struct client c[3];

	limits.buffered_bytes = 250000;
	serve(&limits);
	for (int i = 0; i < 3; i++) {
		c[i] = client_open();
		client_send(&c[i],
		    SLICE("POST /later HTTP/1.1\r\n" H
			  "Content-Length: 100000\r\n\r\n"));
		client_send(&c[i], slice_from(big, 100000));
		if (i < 2)
			WAIT(nkept == (size_t)i + 1);
	}
	WAIT(client_ended(&c[2]));
	ck_assert(client_has(&c[2], "HTTP/1.1 503 Service Unavailable\r\n"));
	ck_assert(client_has(&c[2], "Retry-After: 1\r\n"));
	ck_assert(client_has(&c[2], "Perilune-Failed-By: limit\r\n"));
	ck_assert_uint_eq(stats().buffered_bytes, 200000);
	reply_text(kept[0], SLICE("done"));
	ck_assert_uint_eq(stats().buffered_bytes, 100000);
	for (int i = 0; i < 3; i++)
		client_close(&c[i]);
	serve_end();
}
END_TEST

START_TEST(more_connections_than_allowed_wait_their_turn)
{
	struct http_limits limits = default_limits();
	struct client c[4];

	limits.connections = 2;
	serve(&limits);
	for (int i = 0; i < 4; i++) {
		c[i] = client_open();
		client_send(&c[i], SLICE(GET("/hello")));
	}
	WAIT(client_has(&c[0], "hello") && client_has(&c[1], "hello"));
	for (int i = 0; i < 20; i++)
		turn();
	ck_assert_uint_eq(stats().connections_open, 2);
	ck_assert(!client_has(&c[2], "hello"));
	client_close(&c[0]);
	WAIT(client_has(&c[2], "hello"));
	ck_assert(!client_has(&c[3], "hello"));
	limits.connections = 3;
	http_server_set_limits(server, &limits);
	WAIT(client_has(&c[3], "hello"));
	for (int i = 1; i < 4; i++)
		client_close(&c[i]);
	serve_end();
}
END_TEST

static double
cpu_seconds(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void
stop_loop(void *arg)
{
	loop_stop(loop);
}

START_TEST(without_descriptors_the_server_waits_and_does_not_spin)
{
	struct rlimit before, none;
	struct loop_timer *second;
	struct client c;
	struct err err;
	double cpu;
	int next;

	serve_default();
	c = client_open();
	client_send(&c, SLICE(GET("/hello")));
	next = dup(0);
	(void)getrlimit(RLIMIT_NOFILE, &before);
	none = before;
	none.rlim_cur = (rlim_t)next;
	(void)close(next);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	second = loop_timer_new(loop, stop_loop, NULL);
	loop_timer_start(second, 500000);
	cpu = cpu_seconds();
	ck_assert_int_eq(loop_run(loop, &err), 0);
	ck_assert(cpu_seconds() - cpu < 0.1);
	ck_assert_uint_eq(stats().connections_open, 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	WAIT(client_has(&c, "\r\n\r\nhello"));
	loop_timer_free(second);
	client_close(&c);
	serve_end();
}
END_TEST

START_TEST(connections_in_every_state_leave_nothing_behind)
{
	static const struct slice parts[] = {
	    SLICE(""),
	    SLICE("GET /hello HT"),
	    SLICE("POST /echo HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nab"),
	    SLICE("POST /echo HTTP/1.1\r\n" H
		  "Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
	    SLICE(GET("/later")),
	    SLICE(GET("/stream")),
	    SLICE(GET("/big")),
	    SLICE("bad\r\n\r\n"),
	};
	struct linger reset = {.l_onoff = 1};
	const size_t n = sizeof(parts) / sizeof(parts[0]);

	serve_default();
	for (size_t i = 0; i < n; i++) {
		struct client c = client_open();

		client_send(&c, parts[i]);
		WAIT(stats().connections_total == i + 1);
		for (int j = 0; j < 5; j++)
			turn();
		(void)setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset,
		    sizeof(reset));
		client_close(&c);
		WAIT(stats().connections_open == 0);
	}
	ck_assert_uint_eq(stats().buffered_bytes, 0);
	ck_assert_uint_eq(gones, 4);
	serve_end();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/http/limits");
	TCase *tcase = tcase_create("limits");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_body_too_long_is_refused_before_it_is_read);
	tcase_add_test(tcase, on_head_sets_the_limit_of_its_request);
	tcase_add_test(tcase,
	    a_client_in_the_middle_of_its_body_reads_the_refusal);
	tcase_add_test(tcase, heads_too_long_are_414_and_431);
	tcase_add_test(tcase, a_head_longer_than_a_read_is_served);
	tcase_add_test(tcase, a_slow_head_is_cut_however_busy_it_is);
	tcase_add_test(tcase, a_slow_body_is_cut);
	tcase_add_test(tcase, an_idle_connection_is_closed_silently);
	tcase_add_test(tcase, a_request_that_runs_is_not_idle);
	tcase_add_test(tcase, a_client_that_takes_nothing_is_reset);
	tcase_add_test(tcase, a_stream_to_a_client_that_takes_nothing_ends);
	tcase_add_test(tcase, bodies_in_memory_are_limited_together);
	tcase_add_test(tcase, more_connections_than_allowed_wait_their_turn);
	tcase_add_test(tcase,
	    without_descriptors_the_server_waits_and_does_not_spin);
	tcase_add_test(tcase, connections_in_every_state_leave_nothing_behind);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
