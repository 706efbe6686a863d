/*
 * server.c - listen, accept, deadlines, drain.
 *
 * Runs in: gateway.
 * Owns:    see http_priv.h.
 *
 * Deadlines cost nothing per request: the timeout of a phase is the same for
 * all, so the list of a phase, oldest first, is in order of deadline, and one
 * timer for the whole server looks at the fronts of the lists.
 */
#include "runtime/http/http_priv.h"

#include "runtime/loop/loop.h"
#include "sandbox/base/clock.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

struct http_work *
http_work_take(struct http_server *server)
{
	struct http_work *work = SLIST_FIRST(&server->spares);

	if (work == NULL)
		return must(calloc(1, sizeof(*work)));
	SLIST_REMOVE_HEAD(&server->spares, next);
	server->nspares--;
	return work;
}

static void
work_free(struct http_work *work)
{
	buf_fini(&work->in);
	buf_fini(&work->text);
	buf_fini(&work->body);
	buf_fini(&work->out);
	http_head_fini(&work->parsed);
	free(work);
}

void
http_work_give(struct http_server *server, struct http_work *work)
{
	if (server->nspares >= HTTP_SPARES) {
		work_free(work);
		return;
	}
	buf_reset(&work->in, 2 * HTTP_READ_BYTES);
	buf_reset(&work->text, HTTP_READ_BYTES);
	buf_reset(&work->body, HTTP_SMALL_BYTES);
	buf_reset(&work->out, 2 * HTTP_SMALL_BYTES);
	http_head_reset(&work->parsed);
	work->in_at = 0;
	work->out_at = 0;
	work->scan = (struct http_scan){0};
	SLIST_INSERT_HEAD(&server->spares, work, next);
	server->nspares++;
}

/* See that the tick comes at this time, or shortly after. */
void
http_server_deadline(struct http_server *server, uint64_t deadline_us)
{
	uint64_t soonest = server->now_us + HTTP_TICK_MS * US_PER_MS;

	if (deadline_us < soonest)
		deadline_us = soonest;
	if (server->tick_us != 0 && server->tick_us <= deadline_us)
		return;
	server->tick_us = deadline_us;
	loop_timer_start(server->tick, deadline_us - server->now_us);
}

static void
expire_phase(struct http_server *server, enum http_phase phase)
{
	struct http_conns *list = &server->phases[phase];
	struct http_conn *conn;

	while ((conn = TAILQ_FIRST(list)) != NULL &&
	    conn->deadline_us <= server->now_us)
		http_conn_expire(conn);
	if (conn != NULL)
		http_server_deadline(server, conn->deadline_us);
}

static void
on_tick(void *arg)
{
	static const enum http_phase timed[] = {HTTP_IDLE, HTTP_HEAD, HTTP_BODY,
	    HTTP_LINGER};
	struct http_server *server = arg;
	struct http_conn *conn;

	server->now_us = clock_mono_us();
	server->tick_us = 0;
	for (size_t i = 0; i < sizeof(timed) / sizeof(timed[0]); i++)
		expire_phase(server, timed[i]);
	while ((conn = TAILQ_FIRST(&server->writing)) != NULL &&
	    conn->write_deadline_us <= server->now_us)
		http_conn_expire_write(conn);
	if (conn != NULL)
		http_server_deadline(server, conn->write_deadline_us);
}

/* Run this connection soon, on a stack that is ours alone: whoever replied
 * must not be called back, nor lose the exchange, in the middle of it. */
void
http_server_kick(struct http_conn *conn)
{
	struct http_server *server = conn->server;

	if (conn->kicked)
		return;
	if (TAILQ_EMPTY(&server->kicked))
		loop_timer_start(server->kick, 0);
	conn->kicked = true;
	TAILQ_INSERT_TAIL(&server->kicked, conn, by_kick);
}

static void
on_kick(void *arg)
{
	struct http_server *server = arg;
	/* NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores) */
	struct http_conns list = TAILQ_HEAD_INITIALIZER(list);
	struct http_conn *last = TAILQ_LAST(&server->kicked, http_conns);
	struct http_conn *conn;

	server->now_us = clock_mono_us();
	for (bool more = last != NULL; more;) {
		conn = TAILQ_FIRST(&server->kicked);
		if (conn == NULL)
			return;
		more = conn != last;
		TAILQ_REMOVE(&server->kicked, conn, by_kick);
		conn->kicked = false;
		http_conn_run(conn);
	}
	if (!TAILQ_EMPTY(&server->kicked))
		loop_timer_start(server->kick, 0);
}

static void
listen_want(struct http_server *server, unsigned int want)
{
	struct http_listener *listener;

	SLIST_FOREACH (listener, &server->listeners, next)
		loop_watch_want(listener->watch, want);
}

static void
accept_pause(struct http_server *server)
{
	server->paused = true;
	listen_want(server, 0);
}

static void
accept_resume(void *arg)
{
	struct http_server *server = arg;

	if (!server->paused || server->draining ||
	    server->stats.connections_open >= server->limits.connections)
		return;
	server->paused = false;
	loop_timer_stop(server->accept_again);
	listen_want(server, LOOP_READ);
}

/* A connection is gone: there may be room for another, or an end. */
void
http_server_left(struct http_server *server)
{
	void (*on_drained)(void *arg) = server->on_drained;

	server->stats.connections_open--;
	accept_resume(server);
	if (server->stats.connections_open > 0 || on_drained == NULL)
		return;
	server->on_drained = NULL;
	on_drained(server->drained_arg);
}

static void
peer_name(char *dst, size_t dst_bytes, const union address *from)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (from->any.sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &from->in.sin_addr, host,
		    sizeof(host));
		(void)snprintf(dst, dst_bytes, "%s:%u", host,
		    ntohs(from->in.sin_port));
	} else if (from->any.sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &from->in6.sin6_addr, host,
		    sizeof(host));
		(void)snprintf(dst, dst_bytes, "[%s]:%u", host,
		    ntohs(from->in6.sin6_port));
	} else {
		(void)snprintf(dst, dst_bytes, "unix");
	}
}

/*
 * Returns false when nothing more can be accepted now.  Without descriptors or
 * memory the connection stays in the backlog and would make the loop spin:
 * pause, and try again when one has closed or a little later.
 */
static bool
accept_one(struct http_server *server, int fd)
{
	union address from = {.any.sa_family = AF_UNSPEC};
	socklen_t bytes = sizeof(from);
	char peer[sizeof(((struct http_conn *)0)->peer)];
	int client;

	if (server->stats.connections_open >= server->limits.connections) {
		accept_pause(server);
		return false;
	}
	client = accept4(fd, &from.any, &bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client >= 0) {
		peer_name(peer, sizeof(peer), &from);
		http_conn_new(server, client, peer);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
	    errno == ENOMEM) {
		accept_pause(server);
		loop_timer_start(server->accept_again,
		    HTTP_ACCEPT_WAIT_MS * US_PER_MS);
		return false;
	}
	return errno != EAGAIN;
}

static void
on_listener(unsigned int ready, void *arg)
{
	struct http_listener *listener = arg;
	struct http_server *server = listener->server;

	server->now_us = clock_mono_us();
	for (int i = 0; i < HTTP_ACCEPT_MAX; i++)
		if (!accept_one(server, listener->fd))
			return;
}

struct http_server *
http_server_new(struct loop *loop, const struct http_limits *limits,
    const struct http_callbacks *callbacks, void *arg)
{
	struct http_server *server = must(calloc(1, sizeof(*server)));

	server->loop = loop;
	server->limits = *limits;
	server->callbacks = *callbacks;
	server->arg = arg;
	server->now_us = clock_mono_us();
	server->date_s = -1;
	for (int i = 0; i < HTTP_PHASES; i++)
		TAILQ_INIT(&server->phases[i]);
	TAILQ_INIT(&server->writing);
	TAILQ_INIT(&server->kicked);
	server->tick = loop_timer_new(loop, on_tick, server);
	server->kick = loop_timer_new(loop, on_kick, server);
	server->accept_again = loop_timer_new(loop, accept_resume, server);
	reqid_init(&server->ids);
	return server;
}

/* TCP_NODELAY is inherited by what is accepted: no call per connection.  On a
 * Unix socket it fails and does not matter. */
void
http_server_listen(struct http_server *server, int fd)
{
	struct http_listener *listener = must(calloc(1, sizeof(*listener)));
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	listener->server = server;
	listener->fd = fd;
	listener->watch =
	    loop_watch_new(server->loop, fd, on_listener, listener);
	SLIST_INSERT_HEAD(&server->listeners, listener, next);
	if (!server->draining && !server->paused)
		loop_watch_want(listener->watch, LOOP_READ);
}

void
http_server_set_limits(struct http_server *server,
    const struct http_limits *limits)
{
	server->limits = *limits;
	accept_resume(server);
}

void
http_server_drain(struct http_server *server, void (*on_drained)(void *arg),
    void *arg)
{
	struct http_conn *conn, *next;

	server->draining = true;
	server->now_us = clock_mono_us();
	accept_pause(server);
	loop_timer_stop(server->accept_again);
	for (conn = TAILQ_FIRST(&server->phases[HTTP_IDLE]); conn != NULL;
	     conn = next) {
		next = TAILQ_NEXT(conn, by_phase);
		http_conn_drain(conn);
	}
	if (server->stats.connections_open == 0) {
		on_drained(arg);
		return;
	}
	server->on_drained = on_drained;
	server->drained_arg = arg;
}

void
http_server_stats(const struct http_server *server,
    struct http_stats *stats_out)
{
	*stats_out = server->stats;
}

void
http_server_free(struct http_server *server)
{
	struct http_listener *listener;
	struct http_work *work;

	if (server == NULL)
		return;
	server->draining = true;
	server->on_drained = NULL;
	for (int i = 0; i < HTTP_PHASES; i++)
		while (!TAILQ_EMPTY(&server->phases[i]))
			http_conn_free(TAILQ_FIRST(&server->phases[i]));
	while ((listener = SLIST_FIRST(&server->listeners)) != NULL) {
		SLIST_REMOVE_HEAD(&server->listeners, next);
		loop_watch_free(listener->watch);
		free(listener);
	}
	while ((work = SLIST_FIRST(&server->spares)) != NULL) {
		SLIST_REMOVE_HEAD(&server->spares, next);
		work_free(work);
	}
	loop_timer_free(server->tick);
	loop_timer_free(server->kick);
	loop_timer_free(server->accept_again);
	free(server);
}
