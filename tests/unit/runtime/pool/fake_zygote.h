/*
 * fake_zygote.h - a zygote that forks what a test tells it: see fake_worker.h.
 *
 * Runs in: tests.
 * Owns:    its end of the control socket.
 *
 * It lives on the loop of the one who is tested, so that nothing happens
 * between two turns.  A worker is a process only with `processes`: then
 * signals arrive, and SPAWNED has a pidfd.
 */
#pragma once

#include "tests/unit/runtime/pool/fake_worker.h"

/* --- what a zygote hears ----------------------------------------------------------- */

/* The process says each interrupt on its pipe; nothing else ends it but a
 * kill. */
static inline void
fake_child(int pipe)
{
	sigset_t set;
	int got;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	(void)dup2(pipe, FAKE_CHILD_FD);
	(void)close_range(FAKE_CHILD_FD + 1, ~0u, 0);
	while (sigwait(&set, &got) == 0)
		if (write(FAKE_CHILD_FD, "!", 1) != 1)
			_exit(1);
	_exit(1);
}

static inline int
fake_fork(struct fake_worker *w)
{
	sigset_t set;
	sigset_t old;
	int pair[2];

	ck_assert_int_eq(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigaddset(&set, SIGUSR2); /* the recall; see fake_give_back() */
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	w->pid = fork();
	ck_assert_int_ge(w->pid, 0);
	if (w->pid == 0)
		fake_child(pair[1]);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	(void)close(pair[1]);
	w->interrupted = pair[0];
	return (int)syscall(SYS_pidfd_open, w->pid, 0);
}

static inline void
fake_ready(struct fake_worker *w)
{
	fake_frame(w, WIRE_READY, 0, (struct slice){0});
}

static inline void
fake_spawn(struct fake *f, uint64_t slot, uint64_t memory_bytes, int fd)
{
	struct fake_worker *w = calloc(1, sizeof(*w));
	int pidfd = -1;

	*w = (struct fake_worker){.fake = f,
	    .next = f->workers,
	    .number = f->workers == NULL ? 1 : f->workers->number + 1,
	    .slot = slot,
	    .memory_bytes = memory_bytes,
	    .slowly = f->slowly,
	    .deaf = f->deaf,
	    .fd = fd};
	f->workers = w;
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	w->watch = loop_watch_new(f->loop, fd, fake_on_worker, w);
	if (f->processes)
		pidfd = fake_fork(w);
	fake_say_spawned(f, slot, pidfd);
	if (pidfd >= 0)
		(void)close(pidfd);
	if (!f->hold_ready)
		fake_ready(w);
	else
		fake_flush(w);
}

/* Returns false when there is no packet. */
static inline bool
fake_receive(struct fake *f)
{
	uint8_t memory[64];
	struct iovec iov = {.iov_base = memory, .iov_len = sizeof(memory)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(f->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct wire_reader r = {memory, n > 0 ? (size_t)n : 0, false};
	uint64_t slot;
	uint64_t memory_bytes;
	int fd;

	if (n <= 0) {
		if (n == 0)
			loop_watch_want(f->watch, 0);
		return false;
	}
	ck_assert_uint_eq(wire_get_u8(&r), CONTROL_SPAWN);
	slot = wire_get_u64(&r);
	memory_bytes = wire_get_u64(&r);
	ck_assert(wire_got_all(&r) && CMSG_FIRSTHDR(&msg) != NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	f->spawns++;
	if (f->refuse > 0 && f->refuse-- > 0) {
		(void)close(fd);
		fake_say_no_fork(f, slot);
	} else if (f->hold_spawns) {
		(void)close(fd);
	} else {
		fake_spawn(f, slot, memory_bytes, fd);
	}
	return true;
}

static inline void
fake_on_control(unsigned int ready, void *arg)
{
	while (fake_receive(arg))
		;
}

/* What no watch tells: signals, ends of those who do not read, time. */
static inline void
fake_look(struct fake_worker *w)
{
	struct pollfd end = {.fd = w->fd, .events = POLLRDHUP};
	char c;

	if (w->pid != 0 && read(w->interrupted, &c, 1) == 1) {
		w->interrupts++;
		if (w->fake->on_interrupt != NULL)
			w->fake->on_interrupt(w);
		else if (w->busy)
			fake_fail(w, WIRE_FAIL_TIMEOUT, "timeout", FAKE_LINE);
	}
	if (w->free_us != 0 && clock_mono_us() >= w->free_us)
		fake_answer(w);
	if (w->fd >= 0 && poll(&end, 1, 0) > 0 &&
	    (w->deaf || (w->busy && !w->asking)))
		fake_on_end(w);
	if (w->fd < 0 && w->pid != 0 && !w->told) {
		int status;

		if (waitpid(w->pid, &status, WNOHANG) == w->pid) {
			(void)close(w->interrupted);
			w->pid = 0;
			fake_say_died(w, status);
		}
	}
}

static inline void
fake_on_tick(void *arg)
{
	struct fake *f = arg;

	for (struct fake_worker *w = f->workers; w != NULL; w = w->next)
		fake_look(w);
	loop_timer_start(f->tick, FAKE_TICK_US);
}

/* --- its life ---------------------------------------------------------------------- */

/* A zygote that has said nothing yet.  *control_out: for pool_attach(). */
static inline struct fake *
fake_new(struct loop *loop, int *control_out)
{
	struct fake *f = calloc(1, sizeof(*f));
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX,
			     SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			     pair),
	    0);
	f->loop = loop;
	f->fd = pair[0];
	f->watch = loop_watch_new(loop, f->fd, fake_on_control, f);
	loop_watch_want(f->watch, LOOP_READ);
	f->tick = loop_timer_new(loop, fake_on_tick, f);
	loop_timer_start(f->tick, FAKE_TICK_US);
	*control_out = pair[1];
	return f;
}

/* The zygote dies, and its workers with it. */
static inline void
fake_end(struct fake *f)
{
	loop_watch_free(f->watch);
	f->watch = NULL;
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
	loop_timer_free(f->tick);
	f->tick = NULL;
	for (struct fake_worker *w = f->workers; w != NULL; w = w->next) {
		fake_close(w);
		fake_reap(w);
	}
}

static inline void
fake_free(struct fake *f)
{
	struct fake_worker *w;

	if (f == NULL)
		return;
	fake_end(f);
	while ((w = f->workers) != NULL) {
		f->workers = w->next;
		buf_fini(&w->in);
		buf_fini(&w->out);
		buf_fini(&w->answer);
		free(w);
	}
	free(f);
}

/* --- looking ------------------------------------------------------------------------- */

/* The nth worker of this zygote, from 1; NULL: not forked yet. */
static inline struct fake_worker *
fake_worker(const struct fake *f, unsigned int number)
{
	struct fake_worker *w = f->workers;

	while (w != NULL && w->number != number)
		w = w->next;
	return w;
}

static inline unsigned int
fake_alive(const struct fake *f)
{
	unsigned int n = 0;

	for (struct fake_worker *w = f->workers; w != NULL; w = w->next)
		n += w->fd >= 0;
	return n;
}

static inline unsigned int
fake_busy(const struct fake *f)
{
	unsigned int n = 0;

	for (struct fake_worker *w = f->workers; w != NULL; w = w->next)
		n += w->fd >= 0 && w->busy;
	return n;
}

static inline unsigned int
fake_invokes(const struct fake *f)
{
	unsigned int n = 0;

	for (struct fake_worker *w = f->workers; w != NULL; w = w->next)
		n += w->invokes;
	return n;
}

static inline unsigned int
fake_builds(const struct fake *f)
{
	unsigned int n = 0;

	for (struct fake_worker *w = f->workers; w != NULL; w = w->next)
		n += w->builds;
	return n;
}

/* The worker that runs the request of this document. */
static inline struct fake_worker *
fake_running(const struct fake *f, const char *document)
{
	struct fake_worker *w = f->workers;

	while (w != NULL &&
	    (w->fd < 0 || !w->busy || strcmp(w->now.document, document) != 0))
		w = w->next;
	return w;
}

/* --- waiting --------------------------------------------------------------------------- */

static inline void
fake_stop(void *arg)
{
	loop_stop(arg);
}

/* Run the loop for a moment. */
static inline void
fake_turn(struct loop *loop)
{
	struct loop_timer *timer = loop_timer_new(loop, fake_stop, loop);

	loop_timer_start(timer, FAKE_TICK_US);
	ck_assert_int_eq(loop_run(loop, NULL), 0);
	loop_timer_free(timer);
}

static inline void
fake_turns(struct loop *loop, uint64_t ms)
{
	uint64_t end_us = clock_mono_us() + ms * 1000;

	while (clock_mono_us() < end_us)
		fake_turn(loop);
}

/* Run the loop until the condition holds. */
#define WAIT_FOR(loop, condition)                                             \
	do {                                                                  \
		uint64_t end_ = clock_mono_us() + FAKE_WAIT_US;               \
		while (!(condition) && clock_mono_us() < end_)                \
			fake_turn(loop);                                      \
		ck_assert_msg((condition), "in vain waited for " #condition); \
	} while (0)
