/*
 * worker.c - the gateway's end of one worker: bytes, signals, its end.
 *
 * Runs in: gateway, cli.
 * Owns:    see worker.h.
 *
 * A worker is over when both are known: its stream has ended and the zygote
 * has told its exit status.  The status comes a moment after the end of the
 * stream; it is waited for, but not for long.
 */
#include "runtime/pool/pool_priv.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEATH_WAIT_US	 50000 /* stream ended, no status yet */
#define IN_KEEP_BYTES	 4096  /* buffers larger than this are given back */
#define OUT_KEEP_BYTES	 65536
#define FLUSH_BYTES	 65536 /* so much is not kept for the turn's end */
#define INTERRUPT_SIGNAL SIGUSR1
#define RECALL_SIGNAL	 SIGUSR2

static void on_ready(unsigned int ready, void *arg);
static void on_death_wait(void *arg);

struct worker *
worker_new(struct pool *pool, uint64_t slot, uint64_t memory_bytes, int fd)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (worker == NULL)
		abort();
	worker->pool = pool;
	worker->slot = slot;
	worker->generation = pool->generation;
	worker->memory_bytes = memory_bytes;
	worker->fd = fd;
	worker->pidfd = -1;
	worker->asked_us = clock_mono_us();
	worker->state = WIRE_STARTING;
	worker->watch = loop_watch_new(pool->loop, fd, on_ready, worker);
	worker->death_timer = loop_timer_new(pool->loop, on_death_wait, worker);
	loop_watch_want(worker->watch, LOOP_READ);
	worker->next = pool->workers;
	if (worker->next != NULL)
		worker->next->prev = worker;
	pool->workers = worker;
	return worker;
}

static void
unlink_flush(struct worker *worker)
{
	struct worker **at = &worker->pool->flush;

	if (!worker->flushing)
		return;
	while (*at != worker)
		at = &(*at)->flush_next;
	*at = worker->flush_next;
	worker->flushing = false;
}

void
worker_free(struct worker *worker)
{
	if (worker->prev != NULL)
		worker->prev->next = worker->next;
	else
		worker->pool->workers = worker->next;
	if (worker->next != NULL)
		worker->next->prev = worker->prev;
	loop_undefer(worker->pool->loop, worker);
	unlink_flush(worker);
	loop_watch_free(worker->watch);
	loop_timer_free(worker->death_timer);
	(void)close(worker->fd);
	if (worker->pidfd >= 0)
		(void)close(worker->pidfd);
	buf_fini(&worker->in);
	buf_fini(&worker->out);
	free(worker);
}

/* The zygote knows its pid only in its own namespace; the kernel translates
 * for the holder of a pidfd (pidfd_open(2), fdinfo). */
static pid_t
pid_of(int pidfd)
{
	char path[64];
	char line[256];
	int pid = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "Pid:", 4) == 0)
			pid = (int)strtol(line + 4, NULL, 10);
	(void)fclose(file);
	return pid > 0 ? pid : 0;
}

void
worker_spawned(struct worker *worker, int pidfd)
{
	worker->pidfd = pidfd;
	worker->pid = pid_of(pidfd);
	worker->spawned_us = clock_mono_us();
	if (worker->dying)
		worker_kill(worker);
}

static void
send_signal(const struct worker *worker, int signal)
{
	if (worker->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, worker->pidfd, signal,
		    NULL, 0);
}

void
worker_interrupt(struct worker *worker)
{
	send_signal(worker, INTERRUPT_SIGNAL);
}

void
worker_recall(struct worker *worker)
{
	send_signal(worker, RECALL_SIGNAL);
}

void
worker_kill(struct worker *worker)
{
	worker->dying = true;
	worker->killed_by_us = true;
	send_signal(worker, SIGKILL);
	(void)shutdown(worker->fd, SHUT_RDWR);
}

uint64_t
worker_cpu(struct worker *worker)
{
	struct timespec ts;
	/* CPUCLOCK_SCHED of a process: see clock_getcpuclockid(3) */
	clockid_t clock = (clockid_t)((~(unsigned int)worker->pid << 3) | 2);

	if (worker->pid == 0 || clock_gettime(clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

struct buf *
worker_out(struct worker *worker)
{
	return &worker->out;
}

void
worker_flush(struct worker *worker)
{
	ssize_t n;

	if (worker->out.n == 0 || worker->dying)
		return;
	if (worker->sent_us == 0)
		worker->sent_us = clock_mono_us();
	n = send(worker->fd, worker->out.p, worker->out.n, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return; /* its end is read next */
	if (n == (ssize_t)worker->out.n)
		buf_reset(&worker->out, OUT_KEEP_BYTES);
	else if (n > 0)
		buf_drop(&worker->out, (size_t)n);
	loop_watch_want(worker->watch,
	    LOOP_READ | (worker->out.n > 0 ? LOOP_WRITE : 0));
}

void
worker_write(struct worker *worker, struct slice frames)
{
	ssize_t n = 0;

	worker_flush(worker);
	if (worker->out.n == 0 && !worker->dying)
		n = send(worker->fd, frames.p, frames.n, MSG_NOSIGNAL);
	if (n < 0)
		n = 0; /* what the matter is, the next flush finds out */
	buf_add(&worker->out, frames.p + n, frames.n - (size_t)n);
	if (worker->out.n > 0)
		loop_watch_want(worker->watch, LOOP_READ | LOOP_WRITE);
}

static void
flush_all(void *arg)
{
	struct pool *pool = arg;
	struct worker *worker;

	pool->flushing = false;
	while ((worker = pool->flush) != NULL) {
		pool->flush = worker->flush_next;
		worker->flushing = false;
		worker_flush(worker);
	}
}

void
worker_flush_soon(struct worker *worker)
{
	struct pool *pool = worker->pool;

	if (worker->out.n >= FLUSH_BYTES) {
		worker_flush(worker);
		return;
	}
	if (worker->flushing)
		return;
	worker->flushing = true;
	worker->flush_next = pool->flush;
	pool->flush = worker;
	if (!pool->flushing) {
		pool->flushing = true;
		loop_defer(pool->loop, flush_all, pool);
	}
}

/* The worker broke the protocol: there is no second chance. */
void
worker_breach(struct worker *worker, const char *what)
{
	(void)snprintf(worker->breach, sizeof(worker->breach), "%s", what);
	worker_kill(worker);
}

static void
on_frame(struct worker *worker, const struct wire_header *header,
    struct slice body)
{
	struct pool *pool = worker->pool;

	if (header->type != WIRE_READY) {
		pool->callbacks.on_frame(worker, header, body, pool->arg);
		return;
	}
	worker->state = WIRE_IDLE;
	worker->ready = true;
	worker->ready_us = worker->read_us;
	if (worker->spawned_us == 0) /* READY overtook SPAWNED */
		worker->spawned_us = worker->ready_us;
	pool_on_ready(pool, worker);
}

/* How many calls are answered by the whole frames in p: they share the time
 * since the last answer. */
static unsigned int
count_answers(const char *p, size_t n)
{
	struct wire_reader r = {(const uint8_t *)p, n, false};
	unsigned int answers = 0;

	for (;;) {
		uint32_t body_bytes = wire_get_u32(&r);
		uint16_t type = wire_get_u16(&r);

		(void)wire_get_raw(&r, WIRE_HEADER_BYTES - 6);
		(void)wire_get_raw(&r, body_bytes);
		if (r.bad)
			return answers;
		answers += type == WIRE_RESULT || type == WIRE_FAILED;
	}
}

/* Serve the whole frames in p; returns the bytes consumed. */
static size_t
take_frames(struct worker *worker, const char *p, size_t n)
{
	size_t at = 0;

	worker->read_us = clock_mono_us();
	worker->answers = count_answers(p, n);
	while (!worker->dying) {
		struct wire_header header;
		struct err err;
		int got = wire_parse(&header, p + at, n - at, WIRE_WORKER,
		    (unsigned int)worker->state, &err);

		if (got < 0)
			worker_breach(worker, err.msg);
		if (got != 0)
			break;
		if (n - at < WIRE_HEADER_BYTES + header.body_bytes)
			break;
		at += WIRE_HEADER_BYTES + header.body_bytes;
		on_frame(worker, &header,
		    slice_from(p + at - header.body_bytes, header.body_bytes));
	}
	return worker->dying ? n : at;
}

/* A frame came in more than one read: gather it in worker->in. */
static void
take_gathered(struct worker *worker)
{
	buf_drop(&worker->in, take_frames(worker, worker->in.p, worker->in.n));
	if (worker->in.n == 0)
		buf_reset(&worker->in, IN_KEEP_BYTES);
}

/* One read.  Returns 1 when something came, 0 when nothing, -1 at the end. */
static int
read_once(struct worker *worker)
{
	struct pool *pool = worker->pool;
	bool gather = worker->in.n > 0;
	char *p =
	    gather ? buf_room(&worker->in, POOL_READ_BYTES) : pool->read_buffer;
	ssize_t n = read(worker->fd, p, POOL_READ_BYTES);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* unix(7): the peer closed with bytes of ours in its queue */
	if ((n < 0 && errno == ECONNRESET) || (n <= 0 && worker->out.n > 0))
		worker->unread = true;
	if (n <= 0)
		return -1;
	if (gather) {
		worker->in.n += (size_t)n;
		take_gathered(worker);
	} else {
		size_t used = take_frames(worker, p, (size_t)n);

		buf_add(&worker->in, p + used, (size_t)n - used);
	}
	return 1;
}

static void
finish(void *arg)
{
	struct worker *worker = arg;

	pool_on_gone(worker->pool, worker);
}

/* Called when the stream ended or the status came; the second one ends it. */
static void
maybe_finish(struct worker *worker)
{
	worker->dying = true;
	loop_watch_want(worker->watch, 0);
	if (worker->closed && worker->death_known) {
		loop_timer_stop(worker->death_timer);
		loop_defer(worker->pool->loop, finish, worker);
	} else {
		loop_timer_start(worker->death_timer, DEATH_WAIT_US);
	}
}

static void
on_death_wait(void *arg)
{
	struct worker *worker = arg;
	bool by_us = worker->killed_by_us;

	worker_kill(worker);
	worker->killed_by_us = by_us;
	worker->closed = true;
	worker->death_known = true;
	worker->status_lost = true;
	maybe_finish(worker);
}

static void
on_end(struct worker *worker)
{
	if (worker->closed)
		return;
	worker->closed = true;
	maybe_finish(worker);
}

static void
on_ready(unsigned int ready, void *arg)
{
	struct worker *worker = arg;

	if ((ready & LOOP_WRITE) != 0)
		worker_flush(worker);
	if ((ready & LOOP_READ) != 0 && read_once(worker) < 0)
		on_end(worker);
}

void
worker_died(struct worker *worker, int status)
{
	if (worker->death_known)
		return;
	/* What it wrote before it died counts. */
	if (!worker->closed) {
		int more;

		while ((more = read_once(worker)) > 0)
			;
		if (more <= 0)
			worker->closed = true;
	}
	worker->death_known = true;
	worker->status = status;
	maybe_finish(worker);
}

void
worker_stream_over(struct worker *worker)
{
	if (worker->closed && worker->death_known)
		return;
	while (!worker->closed && read_once(worker) > 0)
		;
	worker->closed = true;
	worker->death_known = true;
	maybe_finish(worker);
}

void
worker_describe_death(const struct worker *worker, struct worker_death *death)
{
	int status = worker->status;

	*death = (struct worker_death){0};
	if (worker->breach[0] != '\0') {
		death->reason = "protocol_error";
		(void)snprintf(death->text, sizeof(death->text),
		    "the worker broke the protocol: %s", worker->breach);
	} else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
		death->reason = "sandbox_violation";
		(void)snprintf(death->text, sizeof(death->text),
		    "the worker tried a forbidden system call and was killed");
	} else if (worker->generation != pool_generation(worker->pool)) {
		death->reason = "zygote_died";
		death->platform = true;
		(void)snprintf(death->text, sizeof(death->text),
		    "the zygote died, and its workers with it");
	} else if (worker->status_lost ||
	    (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
		/* no system call for that is open to it */
		death->reason = "worker_killed";
		death->platform = true;
		(void)snprintf(death->text, sizeof(death->text),
		    "the worker was killed from outside");
	} else if (WIFSIGNALED(status)) {
		death->reason = "worker_crashed";
		(void)snprintf(death->text, sizeof(death->text),
		    "the worker died by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	} else {
		death->reason = "worker_crashed";
		(void)snprintf(death->text, sizeof(death->text),
		    "the worker ended with status %d before it answered",
		    WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	}
}
