/*
 * pool.c - ready workers, refills, waits, and the talk with the zygote.
 *
 * Runs in: gateway, cli.
 * Owns:    see pool.h.
 *
 * Per memory class: what is starting must cover those who wait and then fill
 * up the ready ones.  Filling is deferred to the end of the turn, so that it
 * never delays the request that took a worker.
 */
#include "runtime/pool/pool_priv.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"
#include "sandbox/wire/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB	     ((uint64_t)1 << 20)
#define FIRST_CLASS  (64 * MIB)
#define RETRY_US     100000 /* after a fork that failed */
#define PACKETS_TURN 64	    /* control messages read per turn */

static void fill_soon(struct pool *pool);
static void on_retry(void *arg);

unsigned int
pool_class_of(uint64_t memory_bytes)
{
	unsigned int class = 0;

	while (
	    class + 1 < POOL_CLASSES && (FIRST_CLASS << class) < memory_bytes)
		class ++;
	return class;
}

static unsigned int
class_of_mb(uint32_t memory_mb)
{
	return pool_class_of(memory_mb * MIB);
}

struct pool *
pool_new(struct loop *loop, unsigned int ready_workers,
    unsigned int max_workers, const struct pool_callbacks *callbacks, void *arg)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		abort();
	pool->loop = loop;
	pool->ready_workers = ready_workers;
	pool->max_workers = max_workers;
	pool->callbacks = *callbacks;
	pool->arg = arg;
	pool->control = -1;
	pool->waits_last = &pool->waits;
	pool->users[0] = 1; /* the default class is always wanted */
	pool->retry = loop_timer_new(loop, on_retry, pool);
	pool->read_buffer = malloc(POOL_READ_BYTES);
	if (pool->read_buffer == NULL)
		abort();
	return pool;
}

void
pool_set_limits(struct pool *pool, unsigned int ready_workers,
    unsigned int max_workers)
{
	pool->ready_workers = ready_workers;
	pool->max_workers = max_workers;
	fill_soon(pool);
}

uint64_t
pool_generation(const struct pool *pool)
{
	return pool->greeted ? pool->generation : 0;
}

/* --- forking ------------------------------------------------------------ */

static int
send_spawn(struct pool *pool, const struct worker *worker, int socket)
{
	uint8_t memory[32];
	struct wire_writer w = {memory, 0, sizeof(memory), false};
	struct iovec iov = {.iov_base = memory};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};

	wire_put_u8(&w, CONTROL_SPAWN);
	wire_put_u64(&w, worker->slot);
	wire_put_u64(&w, worker->memory_bytes);
	iov.iov_len = w.n;
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &socket, sizeof(socket));
	return sendmsg(pool->control, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* Ask for one more worker.  -1: not now. */
static int
spawn(struct pool *pool, unsigned int class)
{
	struct worker *worker;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
		(void)close(pair[0]);
		(void)close(pair[1]);
		return -1;
	}
	worker =
	    worker_new(pool, ++pool->next_slot, FIRST_CLASS << class, pair[0]);
	if (send_spawn(pool, worker, pair[1]) < 0) {
		(void)close(pair[1]);
		worker_free(worker);
		return -1;
	}
	(void)close(pair[1]);
	pool->starting[class]++;
	pool->stats.workers++;
	pool->stats.forks++;
	return 0;
}

static unsigned int
waiting_of(const struct pool *pool, unsigned int class)
{
	unsigned int n = 0;

	for (const struct pool_wait *w = pool->waits; w != NULL; w = w->next)
		n += w->class == class;
	return n;
}

static unsigned int
all_ready(const struct pool *pool)
{
	unsigned int n = 0;

	for (unsigned int c = 0; c < POOL_CLASSES; c++)
		n += pool->ready[c];
	return n;
}

/* Somebody waits and max_workers is reached: a ready worker of another class
 * goes, or an idle one of some function. */
static bool
make_room(struct pool *pool, unsigned int class)
{
	for (struct worker *w = pool->workers; w != NULL; w = w->next)
		if (w->ready && pool_class_of(w->memory_bytes) != class) {
			pool->ready[pool_class_of(w->memory_bytes)]--;
			w->ready = false;
			worker_kill(w);
			return true;
		}
	return pool->callbacks.on_full(pool->arg);
}

/* A fork failed: the next one not at once. */
static void
rest(struct pool *pool)
{
	pool->resting = true;
	loop_timer_start(pool->retry, RETRY_US);
}

static void
fill_class(struct pool *pool, unsigned int class)
{
	unsigned int waiting = waiting_of(pool, class);
	unsigned int target = waiting;

	if (pool->users[class] > 0)
		target += pool->ready_workers;
	while (!pool->resting &&
	    pool->starting[class] + pool->ready[class] < target) {
		bool full = pool->stats.workers >= pool->max_workers;

		if (full && pool->starting[class] >= waiting)
			return;
		if (full && !make_room(pool, class))
			return;
		if (full && pool->stats.workers > pool->max_workers + 16)
			return; /* those that go have not gone yet */
		if (spawn(pool, class) < 0) {
			pool->stats.fork_failures++;
			rest(pool);
			return;
		}
	}
}

static void
fill(void *arg)
{
	struct pool *pool = arg;

	pool->filling = false;
	if (!pool->greeted)
		return;
	for (unsigned int class = 0; class < POOL_CLASSES; class ++)
		fill_class(pool, class);
}

static void
fill_soon(struct pool *pool)
{
	if (pool->filling)
		return;
	pool->filling = true;
	loop_defer(pool->loop, fill, pool);
}

static void
on_retry(void *arg)
{
	struct pool *pool = arg;

	pool->resting = false;
	fill_soon(pool);
}

void
pool_use_class(struct pool *pool, uint32_t memory_mb, bool use)
{
	unsigned int class = class_of_mb(memory_mb);

	if (use)
		pool->users[class]++;
	else
		pool->users[class]--;
	if (use && pool->users[class] == 1)
		fill_soon(pool);
}

/* --- taking ------------------------------------------------------------- */

static void
hand_over(struct pool *pool, struct worker *worker)
{
	worker->ready = false;
	worker->state = WIRE_IDLE;
	worker->cpu_us = worker_cpu(worker);
}

struct worker *
pool_take(struct pool *pool, uint32_t memory_mb)
{
	unsigned int class = class_of_mb(memory_mb);
	struct worker *worker;

	if (pool->ready[class] == 0)
		return NULL;
	for (worker = pool->workers; worker != NULL; worker = worker->next)
		if (worker->ready && !worker->dying &&
		    pool_class_of(worker->memory_bytes) == class)
			break;
	if (worker == NULL) /* those that there are have just died */
		return NULL;
	pool->ready[class]--;
	hand_over(pool, worker);
	fill_soon(pool);
	return worker;
}

struct pool_wait *
pool_fork(struct pool *pool, uint32_t memory_mb,
    void (*on_worker)(struct worker *worker, void *arg), void *arg)
{
	struct pool_wait *wait = calloc(1, sizeof(*wait));

	if (wait == NULL)
		abort();
	wait->class = class_of_mb(memory_mb);
	wait->on_worker = on_worker;
	wait->arg = arg;
	*pool->waits_last = wait;
	pool->waits_last = &wait->next;
	pool->stats.waiting++;
	if (pool->greeted)
		fill_class(pool, wait->class);
	return wait;
}

static void
unlink_wait(struct pool *pool, struct pool_wait **at)
{
	struct pool_wait *wait = *at;

	*at = wait->next;
	if (pool->waits_last == &wait->next)
		pool->waits_last = at;
	pool->stats.waiting--;
}

void
pool_forget(struct pool *pool, struct pool_wait *wait)
{
	for (struct pool_wait **at = &pool->waits; *at != NULL;
	     at = &(*at)->next)
		if (*at == wait) {
			unlink_wait(pool, at);
			free(wait);
			return;
		}
}

void
pool_on_ready(struct pool *pool, struct worker *worker)
{
	unsigned int class = pool_class_of(worker->memory_bytes);

	pool->starting[class]--;
	for (struct pool_wait **at = &pool->waits; *at != NULL;
	     at = &(*at)->next)
		if ((*at)->class == class) {
			struct pool_wait *wait = *at;

			unlink_wait(pool, at);
			hand_over(pool, worker);
			wait->on_worker(worker, wait->arg);
			free(wait);
			return;
		}
	pool->ready[class]++;
}

void
pool_on_gone(struct pool *pool, struct worker *worker)
{
	unsigned int class = pool_class_of(worker->memory_bytes);
	struct worker_death death = {0};

	pool->stats.deaths++;
	pool->stats.workers--;
	if (worker->state == WIRE_STARTING) {
		pool->starting[class]--;
		pool->stats.fork_failures++;
		rest(pool);
	} else if (worker->ready) {
		pool->ready[class]--;
	}
	if (WIFSIGNALED(worker->status) && WTERMSIG(worker->status) == SIGSYS)
		pool->stats.violations++;
	if (worker->breach[0] != '\0')
		pool->stats.breaches++;
	worker_describe_death(worker, &death);
	if (worker->version != NULL || worker->job != NULL)
		pool->callbacks.on_gone(worker, &death, pool->arg);
	worker_free(worker);
	fill_soon(pool);
}

/* --- the zygote --------------------------------------------------------- */

static struct worker *
worker_by_slot(const struct pool *pool, uint64_t slot)
{
	struct worker *worker = pool->workers;

	while (worker != NULL && worker->slot != slot)
		worker = worker->next;
	return worker;
}

static void
zygote_gone(struct pool *pool)
{
	struct worker *worker;
	struct worker *next;

	if (pool->control < 0)
		return;
	loop_watch_free(pool->control_watch);
	pool->control_watch = NULL;
	(void)close(pool->control);
	pool->control = -1;
	pool->greeted = false;
	/* Its death is the death of its pid namespace. */
	for (worker = pool->workers; worker != NULL; worker = next) {
		next = worker->next;
		worker_kill(worker);
		worker_stream_over(worker);
	}
	pool->callbacks.on_zygote_gone(pool->arg);
}

static void
on_hello(struct pool *pool, struct wire_reader *r)
{
	struct pool_hello hello = {0};
	struct err err = {0};

	if (jail_report_get(r, &hello.report, &err) < 0)
		r->bad = true;
	hello.failed = wire_get_u32(r);
	hello.self_test = wire_get_str(r);
	hello.lua = wire_get_str(r);
	if (!wire_got_all(r) || pool->greeted ||
	    pool->callbacks.on_hello(&hello, pool->arg) < 0) {
		zygote_gone(pool);
		return;
	}
	pool->greeted = true;
	pool->resting = false;
	fill_soon(pool);
}

static void
on_spawned(struct pool *pool, struct wire_reader *r, int *fd)
{
	struct worker *worker = worker_by_slot(pool, wire_get_u64(r));

	if (worker == NULL || worker->pidfd >= 0 || *fd < 0)
		return;
	worker_spawned(worker, *fd);
	*fd = -1;
}

static void
on_died(struct pool *pool, struct wire_reader *r)
{
	struct worker *worker = worker_by_slot(pool, wire_get_u64(r));
	int status = (int)wire_get_u32(r);

	if (worker != NULL)
		worker_died(worker, status);
}

static void
on_no_fork(struct pool *pool, struct wire_reader *r)
{
	struct worker *worker = worker_by_slot(pool, wire_get_u64(r));
	char text[128];

	(void)snprintf(text, sizeof(text), "the zygote could not fork: %s",
	    strerror((int)wire_get_u32(r)));
	pool->callbacks.on_note(text, pool->arg);
	if (worker != NULL)
		worker_died(worker, 0);
}

static void
on_packet(struct pool *pool, struct wire_reader *r, int *fd)
{
	uint8_t op = wire_get_u8(r);

	if (op == CONTROL_HELLO)
		on_hello(pool, r);
	else if (op == CONTROL_SPAWNED)
		on_spawned(pool, r, fd);
	else if (op == CONTROL_DIED)
		on_died(pool, r);
	else if (op == CONTROL_NO_FORK)
		on_no_fork(pool, r);
	else
		r->bad = true;
}

/* Receive one packet.  Returns 1, 0 when there is none, -1 at the end. */
static int
receive(struct pool *pool)
{
	static uint8_t memory[CONTROL_MAX_BYTES];
	struct iovec iov = {.iov_base = memory, .iov_len = sizeof(memory)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(pool->control, &msg, MSG_CMSG_CLOEXEC);
	struct wire_reader r = {memory, n > 0 ? (size_t)n : 0, false};
	struct cmsghdr *header;
	int fd = -1;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	header = CMSG_FIRSTHDR(&msg);
	if (header != NULL && header->cmsg_level == SOL_SOCKET &&
	    header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	on_packet(pool, &r, &fd);
	if (fd >= 0) /* not wanted: nobody pushes descriptors to us */
		(void)close(fd);
	return r.bad || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ? -1
									: 1;
}

static void
on_control(unsigned int ready, void *arg)
{
	struct pool *pool = arg;

	for (int i = 0; i < PACKETS_TURN && pool->control >= 0; i++) {
		int got = receive(pool);

		if (got == 0)
			return;
		if (got < 0)
			zygote_gone(pool);
	}
}

void
pool_attach(struct pool *pool, int control_fd)
{
	zygote_gone(pool);
	pool->control = control_fd;
	pool->generation++;
	pool->stats.zygotes++;
	pool->control_watch =
	    loop_watch_new(pool->loop, control_fd, on_control, pool);
	loop_watch_want(pool->control_watch, LOOP_READ);
}

/* --- looking ------------------------------------------------------------ */

void
pool_empty(struct pool *pool)
{
	for (struct worker *w = pool->workers; w != NULL; w = w->next)
		if (w->ready) {
			pool->ready[pool_class_of(w->memory_bytes)]--;
			w->ready = false;
			worker_kill(w);
		}
}

void
pool_each(const struct pool *pool,
    void (*each)(const struct worker *worker, void *arg), void *arg)
{
	for (const struct worker *w = pool->workers; w != NULL; w = w->next)
		each(w, arg);
}

void
pool_stats(const struct pool *pool, struct pool_stats *stats_out)
{
	*stats_out = pool->stats;
	stats_out->ready = all_ready(pool);
	stats_out->starting = 0;
	for (unsigned int c = 0; c < POOL_CLASSES; c++)
		stats_out->starting += pool->starting[c];
}

void
pool_free(struct pool *pool)
{
	struct worker *worker;

	if (pool == NULL)
		return;
	while ((worker = pool->workers) != NULL) {
		worker_kill(worker);
		worker_free(worker);
	}
	while (pool->waits != NULL) {
		struct pool_wait *wait = pool->waits;

		pool->waits = wait->next;
		free(wait);
	}
	loop_undefer(pool->loop, pool);
	loop_watch_free(pool->control_watch);
	if (pool->control >= 0)
		(void)close(pool->control);
	loop_timer_free(pool->retry);
	free(pool->read_buffer);
	free(pool);
}
