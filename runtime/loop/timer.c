/*
 * timer.c - timers: see loop.h.
 *
 * Runs in: supervisor, gateway, cli.
 * Owns:    a heap of the timers that run, and one timerfd.
 *
 * The timerfd is set only when something is due earlier than it will ring, so
 * that most starts, and every turn of the loop, make no system call for it:
 * libevent's own timers would set one before every wait.
 */
#include "runtime/loop/loop_priv.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct loop_timer {
	struct timers *timers;
	uint64_t due_us;
	size_t at; /* in the heap, from 1; 0: not running */
	void (*on_time)(void *arg);
	void *arg;
};

/* Binary heap, the earliest first; a timer knows where it stands. */
struct timers {
	struct loop_timer **heap;
	size_t n;
	size_t cap;
	int fd;
	uint64_t rings_us; /* fd; 0: not set */
	struct loop_watch *watch;
};

static void
place(struct timers *timers, struct loop_timer *timer, size_t at)
{
	timers->heap[at - 1] = timer;
	timer->at = at;
}

static void
sift_up(struct timers *timers, struct loop_timer *timer, size_t at)
{
	while (at > 1 && timer->due_us < timers->heap[at / 2 - 1]->due_us) {
		place(timers, timers->heap[at / 2 - 1], at);
		at /= 2;
	}
	place(timers, timer, at);
}

static void
sift_down(struct timers *timers, struct loop_timer *timer, size_t at)
{
	size_t child;

	while ((child = 2 * at) <= timers->n) {
		if (child < timers->n &&
		    timers->heap[child]->due_us <
			timers->heap[child - 1]->due_us)
			child++;
		if (timer->due_us <= timers->heap[child - 1]->due_us)
			break;
		place(timers, timers->heap[child - 1], at);
		at = child;
	}
	place(timers, timer, at);
}

static void
heap_remove(struct timers *timers, struct loop_timer *timer)
{
	struct loop_timer *last = timers->heap[--timers->n];
	size_t at = timer->at;

	timer->at = 0;
	if (last == timer)
		return;
	if (at > 1 && last->due_us < timers->heap[at / 2 - 1]->due_us)
		sift_up(timers, last, at);
	else
		sift_down(timers, last, at);
}

static void
heap_add(struct timers *timers, struct loop_timer *timer)
{
	if (timers->n == timers->cap) {
		timers->cap = timers->cap == 0 ? 16 : timers->cap * 2;
		timers->heap = loop_must(realloc(timers->heap,
		    timers->cap * sizeof(timers->heap[0])));
	}
	timers->n++;
	sift_up(timers, timer, timers->n);
}

/* See that the descriptor rings when the first timer is due.  It may ring
 * early, when that was stopped or moved: then nothing is due. */
static void
set_bell(struct timers *timers)
{
	struct itimerspec when = {0};
	uint64_t due_us;

	if (timers->n == 0)
		return;
	due_us = timers->heap[0]->due_us;
	if (timers->rings_us != 0 && timers->rings_us <= due_us)
		return;
	timers->rings_us = due_us;
	when.it_value.tv_sec = (time_t)(due_us / 1000000u);
	when.it_value.tv_nsec = (long)(due_us % 1000000u) * 1000 + 1;
	if (timerfd_settime(timers->fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		abort();
}

/* Those that are due now; one that is started meanwhile has its turn later. */
static void
on_ring(unsigned int ready, void *arg)
{
	struct timers *timers = arg;
	uint64_t now_us = clock_mono_us();
	uint64_t count;

	if (read(timers->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
	timers->rings_us = 0;
	while (timers->n > 0 && timers->heap[0]->due_us <= now_us) {
		struct loop_timer *timer = timers->heap[0];

		heap_remove(timers, timer);
		timer->on_time(timer->arg);
	}
	set_bell(timers);
}

struct loop_timer *
loop_timer_new(struct loop *loop, void (*on_time)(void *arg), void *arg)
{
	struct loop_timer *timer = loop_must(calloc(1, sizeof(*timer)));

	timer->timers = loop_timers(loop);
	timer->on_time = on_time;
	timer->arg = arg;
	return timer;
}

void
loop_timer_start(struct loop_timer *timer, uint64_t after_us)
{
	struct timers *timers = timer->timers;

	loop_timer_stop(timer);
	timer->due_us = clock_mono_us() + after_us + 1;
	heap_add(timers, timer);
	set_bell(timers);
}

void
loop_timer_stop(struct loop_timer *timer)
{
	if (timer->at != 0)
		heap_remove(timer->timers, timer);
}

void
loop_timer_free(struct loop_timer *timer)
{
	if (timer == NULL)
		return;
	loop_timer_stop(timer);
	free(timer);
}

struct timers *
timers_new(struct loop *loop, struct err *err)
{
	struct timers *timers = loop_must(calloc(1, sizeof(*timers)));

	timers->fd =
	    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (timers->fd < 0) {
		(void)err_sys(err, "timerfd");
		free(timers);
		return NULL;
	}
	timers->watch = loop_watch_new(loop, timers->fd, on_ring, timers);
	loop_watch_want(timers->watch, LOOP_READ);
	return timers;
}

void
timers_free(struct timers *timers)
{
	if (timers == NULL)
		return;
	loop_watch_free(timers->watch);
	(void)close(timers->fd);
	free(timers->heap);
	free(timers);
}
