/*
 * http_test.h - a server on 127.0.0.1 and its clients, in one thread.
 *
 * Runs in: tests.
 * Owns:    the loop, the server, the clients' sockets.
 *
 * The handler does what the path says; clients wait by running the loop, so
 * no test sleeps for luck.
 *
 *	/hello  "hello", at once         /later   kept in `kept`
 *	/echo   the body back            /big     BIG bytes
 *	/no     404, already in on_head  /tiny    a body of 4 bytes at most
 *	/stream begun, then kept         /drain   drains the server in on_head
 */
#pragma once

#include "runtime/http/http.h"
#include "runtime/loop/loop.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG	  (10u << 20)
#define KEPT_MAX  64
#define H	  "Host: a\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"

struct client {
	int fd;
	bool end;   /* the server closed */
	bool reset; /* with RST */
	struct buf got;
};

static struct loop *loop;
static struct loop_timer *ticker;
static struct http_server *server;
static struct sockaddr_in address;
static int listener;
static struct http_exchange *kept[KEPT_MAX];
static size_t nkept;
static unsigned int requests, heads, gones, refusals, writables;
static char last_reason[64];
static bool drained;
static char *big;

static struct http_limits
default_limits(void)
{
	return (struct http_limits){.line_bytes = 8192,
	    .head_bytes = 65536,
	    .headers = 100,
	    .body_bytes = 1u << 20,
	    .head_timeout_ms = 10000,
	    .body_timeout_ms = 10000,
	    .idle_timeout_ms = 10000,
	    .write_timeout_ms = 10000,
	    .connections = 1000,
	    .buffered_bytes = 8u << 20};
}

static inline void
reply_text(struct http_exchange *x, struct slice body)
{
	struct http_header type = {SLICE("Content-Type"), SLICE("text/plain")};

	http_reply(x,
	    &(struct http_response){.status = 200,
		.headers = &type,
		.nheaders = 1,
		.body = body});
}

static inline void
on_test_drained(void *arg)
{
	*(bool *)arg = true;
}

static inline void
on_test_head(struct http_exchange *x, void *arg)
{
	const struct http_request *request = http_request_of(x);

	heads++;
	ck_assert_uint_eq(request->body.n, 0);
	if (slice_is(request->path, "/tiny"))
		http_limit_body(x, 4);
	if (slice_is(request->path, "/drain"))
		http_server_drain(server, on_test_drained, &drained);
	if (slice_is(request->path, "/no"))
		http_reply_problem(x,
		    &(struct http_problem){.status = 404,
			.failed_by = "client",
			.reason = "no_such_function"});
}

static inline void
on_test_request(struct http_exchange *x, void *arg)
{
	const struct http_request *request = http_request_of(x);
	struct http_response stream = {.status = 200};

	requests++;
	if (slice_is(request->path, "/hello")) {
		reply_text(x, SLICE("hello"));
	} else if (slice_is(request->path, "/big")) {
		reply_text(x, slice_from(big, BIG));
	} else if (slice_is(request->path, "/later")) {
		kept[nkept++] = x;
	} else if (slice_is(request->path, "/stream")) {
		http_stream_begin(x, &stream);
		kept[nkept++] = x;
	} else {
		reply_text(x, request->body);
	}
}

static inline void
on_test_gone(struct http_exchange *x, void *arg)
{
	gones++;
	for (size_t i = 0; i < nkept; i++)
		if (kept[i] == x)
			kept[i] = NULL;
}

static inline void
on_test_refused(struct http_exchange *x, const struct http_problem *problem,
    void *arg)
{
	refusals++;
	ck_assert_uint_eq(strlen(http_request_id(x)), 26);
	(void)snprintf(last_reason, sizeof(last_reason), "%s", problem->reason);
}

static inline void
on_test_writable(struct http_exchange *x, void *arg)
{
	writables++;
}

static inline void
on_ticker(void *arg)
{
	loop_stop(loop);
}

/* Run the loop for about a millisecond. */
static inline void
turn(void)
{
	struct err err;

	loop_timer_start(ticker, 1000);
	ck_assert_int_eq(loop_run(loop, &err), 0);
}

/* Run the loop until it is so; in vain for ten seconds is a failure. */
#define WAIT(condition)                                                      \
	do {                                                                 \
		uint64_t end_ = clock_mono_us() + 10000000;                  \
		while (!(condition)) {                                       \
			ck_assert_msg(clock_mono_us() < end_, "in vain: %s", \
			    #condition);                                     \
			turn();                                              \
		}                                                            \
	} while (0)

static inline void
serve(const struct http_limits *limits)
{
	static const struct http_callbacks callbacks = {.on_head = on_test_head,
	    .on_request = on_test_request,
	    .on_gone = on_test_gone,
	    .on_refused = on_test_refused,
	    .on_writable = on_test_writable};
	socklen_t bytes = sizeof(address);
	struct err err;

	loop = loop_new(&err);
	ticker = loop_timer_new(loop, on_ticker, NULL);
	big = calloc(1, BIG);
	ck_assert(loop != NULL && big != NULL);
	memset(big, 'b', BIG);
	address = (struct sockaddr_in){.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address,
			     sizeof(address)),
	    0);
	ck_assert_int_eq(listen(listener, 128), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address,
			     &bytes),
	    0);
	server = http_server_new(loop, limits, &callbacks, NULL);
	http_server_listen(server, listener);
}

static inline void
serve_default(void)
{
	struct http_limits limits = default_limits();

	serve(&limits);
}

static inline void
serve_end(void)
{
	http_server_free(server);
	loop_timer_free(ticker);
	loop_free(loop);
	(void)close(listener);
	free(big);
}

static inline struct client
client_open(void)
{
	struct client c = {
	    .fd = socket(AF_INET, SOCK_STREAM, 0),
	};

	ck_assert_int_ge(c.fd, 0);
	ck_assert_int_eq(connect(c.fd, (struct sockaddr *)&address,
			     sizeof(address)),
	    0);
	return c;
}

static inline void
client_send(struct client *c, struct slice bytes)
{
	while (bytes.n > 0) {
		ssize_t n =
		    send(c->fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			turn();
			continue;
		}
		bytes.p += n;
		bytes.n -= (size_t)n;
	}
}

/* Take what is there. */
static inline void
client_take(struct client *c)
{
	for (;;) {
		ssize_t n =
		    recv(c->fd, buf_room(&c->got, 65536), 65536, MSG_DONTWAIT);

		if (n > 0)
			c->got.n += (size_t)n;
		if (n == 0)
			c->end = true;
		if (n < 0 && errno == ECONNRESET)
			c->end = c->reset = true;
		if (n <= 0)
			return;
	}
}

static inline bool
client_ended(struct client *c)
{
	client_take(c);
	return c->end;
}

/* How often text is in what the client got. */
static inline size_t
client_count(struct client *c, const char *text)
{
	size_t n = 0;

	client_take(c);
	buf_putc(&c->got, '\0');
	c->got.n--;
	if (c->got.n == 0)
		return 0;
	for (const char *at = c->got.p; (at = strstr(at, text)) != NULL; at++)
		n++;
	return n;
}

static inline bool
client_has(struct client *c, const char *text)
{
	return client_count(c, text) > 0;
}

static inline void
client_close(struct client *c)
{
	(void)close(c->fd);
	buf_fini(&c->got);
}

static inline struct http_stats
stats(void)
{
	struct http_stats s;

	http_server_stats(server, &s);
	return s;
}
