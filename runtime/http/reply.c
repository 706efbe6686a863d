/*
 * reply.c - responses: whole, in pieces, and as problem documents.
 *
 * Runs in: gateway.
 *
 * Head and small body are put together in the connection's buffer and leave
 * with one system call; a long body is sent from where it is, and only what
 * the kernel does not take is copied.
 */
#include "runtime/http/http_priv.h"

#include "runtime/loop/loop.h"
#include "sandbox/base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#define ALLOW	    "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
#define EXTRA_MAX   16 /* header fields of a problem, ours included */
#define RETRY_AFTER "1"

const struct http_request *
http_request_of(const struct http_exchange *x)
{
	return &x->request;
}

const char *
http_request_id(const struct http_exchange *x)
{
	return x->id;
}

struct slice
http_request_header(const struct http_exchange *x, const char *name)
{
	struct slice want = slice_of(name);

	for (size_t i = 0; i < x->request.nheaders; i++)
		if (slice_eq(x->request.headers[i].name, want))
			return x->request.headers[i].value;
	return (struct slice){0};
}

void
http_set_context(struct http_exchange *x, void *context)
{
	x->context = context;
}

void *
http_context(const struct http_exchange *x)
{
	return x->context;
}

void
http_limit_body(struct http_exchange *x, uint64_t bytes)
{
	assert(x->in_head);
	x->body_limit = bytes;
}

/* IMF-fixdate, RFC 9110, section 5.6.7; made once a second. */
static void
add_date(struct http_server *server, struct buf *out)
{
	int64_t now_s = clock_wall_ms() / 1000;

	if (now_s != server->date_s) {
		time_t time = (time_t)now_s;
		struct tm tm;

		(void)gmtime_r(&time, &tm);
		(void)strftime(server->date, sizeof(server->date),
		    "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
		server->date_s = now_s;
	}
	buf_puts(out, server->date);
}

static void
add_headers(struct buf *out, const struct http_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct slice name = headers[i].name;

		if (slice_ieq(name, SLICE("date")))
			continue;
		buf_add_slice(out, name);
		buf_add(out, ": ", 2);
		buf_add_slice(out, headers[i].value);
		buf_add(out, "\r\n", 2);
	}
}

/* A request that is answered in on_head leaves its body behind.  If it is
 * short and certain to come, reading it is cheaper than a new connection. */
static bool
body_can_stay(const struct http_conn *conn)
{
	const struct http_head *head = &conn->work->parsed;

	if (!conn->x.in_head)
		return true;
	return !head->chunked &&
	    (head->content_length == 0 ||
		(!head->expect_continue &&
		    head->content_length <= HTTP_SKIP_BYTES));
}

/* Will the connection be used again?  Decided once, when a head is sent. */
static void
decide_close(struct http_conn *conn, bool close)
{
	bool stays = body_can_stay(conn);

	conn->unread |= !stays;
	conn->closing = close || !stays || !conn->work->parsed.keep_alive ||
	    conn->server->draining;
}

static bool
has_no_body(const struct http_conn *conn, unsigned int status)
{
	return status == 204 || status == 304 ||
	    slice_is(conn->x.request.method, "HEAD");
}

static void
add_head(struct http_conn *conn, const struct http_response *response)
{
	struct buf *out = &conn->work->out;

	assert(response->status >= 200 && response->status <= 599);
	buf_add(out, "HTTP/1.1 ", 9);
	buf_add_number(out, response->status);
	buf_add(out, " ", 1);
	buf_puts(out, http_status_text(response->status));
	buf_add(out, "\r\n", 2);
	add_date(conn->server, out);
	buf_add(out, "Perilune-Request-Id: ", 21);
	buf_add(out, conn->x.id, REQID_CHARS);
	buf_add(out, "\r\n", 2);
	add_headers(out, response->headers, response->nheaders);
	if (conn->closing)
		buf_puts(out, "Connection: close\r\n");
	else if (conn->work->parsed.http10)
		buf_puts(out, "Connection: keep-alive\r\n");
}

/* The exchange is the callee's to answer, and this is the only answer. */
static struct http_conn *
answering(struct http_exchange *x)
{
	struct http_conn *conn = conn_of(x);

	assert(!x->answered);
	assert(x->in_head || conn->phase == HTTP_BUSY);
	if (!conn->running)
		conn->server->now_us = clock_mono_us();
	return conn;
}

static void
reply(struct http_conn *conn, const struct http_response *response)
{
	struct buf *out = &conn->work->out;
	bool no_body = has_no_body(conn, response->status);

	decide_close(conn, response->close);
	add_head(conn, response);
	if (response->status != 204 && response->status != 304) {
		buf_add(out, "Content-Length: ", 16);
		buf_add_number(out, response->body.n);
		buf_add(out, "\r\n", 2);
	}
	buf_add(out, "\r\n", 2);
	if (!no_body && response->body.n > HTTP_SMALL_BYTES)
		http_conn_send(conn, response->body);
	else if (!no_body)
		buf_add_slice(out, response->body);
	http_conn_answered(conn);
}

void
http_reply(struct http_exchange *x, const struct http_response *response)
{
	reply(answering(x), response);
}

static void
problem_body(struct buf *out, const struct http_conn *conn,
    const struct http_problem *problem)
{
	buf_puts(out, "{\"type\":\"about:blank\",\"title\":");
	buf_json_string(out, slice_of(http_status_text(problem->status)));
	buf_addf(out, ",\"status\":%u", problem->status);
	if (problem->detail != NULL) {
		buf_puts(out, ",\"detail\":");
		buf_json_string(out, slice_of(problem->detail));
	}
	buf_puts(out, ",\"reason\":");
	buf_json_string(out, slice_of(problem->reason));
	buf_puts(out, ",\"failed_by\":");
	buf_json_string(out, slice_of(problem->failed_by));
	buf_addf(out, ",\"request_id\":\"%s\"}\n", conn->x.id);
}

static void
reply_problem(struct http_conn *conn, const struct http_problem *problem)
{
	struct http_header headers[EXTRA_MAX] = {
	    {SLICE("Content-Type"), SLICE("application/problem+json")},
	    {SLICE("Perilune-Failed-By"), slice_of(problem->failed_by)},
	    {SLICE("Perilune-Reason"), slice_of(problem->reason)},
	};
	struct http_response response = {.status = problem->status,
	    .headers = headers,
	    .nheaders = 3 + problem->nheaders,
	    .close = problem->close};
	struct buf body = {0};

	assert(problem->nheaders <= EXTRA_MAX - 3);
	for (size_t i = 0; i < problem->nheaders; i++)
		headers[3 + i] = problem->headers[i];
	problem_body(&body, conn, problem);
	response.body = buf_slice(&body);
	reply(conn, &response);
	buf_fini(&body);
}

void
http_reply_problem(struct http_exchange *x, const struct http_problem *problem)
{
	reply_problem(answering(x), problem);
}

/* The server says no by itself, and the connection ends: after a fault nobody
 * knows where the next request would begin. */
void
http_refuse(struct http_conn *conn, enum http_fault fault)
{
	static const struct http_header allow = {SLICE("Allow"), SLICE(ALLOW)};
	static const struct http_header retry = {SLICE("Retry-After"),
	    SLICE(RETRY_AFTER)};
	struct http_server *server = conn->server;
	struct http_exchange *x = &conn->x;
	struct http_problem problem;

	conn->unread = true;
	if (x->answered) { /* in on_head, and then its body was bad */
		conn->closing = true;
		http_conn_answered(conn);
		return;
	}
	http_fault_problem(fault, &problem);
	problem.headers = problem.status == 405 ? &allow : &retry;
	problem.nheaders = problem.status == 405 || problem.status == 503;
	problem.close = true;
	server->stats.refused_total++;
	if (server->callbacks.on_refused != NULL)
		server->callbacks.on_refused(x, &problem, server->arg);
	if (x->known)
		server->callbacks.on_gone(x, server->arg);
	reply_problem(conn, &problem);
}

/* OPTIONS *: what the server as a whole can do (RFC 9110, section 9.3.7). */
void
http_reply_options(struct http_conn *conn)
{
	struct http_header allow = {SLICE("Allow"), SLICE(ALLOW)};

	reply(conn,
	    &(struct http_response){.status = 200,
		.headers = &allow,
		.nheaders = 1});
}

void
http_stream_begin(struct http_exchange *x, const struct http_response *response)
{
	struct http_conn *conn = answering(x);
	struct buf *out = &conn->work->out;
	bool http10 = conn->work->parsed.http10;

	assert(!x->in_head);
	decide_close(conn, response->close || http10);
	add_head(conn, response);
	if (!http10 && response->status != 204 && response->status != 304)
		buf_puts(out, "Transfer-Encoding: chunked\r\n");
	buf_add(out, "\r\n", 2);
	conn->stream_raw = http10;
	conn->stream_mute = has_no_body(conn, response->status);
	http_conn_phase(conn, HTTP_STREAM);
	(void)http_stream_write(x, response->body);
}

/* Too much is waiting for a client that takes nothing: give it up, but not
 * under the feet of whoever is writing. */
static void
stream_push(struct http_conn *conn)
{
	if (conn->running && http_conn_unsent(conn) <= HTTP_SMALL_BYTES)
		return;
	http_conn_send(conn, (struct slice){0});
	if (http_conn_unsent(conn) > HTTP_STREAM_BYTES)
		conn->broken = true;
	if (conn->running)
		return;
	if (conn->broken)
		http_server_kick(conn);
	else
		http_conn_wait(conn);
}

size_t
http_stream_write(struct http_exchange *x, struct slice bytes)
{
	struct http_conn *conn = conn_of(x);
	struct buf *out = &conn->work->out;

	assert(conn->phase == HTTP_STREAM);
	if (conn->broken)
		return http_conn_unsent(conn);
	if (!conn->running)
		conn->server->now_us = clock_mono_us();
	if (bytes.n > 0 && !conn->stream_mute) {
		if (!conn->stream_raw)
			buf_addf(out, "%zx\r\n", bytes.n);
		buf_add_slice(out, bytes);
		if (!conn->stream_raw)
			buf_add(out, "\r\n", 2);
	}
	stream_push(conn);
	return http_conn_unsent(conn);
}

void
http_stream_end(struct http_exchange *x)
{
	struct http_conn *conn = conn_of(x);

	assert(conn->phase == HTTP_STREAM);
	if (!conn->stream_raw && !conn->stream_mute && !conn->broken)
		buf_puts(&conn->work->out, "0\r\n\r\n");
	if (!conn->running)
		conn->server->now_us = clock_mono_us();
	http_conn_answered(conn);
}

void
http_stream_abort(struct http_exchange *x)
{
	struct http_conn *conn = conn_of(x);

	assert(conn->phase == HTTP_STREAM);
	http_conn_send(conn, (struct slice){0});
	x->answered = true;
	conn->broken = true;
	if (!conn->running)
		http_server_kick(conn);
}
