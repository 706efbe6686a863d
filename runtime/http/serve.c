/*
 * serve.c - what is in the input: heads, bodies, whole requests.
 *
 * Runs in: gateway.
 *
 * Steps of a turn (see conn.c), each taking from the input what it can; none
 * of them reads, waits or frees.
 */
#include "runtime/http/http_priv.h"

#include "sandbox/base/clock.h"

/* Bytes of body are in memory: the server's sum of them. */
void
http_body_forget(struct http_conn *conn)
{
	conn->server->stats.buffered_bytes -= conn->work->body.n;
	buf_reset(&conn->work->body, HTTP_SMALL_BYTES);
}

/* The end of an exchange whose reply is on its way. */
static void
end_exchange(struct http_conn *conn)
{
	http_body_forget(conn);
	http_head_reset(&conn->work->parsed);
	conn->x.context = NULL;
	conn->x.known = false;
	conn->closing |= conn->server->draining;
	http_conn_phase(conn, HTTP_IDLE);
}

/*
 * The reply is given.  In a turn, and in on_head, what follows is done there.
 */
void
http_conn_answered(struct http_conn *conn)
{
	conn->x.answered = true;
	if (conn->x.in_head)
		return;
	end_exchange(conn);
	if (conn->running)
		return;
	http_conn_send(conn, (struct slice){0});
	if (conn->broken || conn->closing || conn->eof ||
	    http_conn_unread(conn) > 0)
		http_server_kick(conn);
	else
		http_conn_wait(conn);
}

static void
consume(struct http_work *work, size_t n)
{
	work->in_at += n;
	if (work->in_at == work->in.n)
		work->in.n = work->in_at = 0;
}

void
http_exchange_begin(struct http_conn *conn)
{
	struct http_server *server = conn->server;
	struct http_exchange *x = &conn->x;

	*x = (struct http_exchange){.body_limit = server->limits.body_bytes};
	x->request.peer = conn->peer;
	x->request.wall_ms = clock_wall_ms();
	x->request.mono_us = server->now_us;
	reqid_make(&server->ids, x->request.wall_ms, x->id);
}

/* Copy the parsed head into the request; who and when are known already. */
static void
fill_request(struct http_exchange *x, const struct http_head *head)
{
	struct http_request request = head->request;

	request.peer = x->request.peer;
	request.wall_ms = x->request.wall_ms;
	request.mono_us = x->request.mono_us;
	x->request = request;
}

static void
dispatch(struct http_conn *conn)
{
	struct http_server *server = conn->server;

	if (conn->x.answered) { /* in on_head; this was its body */
		end_exchange(conn);
		return;
	}
	conn->x.request.body = buf_slice(&conn->work->body);
	conn->x.known = true;
	http_conn_phase(conn, HTTP_BUSY);
	server->callbacks.on_request(&conn->x, server->arg);
}

static void
tell_head(struct http_conn *conn)
{
	struct http_server *server = conn->server;

	if (server->callbacks.on_head == NULL)
		return;
	conn->x.known = true;
	conn->x.in_head = true;
	server->callbacks.on_head(&conn->x, server->arg);
	conn->x.in_head = false;
}

/* The head is accepted: say so if asked, then take the body. */
static void
begin_body(struct http_conn *conn)
{
	struct http_work *work = conn->work;

	if (work->parsed.content_length > conn->x.body_limit) {
		http_refuse(conn, HTTP_FAULT_BODY_LONG);
		return;
	}
	if (work->parsed.expect_continue && http_conn_unread(conn) == 0)
		buf_puts(&work->out, "HTTP/1.1 100 Continue\r\n\r\n");
	work->chunked = (struct http_chunked){0};
	http_conn_phase(conn, HTTP_BODY);
}

static void
serve_head(struct http_conn *conn)
{
	const struct http_head *head = &conn->work->parsed;
	bool has_body = head->chunked || head->content_length > 0;

	conn->server->stats.requests_total++;
	if (head->asterisk && !has_body) {
		http_reply_options(conn);
		return;
	}
	tell_head(conn);
	conn->unread |= conn->closing && has_body;
	if (conn->x.answered && (conn->closing || !has_body))
		end_exchange(conn);
	else if (has_body)
		begin_body(conn);
	else
		dispatch(conn);
}

/* The head is copied out of the input, so that the input can move while the
 * request is served. */
static void
take_head(struct http_conn *conn)
{
	struct http_work *work = conn->work;
	size_t begin = work->scan.begin;
	size_t n = work->scan.head_bytes;
	enum http_fault fault;

	buf_reset(&work->text, HTTP_READ_BYTES);
	buf_add(&work->text, work->in.p + work->in_at + begin, n - begin);
	consume(work, n);
	work->scan = (struct http_scan){0};
	fault = http_parse(&work->parsed, &conn->server->limits, work->text.p,
	    work->text.n);
	http_exchange_begin(conn);
	fill_request(&conn->x, &work->parsed);
	if (fault != HTTP_FAULT_NONE)
		http_refuse(conn, fault);
	else
		serve_head(conn);
}

/* Returns false when bytes are missing. */
static bool
step_head(struct http_conn *conn)
{
	struct http_work *work = conn->work;
	enum http_fault fault;

	if (http_conn_unread(conn) == 0)
		return false;
	fault = http_scan(&work->scan, &conn->server->limits,
	    work->in.p + work->in_at, http_conn_unread(conn));
	if (fault != HTTP_FAULT_NONE) {
		http_exchange_begin(conn);
		http_refuse(conn, fault);
	} else if (work->scan.done) {
		take_head(conn);
	} else {
		if (conn->phase == HTTP_IDLE)
			http_conn_phase(conn, HTTP_HEAD);
		return false;
	}
	return true;
}

/* Body bytes came: are they too many for the server as a whole? */
enum http_fault
http_body_count(struct http_conn *conn, size_t before)
{
	struct http_server *server = conn->server;

	server->stats.buffered_bytes += conn->work->body.n - before;
	return server->stats.buffered_bytes > server->limits.buffered_bytes
	    ? HTTP_FAULT_BUFFERED
	    : HTTP_FAULT_NONE;
}

static enum http_fault
take_body(struct http_conn *conn, bool *whole_out)
{
	struct http_work *work = conn->work;
	struct slice in = {work->in.p + work->in_at, http_conn_unread(conn)};
	size_t before = work->body.n;
	enum http_fault fault = HTTP_FAULT_NONE;
	enum http_fault full;

	if (work->parsed.chunked) {
		size_t used;

		fault = http_chunked_take(&work->chunked, in,
		    conn->x.body_limit, &work->body, &used);
		consume(work, used);
		*whole_out = work->chunked.state == HTTP_CHUNK_DONE;
	} else {
		uint64_t left = work->parsed.content_length - before;
		size_t n = in.n < left ? in.n : (size_t)left;

		buf_add(&work->body, in.p, n);
		consume(work, n);
		*whole_out = n == left;
	}
	full = http_body_count(conn, before);
	return fault != HTTP_FAULT_NONE ? fault : full;
}

static bool
step_body(struct http_conn *conn)
{
	bool whole = false;
	enum http_fault fault = take_body(conn, &whole);

	if (fault != HTTP_FAULT_NONE)
		http_refuse(conn, fault);
	else if (whole)
		dispatch(conn);
	return fault != HTTP_FAULT_NONE || whole;
}

/* Returns true when there may be more to do. */
bool
http_conn_step(struct http_conn *conn)
{
	if (conn->broken || conn->closing || conn->work == NULL)
		return false;
	if (http_conn_unsent(conn) > HTTP_SMALL_BYTES) {
		http_conn_send(conn, (struct slice){0});
		if (http_conn_unsent(conn) > HTTP_SMALL_BYTES)
			return false;
	}
	if (conn->phase <= HTTP_HEAD)
		return step_head(conn);
	return conn->phase == HTTP_BODY && step_body(conn);
}
