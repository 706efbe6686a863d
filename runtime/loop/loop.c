/*
 * loop.c - see loop.h.
 *
 * Runs in: supervisor, gateway, cli.
 * Owns:    the libevent base, two helper threads (started with the first
 *          job), the queue of jobs.
 *
 * Helper threads hand finished jobs back through a list and an eventfd, so
 * that the loop's thread takes many of them per wake-up.
 */
#include "runtime/loop/loop_priv.h"

#include "sandbox/base/err.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WORKERS	    2 /* helper threads */
#define SIGNALS_MAX 8

struct job {
	struct job *next;
	void (*run)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

struct job_list {
	struct job *first;
	struct job **last;
};

struct work {
	pthread_t threads[WORKERS];
	int started; /* threads running */
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct job_list todo;
	struct job_list finished;
	bool closing;
	int bell; /* eventfd: something is in finished */
	struct event *on_bell;
};

struct loop_signal_watch {
	struct event *event;
	void (*on_signal)(int signal, void *arg);
	void *arg;
};

struct deferred {
	struct deferred *next;
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	struct event_base *base;
	struct timers *timers;
	struct work work;
	struct loop_signal_watch signals[SIGNALS_MAX];
	int nsignals;
	struct event *defer;
	struct deferred *firing; /* being called in this turn */
	struct deferred *deferred;
	struct deferred **deferred_last;
};

struct loop_watch {
	struct loop *loop;
	struct event *read;
	struct event *write;
	unsigned int want;
	void (*on_ready)(unsigned int ready, void *arg);
	void *arg;
};

void *
loop_must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static void
list_init(struct job_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void
list_push(struct job_list *list, struct job *job)
{
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
}

static struct job *
list_pop(struct job_list *list)
{
	struct job *job = list->first;

	if (job == NULL)
		return NULL;
	list->first = job->next;
	if (list->first == NULL)
		list->last = &list->first;
	return job;
}

static void
on_defer(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;

	loop->firing = loop->deferred;
	loop->deferred = NULL;
	loop->deferred_last = &loop->deferred;
	while (loop->firing != NULL) {
		struct deferred *one = loop->firing;

		loop->firing = one->next;
		one->fn(one->arg);
		free(one);
	}
}

struct timers *
loop_timers(struct loop *loop)
{
	return loop->timers;
}

struct loop *
loop_new(struct err *err)
{
	struct loop *loop = loop_must(calloc(1, sizeof(*loop)));
	struct event_config *config = loop_must(event_config_new());

	(void)event_config_set_flag(config,
	    EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	if (loop->base == NULL) {
		free(loop);
		(void)err_set(err, ERR_SYSTEM, "no event loop (epoll)");
		return NULL;
	}
	loop->work.bell = -1;
	loop->deferred_last = &loop->deferred;
	loop->defer = loop_must(event_new(loop->base, -1, 0, on_defer, loop));
	loop->timers = timers_new(loop, err);
	if (loop->timers == NULL) {
		loop_free(loop);
		return NULL;
	}
	return loop;
}

int
loop_run(struct loop *loop, struct err *err)
{
	if (event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0)
		return err_set(err, ERR_SYSTEM, "the event loop failed");
	return 0;
}

void
loop_stop(struct loop *loop)
{
	(void)event_base_loopbreak(loop->base);
}

void
loop_defer(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct deferred *one = loop_must(malloc(sizeof(*one)));

	*one = (struct deferred){.fn = fn, .arg = arg};
	if (loop->deferred == NULL)
		event_active(loop->defer, EV_TIMEOUT, 0);
	*loop->deferred_last = one;
	loop->deferred_last = &one->next;
}

static void
drop_for(struct deferred **at, const void *arg)
{
	while (*at != NULL) {
		struct deferred *one = *at;

		if (one->arg != arg) {
			at = &one->next;
			continue;
		}
		*at = one->next;
		free(one);
	}
}

void
loop_undefer(struct loop *loop, const void *arg)
{
	drop_for(&loop->firing, arg);
	drop_for(&loop->deferred, arg);
	loop->deferred_last = &loop->deferred;
	while (*loop->deferred_last != NULL)
		loop->deferred_last = &(*loop->deferred_last)->next;
}

static void
on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *watch = arg;
	unsigned int ready = 0;

	if ((what & EV_READ) != 0)
		ready |= LOOP_READ;
	if ((what & EV_WRITE) != 0)
		ready |= LOOP_WRITE;
	watch->on_ready(ready, watch->arg);
}

struct loop_watch *
loop_watch_new(struct loop *loop, int fd,
    void (*on_ready)(unsigned int ready, void *arg), void *arg)
{
	struct loop_watch *watch = loop_must(calloc(1, sizeof(*watch)));

	watch->loop = loop;
	watch->on_ready = on_ready;
	watch->arg = arg;
	watch->read = loop_must(
	    event_new(loop->base, fd, EV_READ | EV_PERSIST, on_fd, watch));
	watch->write = loop_must(
	    event_new(loop->base, fd, EV_WRITE | EV_PERSIST, on_fd, watch));
	return watch;
}

static void
toggle(struct event *event, bool on)
{
	if (on)
		(void)event_add(event, NULL);
	else
		(void)event_del(event);
}

void
loop_watch_want(struct loop_watch *watch, unsigned int want)
{
	unsigned int changed = watch->want ^ want;

	watch->want = want;
	if ((changed & LOOP_READ) != 0)
		toggle(watch->read, (want & LOOP_READ) != 0);
	if ((changed & LOOP_WRITE) != 0)
		toggle(watch->write, (want & LOOP_WRITE) != 0);
}

void
loop_watch_free(struct loop_watch *watch)
{
	if (watch == NULL)
		return;
	event_free(watch->read);
	event_free(watch->write);
	free(watch);
}

static void
on_signal_event(evutil_socket_t signal, short what, void *arg)
{
	struct loop_signal_watch *watch = arg;

	watch->on_signal((int)signal, watch->arg);
}

int
loop_signal(struct loop *loop, int signal,
    void (*on_signal)(int signal, void *arg), void *arg, struct err *err)
{
	struct loop_signal_watch *watch = &loop->signals[loop->nsignals];

	assert(loop->nsignals < SIGNALS_MAX);
	watch->on_signal = on_signal;
	watch->arg = arg;
	watch->event = evsignal_new(loop->base, signal, on_signal_event, watch);
	if (watch->event == NULL || event_add(watch->event, NULL) < 0)
		return err_set(err, ERR_SYSTEM, "cannot watch signal %d",
		    signal);
	loop->nsignals++;
	return 0;
}

static void *
helper(void *arg)
{
	struct work *work = arg;

	(void)pthread_mutex_lock(&work->lock);
	for (;;) {
		struct job *job;
		uint64_t one = 1;

		while (work->todo.first == NULL && !work->closing)
			(void)pthread_cond_wait(&work->some, &work->lock);
		job = list_pop(&work->todo);
		if (job == NULL)
			break;
		(void)pthread_mutex_unlock(&work->lock);
		job->run(job->arg);
		(void)pthread_mutex_lock(&work->lock);
		list_push(&work->finished, job);
		if (write(work->bell, &one, sizeof(one)) < 0 && errno != EAGAIN)
			abort();
	}
	(void)pthread_mutex_unlock(&work->lock);
	return NULL;
}

static void
finish_jobs(struct work *work)
{
	for (;;) {
		struct job *job;

		(void)pthread_mutex_lock(&work->lock);
		job = list_pop(&work->finished);
		(void)pthread_mutex_unlock(&work->lock);
		if (job == NULL)
			return;
		job->done(job->arg);
		free(job);
	}
}

static void
on_bell(evutil_socket_t fd, short what, void *arg)
{
	struct work *work = arg;
	uint64_t count;

	if (read(work->bell, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
	finish_jobs(work);
}

/* Helpers block every signal: those belong to the loop's thread. */
static void
work_start(struct loop *loop)
{
	struct work *work = &loop->work;
	sigset_t all;
	sigset_t before;

	(void)pthread_mutex_init(&work->lock, NULL);
	(void)pthread_cond_init(&work->some, NULL);
	list_init(&work->todo);
	list_init(&work->finished);
	work->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (work->bell < 0)
		abort();
	work->on_bell = loop_must(event_new(loop->base, work->bell,
	    EV_READ | EV_PERSIST, on_bell, work));
	(void)event_add(work->on_bell, NULL);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (int i = 0; i < WORKERS; i++)
		if (pthread_create(&work->threads[i], NULL, helper, work) == 0)
			work->started++;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (work->started == 0)
		abort();
}

void
loop_work(struct loop *loop, void (*run)(void *arg), void (*done)(void *arg),
    void *arg)
{
	struct job *job = loop_must(malloc(sizeof(*job)));

	if (loop->work.bell < 0)
		work_start(loop);
	*job = (struct job){.run = run, .done = done, .arg = arg};
	(void)pthread_mutex_lock(&loop->work.lock);
	list_push(&loop->work.todo, job);
	(void)pthread_cond_signal(&loop->work.some);
	(void)pthread_mutex_unlock(&loop->work.lock);
}

static void
work_stop(struct work *work)
{
	if (work->bell < 0)
		return;
	(void)pthread_mutex_lock(&work->lock);
	work->closing = true;
	(void)pthread_cond_broadcast(&work->some);
	(void)pthread_mutex_unlock(&work->lock);
	for (int i = 0; i < work->started; i++)
		(void)pthread_join(work->threads[i], NULL);
	finish_jobs(work);
	event_free(work->on_bell);
	(void)close(work->bell);
	(void)pthread_cond_destroy(&work->some);
	(void)pthread_mutex_destroy(&work->lock);
	work->bell = -1;
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	work_stop(&loop->work);
	on_defer(-1, 0, loop);
	for (int i = 0; i < loop->nsignals; i++)
		event_free(loop->signals[i].event);
	event_free(loop->defer);
	timers_free(loop->timers);
	event_base_free(loop->base);
	free(loop);
}
