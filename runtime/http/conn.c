/*
 * conn.c - one connection: read, serve what was read, send, wait.
 *
 * Runs in: gateway.
 * Owns:    see http_priv.h.
 *
 * One turn is: one read; step through what is in the buffer until a request
 * waits for its reply or bytes are missing; one write; decide what to wait
 * for.  Replies that come during the turn are sent together at its end; a
 * reply that comes later is sent at once, and what then has to happen to the
 * connection (the next request, the end) happens in a turn of its own.
 */
#include "runtime/http/http_priv.h"

#include "runtime/loop/loop.h"
#include "sandbox/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define US_PER_MS UINT64_C(1000)
#define BODY_READ 262144 /* bytes of one read into a body */

static size_t
unread(const struct http_conn *conn)
{
	return conn->work == NULL ? 0 : conn->work->in.n - conn->work->in_at;
}

size_t
http_conn_unsent(const struct http_conn *conn)
{
	return conn->work == NULL ? 0 : conn->work->out.n - conn->work->out_at;
}

static uint64_t
phase_timeout_ms(const struct http_conn *conn)
{
	const struct http_limits *limits = &conn->server->limits;

	switch (conn->phase) {
	case HTTP_IDLE:
		return limits->idle_timeout_ms;
	case HTTP_HEAD:
		return limits->head_timeout_ms;
	case HTTP_BODY:
		return limits->body_timeout_ms;
	case HTTP_LINGER:
		return HTTP_LINGER_MS;
	case HTTP_BUSY:
	case HTTP_STREAM:
		break;
	}
	return 0; /* the callee's own deadline */
}

static bool
phase_allowed(enum http_phase from, enum http_phase to)
{
#define TO(phase) (1u << HTTP_##phase)
	static const unsigned int allowed[HTTP_PHASES] = {
	    [HTTP_IDLE] =
		TO(IDLE) | TO(HEAD) | TO(BODY) | TO(BUSY) | TO(LINGER),
	    [HTTP_HEAD] = TO(IDLE) | TO(BODY) | TO(BUSY),
	    [HTTP_BODY] = TO(IDLE) | TO(BUSY),
	    [HTTP_BUSY] = TO(IDLE) | TO(STREAM),
	    [HTTP_STREAM] = TO(IDLE),
	};
#undef TO
	return (allowed[from] & (1u << to)) != 0;
}

void
http_conn_phase(struct http_conn *conn, enum http_phase phase)
{
	struct http_server *server = conn->server;
	uint64_t timeout_ms;

	assert(phase_allowed(conn->phase, phase));
	TAILQ_REMOVE(&server->phases[conn->phase], conn, by_phase);
	conn->phase = phase;
	TAILQ_INSERT_TAIL(&server->phases[phase], conn, by_phase);
	timeout_ms = phase_timeout_ms(conn);
	if (timeout_ms == 0)
		return;
	conn->deadline_us = server->now_us + timeout_ms * US_PER_MS;
	http_server_deadline(server, conn->deadline_us);
}

/* Bytes of body are in memory: the server's sum of them. */
static void
forget_body(struct http_conn *conn)
{
	conn->server->stats.buffered_bytes -= conn->work->body.n;
	buf_reset(&conn->work->body, HTTP_SMALL_BYTES);
}

static void
release_work(struct http_conn *conn)
{
	http_work_give(conn->server, conn->work);
	conn->work = NULL;
}

/* The end of an exchange whose reply is on its way. */
static void
end_exchange(struct http_conn *conn)
{
	forget_body(conn);
	http_head_reset(&conn->work->parsed);
	conn->x.context = NULL;
	conn->x.known = false;
	conn->closing |= conn->server->draining;
	http_conn_phase(conn, HTTP_IDLE);
}

void
http_conn_free(struct http_conn *conn)
{
	struct http_server *server = conn->server;
	bool gone = conn->x.known && !conn->x.answered;

	TAILQ_REMOVE(&server->phases[conn->phase], conn, by_phase);
	if (conn->late)
		TAILQ_REMOVE(&server->writing, conn, by_write);
	if (conn->kicked)
		TAILQ_REMOVE(&server->kicked, conn, by_kick);
	conn->x.answered = true;
	if (gone)
		server->callbacks.on_gone(&conn->x, server->arg);
	if (conn->work != NULL) {
		forget_body(conn);
		release_work(conn);
	}
	loop_watch_free(conn->watch);
	(void)close(conn->fd);
	free(conn);
	http_server_left(server);
}

/* How many bytes of what was sent the client has taken. */
static uint64_t
taken(const struct http_conn *conn)
{
	int queued = 0;

	if (ioctl(conn->fd, SIOCOUTQ, &queued) < 0 || queued < 0)
		return conn->sent;
	/* On a Unix socket overhead is counted too. */
	return (uint64_t)queued > conn->sent ? 0
					     : conn->sent - (uint64_t)queued;
}

/* Begin or end the watch over a client that does not take its bytes. */
static void
watch_writing(struct http_conn *conn)
{
	struct http_server *server = conn->server;
	bool late = http_conn_unsent(conn) > 0 && !conn->broken;

	if (late == conn->late)
		return;
	conn->late = late;
	if (!late) {
		TAILQ_REMOVE(&server->writing, conn, by_write);
		return;
	}
	conn->sent_mark = taken(conn);
	conn->write_deadline_us =
	    server->now_us + server->limits.write_timeout_ms * US_PER_MS;
	TAILQ_INSERT_TAIL(&server->writing, conn, by_write);
	http_server_deadline(server, conn->write_deadline_us);
}

/* What could not be sent of out and body stays in out. */
static void
keep_unsent(struct http_work *work, struct slice body, size_t sent)
{
	size_t head = work->out.n - work->out_at;

	if (sent < head) {
		work->out_at += sent;
		sent = 0;
	} else {
		sent -= head;
		buf_reset(&work->out, 2 * HTTP_SMALL_BYTES);
		work->out_at = 0;
	}
	if (body.n > sent)
		buf_add(&work->out, body.p + sent, body.n - sent);
}

/* Send what waits, and then body. */
void
http_conn_send(struct http_conn *conn, struct slice body)
{
	struct http_work *work = conn->work;
	struct iovec iov[2];
	struct msghdr msg = {.msg_iov = iov};
	size_t parts = 0;
	ssize_t n;

	if (conn->broken || work == NULL ||
	    http_conn_unsent(conn) + body.n == 0)
		return;
	if (work->out.n > 0)
		iov[parts++] = (struct iovec){work->out.p + work->out_at,
		    http_conn_unsent(conn)};
	if (body.n > 0)
		iov[parts++] =
		    (struct iovec){(void *)(uintptr_t)body.p, body.n};
	msg.msg_iovlen = parts;
	n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		conn->broken = true;
	if (n > 0)
		conn->sent += (uint64_t)n;
	keep_unsent(work, conn->broken ? (struct slice){0} : body,
	    n < 0 ? 0 : (size_t)n);
	watch_writing(conn);
}

/* Wait for what can happen next; an idle connection keeps no memory. */
void
http_conn_wait(struct http_conn *conn)
{
	bool served = conn->phase == HTTP_BUSY || conn->phase == HTTP_STREAM;
	bool full = served ? unread(conn) >= HTTP_AHEAD_BYTES
			   : http_conn_unsent(conn) > HTTP_SMALL_BYTES;
	unsigned int want = 0;

	if (http_conn_unsent(conn) > 0)
		want |= LOOP_WRITE;
	else if (conn->work != NULL && conn->phase == HTTP_IDLE &&
	    unread(conn) == 0)
		release_work(conn);
	if (conn->phase == HTTP_LINGER ||
	    (!conn->eof && !full && (!conn->closing || served)))
		want |= LOOP_READ;
	loop_watch_want(conn->watch, want);
}

/*
 * All is sent and the connection ends.  Bytes that were not read would make
 * close(2) send a reset, which may overtake the reply (RFC 9112, section 9.6):
 * then shut our side and read on for a moment.
 */
static void
conn_finish(struct http_conn *conn)
{
	if (conn->eof || (!conn->unread && unread(conn) == 0) ||
	    shutdown(conn->fd, SHUT_WR) < 0) {
		http_conn_free(conn);
		return;
	}
	release_work(conn);
	http_conn_phase(conn, HTTP_LINGER);
	http_conn_wait(conn);
}

/* The client sends no more: what is not whole now never will be. */
static bool
cut_short(const struct http_conn *conn)
{
	return conn->eof && conn->phase <= HTTP_BODY &&
	    http_conn_unsent(conn) <= HTTP_SMALL_BYTES;
}

/* The end of a turn. */
static void
conn_settle(struct http_conn *conn)
{
	http_conn_send(conn, (struct slice){0});
	if (cut_short(conn)) {
		conn->closing = true;
		if (conn->phase != HTTP_IDLE && http_conn_unsent(conn) == 0)
			conn->broken = true;
	}
	if (conn->broken ||
	    (conn->closing && conn->work == NULL && conn->phase == HTTP_IDLE)) {
		http_conn_free(conn);
	} else if (conn->closing && conn->phase == HTTP_IDLE &&
	    http_conn_unsent(conn) == 0) {
		conn_finish(conn);
	} else {
		http_conn_wait(conn);
	}
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
	if (conn->broken || conn->closing || conn->eof || unread(conn) > 0)
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

static void
begin_exchange(struct http_conn *conn)
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
	if (work->parsed.expect_continue && unread(conn) == 0)
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
	begin_exchange(conn);
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

	if (unread(conn) == 0)
		return false;
	fault = http_scan(&work->scan, &conn->server->limits,
	    work->in.p + work->in_at, unread(conn));
	if (fault != HTTP_FAULT_NONE) {
		begin_exchange(conn);
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
static enum http_fault
count_body(struct http_conn *conn, size_t before)
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
	struct slice in = {work->in.p + work->in_at, unread(conn)};
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
	full = count_body(conn, before);
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
static bool
conn_step(struct http_conn *conn)
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

void
http_conn_run(struct http_conn *conn)
{
	conn->running = true;
	while (conn_step(conn))
		;
	conn->running = false;
	conn_settle(conn);
}

/*
 * The client closed its side.  It may only have said that it has no more
 * requests, or it may be gone: TCP shows us the same.  Right after its last
 * byte it is the former (`printf ... | nc -N`); later, while it waits for a
 * reply, it is gone and its request is cancelled.
 */
static void
on_end_of_input(struct http_conn *conn)
{
	uint64_t quiet_us = conn->server->now_us - conn->input_us;

	conn->eof = true;
	if ((conn->phase == HTTP_BUSY || conn->phase == HTTP_STREAM) &&
	    quiet_us > HTTP_HALF_CLOSE_MS * US_PER_MS)
		conn->broken = true;
}

/* Where the next bytes go.  The rest of a long body goes where it stays. */
static struct buf *
read_target(struct http_conn *conn, size_t *max_out)
{
	struct http_work *work = conn->work;
	uint64_t left;

	*max_out = HTTP_READ_BYTES;
	if (conn->phase != HTTP_BODY || work->parsed.chunked ||
	    unread(conn) > 0)
		return &work->in;
	left = work->parsed.content_length - work->body.n;
	*max_out =
	    work->body.n + HTTP_READ_BYTES; /* who sends much gets more */
	if (*max_out > BODY_READ)
		*max_out = BODY_READ;
	if (*max_out > left)
		*max_out = (size_t)left;
	return &work->body;
}

static void
after_read(struct http_conn *conn, struct buf *into, ssize_t n)
{
	if (n == 0) {
		on_end_of_input(conn);
	} else if (n < 0) {
		conn->broken = errno != EAGAIN && errno != EINTR;
	} else {
		into->n += (size_t)n;
		conn->input_us = conn->server->now_us;
	}
}

static void
conn_read(struct http_conn *conn)
{
	struct http_work *work;
	struct buf *into;
	size_t max, before;
	ssize_t n;

	if (conn->work == NULL)
		conn->work = http_work_take(conn->server);
	work = conn->work;
	if (work->in_at > 0) {
		buf_drop(&work->in, work->in_at);
		work->in_at = 0;
	}
	into = read_target(conn, &max);
	before = into->n;
	n = recv(conn->fd, buf_room(into, max), max, 0);
	after_read(conn, into, n);
	if (into == &work->body && count_body(conn, before) != HTTP_FAULT_NONE)
		http_refuse(conn, HTTP_FAULT_BUFFERED);
}

/* Read what a refused client still sends; free at its end. */
static void
conn_linger(struct http_conn *conn)
{
	char waste[HTTP_READ_BYTES];
	ssize_t n = recv(conn->fd, waste, sizeof(waste), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		http_conn_free(conn);
}

static void
on_conn(unsigned int ready, void *arg)
{
	struct http_conn *conn = arg;
	struct http_server *server = conn->server;
	bool waited = http_conn_unsent(conn) > 0;

	server->now_us = clock_mono_us();
	if (conn->phase == HTTP_LINGER) {
		conn_linger(conn);
		return;
	}
	conn->running = true;
	if ((ready & LOOP_WRITE) != 0)
		http_conn_send(conn, (struct slice){0});
	if ((ready & LOOP_READ) != 0)
		conn_read(conn);
	if (waited && http_conn_unsent(conn) == 0 && !conn->broken &&
	    conn->phase == HTTP_STREAM && server->callbacks.on_writable != NULL)
		server->callbacks.on_writable(&conn->x, server->arg);
	http_conn_run(conn);
}

void
http_conn_new(struct http_server *server, int fd, const char *peer)
{
	struct http_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL)
		abort();
	conn->server = server;
	conn->fd = fd;
	(void)slice_copy(conn->peer, sizeof(conn->peer), slice_of(peer));
	conn->deadline_us =
	    server->now_us + server->limits.idle_timeout_ms * US_PER_MS;
	http_server_deadline(server, conn->deadline_us);
	TAILQ_INSERT_TAIL(&server->phases[HTTP_IDLE], conn, by_phase);
	server->stats.connections_open++;
	server->stats.connections_total++;
	conn->watch = loop_watch_new(server->loop, fd, on_conn, conn);
	loop_watch_want(conn->watch, LOOP_READ);
}

/* The deadline of its phase has passed. */
void
http_conn_expire(struct http_conn *conn)
{
	enum http_fault fault = conn->phase == HTTP_HEAD ? HTTP_FAULT_HEAD_SLOW
							 : HTTP_FAULT_BODY_SLOW;

	if (conn->phase == HTTP_IDLE || conn->phase == HTTP_LINGER ||
	    conn->closing) {
		http_conn_free(conn);
		return;
	}
	conn->running = true;
	if (conn->phase == HTTP_HEAD)
		begin_exchange(conn);
	http_refuse(conn, fault);
	http_conn_run(conn);
}

/*
 * Bytes wait for a client.  It may be slow, with much in the kernel's buffer
 * and no room yet for more: what counts is what it took.
 */
void
http_conn_expire_write(struct http_conn *conn)
{
	struct http_server *server = conn->server;
	uint64_t timeout_ms = server->limits.write_timeout_ms;
	uint64_t now_taken = taken(conn);
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (now_taken > conn->sent_mark + HTTP_MIN_RATE * timeout_ms / 1000) {
		TAILQ_REMOVE(&server->writing, conn, by_write);
		conn->sent_mark = now_taken;
		conn->write_deadline_us =
		    server->now_us + timeout_ms * US_PER_MS;
		TAILQ_INSERT_TAIL(&server->writing, conn, by_write);
		return;
	}
	(void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset,
	    sizeof(reset));
	http_conn_free(conn);
}

/* An idle connection when the server drains: a request that is there already
 * is served, as its client could not know. */
void
http_conn_drain(struct http_conn *conn)
{
	char byte;

	conn->closing |= unread(conn) == 0 && http_conn_unsent(conn) > 0;
	if (conn->running || conn->closing || conn->work != NULL ||
	    recv(conn->fd, &byte, 1, MSG_PEEK) > 0)
		return;
	http_conn_free(conn);
}
