/*
 * store.c - the queue before the store, its writer thread and its groups.
 *
 * Runs in: gateway
 *          (the loop's thread and the writer thread).
 * Owns:    jobs from submission until their completion.
 *
 * The writer thread takes all jobs that are there, runs them as one group,
 * commits, and hands them back; what arrives meanwhile is the next group, so
 * that a slow disk makes groups larger, not the queue longer.  When a group
 * fails (disk full), it was undone; its jobs are then tried one by one, so
 * that each gets its own answer and reads go on.  When the implementation says
 * that it can't go on (a failed fsync), every later job gets that error:
 *
 *	submitted -> in a group -> done -> completed
 *	                 |  group failed    ^
 *	                 +-> alone ---------+
 */
#include "runtime/store/store.h"

#include "runtime/loop/loop.h"
#include "runtime/store/store_job.h"
#include "runtime/store/store_priv.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GROUP_MAX 4096 /* jobs in one transaction */

struct job_list {
	struct store_job *first;
	struct store_job **last;
};

struct store {
	const struct store_ops *ops;
	void *self;
	struct loop *loop;
	struct loop_watch *watch;
	int bell; /* eventfd: something is in finished */
	pthread_t writer;
	pthread_mutex_t lock; /* of the next five */
	pthread_cond_t some;  /* something is in todo, or closing */
	pthread_cond_t ready; /* a job that is waited for */
	struct job_list todo;
	struct job_list finished;
	bool closing;
	bool closed;	  /* the writer is gone; the loop's thread only */
	bool dead;	  /* the writer's thread only */
	struct err death; /* why */
};

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

struct slice
store_text_copy(struct store_text **texts, struct slice s)
{
	struct store_text *text = must(malloc(sizeof(*text) + s.n + 1));

	if (s.n > 0)
		memcpy(text->bytes, s.p, s.n);
	text->bytes[s.n] = '\0';
	text->next = *texts;
	*texts = text;
	return slice_from(text->bytes, s.n);
}

void *
store_rows_add(struct store_rows *rows, size_t row_bytes)
{
	char *row = buf_room(&rows->rows, row_bytes);

	memset(row, 0, row_bytes);
	rows->rows.n += row_bytes;
	rows->n++;
	return row;
}

static void
texts_free(struct store_text **texts)
{
	while (*texts != NULL) {
		struct store_text *next = (*texts)->next;

		free(*texts);
		*texts = next;
	}
}

static void
rows_reset(struct store_rows *rows)
{
	buf_fini(&rows->rows);
	rows->n = 0;
	texts_free(&rows->texts);
}

static void
list_init(struct job_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void
list_push(struct job_list *list, struct store_job *job)
{
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
}

static struct store_job *
list_pop(struct job_list *list)
{
	struct store_job *job = list->first;

	if (job == NULL)
		return NULL;
	list->first = job->next;
	if (list->first == NULL)
		list->last = &list->first;
	return job;
}

struct store_job *
store_job_new(int (*run)(const struct store_ops *ops, void *self,
		  struct store_job *job, struct err *err),
    void (*finish)(struct store *store, struct store_job *job,
	const struct err *err),
    void *arg)
{
	struct store_job *job = must(calloc(1, sizeof(*job)));

	job->run = run;
	job->finish = finish;
	job->arg = arg;
	return job;
}

void
store_job_free(struct store_job *job)
{
	texts_free(&job->texts);
	rows_reset(&job->rows);
	free(job);
}

static void
ring(struct store *store)
{
	uint64_t one = 1;

	if (write(store->bell, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort();
}

void
store_submit(struct store *store, struct store_job *job)
{
	if (store->closed) { /* by a completion inside store_close */
		job->result =
		    err_set(&job->err, ERR_SYSTEM, "the store is closed");
		list_push(&store->finished, job);
		return;
	}
	(void)pthread_mutex_lock(&store->lock);
	list_push(&store->todo, job);
	(void)pthread_cond_signal(&store->some);
	(void)pthread_mutex_unlock(&store->lock);
}

void
store_submit_and_wait(struct store *store, struct store_job *job)
{
	assert(!store->closed);
	job->waited_for = true;
	store_submit(store, job);
	(void)pthread_mutex_lock(&store->lock);
	while (!job->ready)
		(void)pthread_cond_wait(&store->ready, &store->lock);
	(void)pthread_mutex_unlock(&store->lock);
}

/* --- the writer thread -------------------------------------------------- */

static bool
fails_group(const struct store_job *job)
{
	return job->result < 0 && job->err.code == ERR_SYSTEM;
}

static void
fail_all(struct store_job *jobs, const struct err *err)
{
	for (; jobs != NULL; jobs = jobs->next) {
		jobs->result = -1;
		jobs->err = *err;
	}
}

/* Run these as one group.  -1: it was undone. */
static int
run_group(struct store *store, struct store_job *jobs, struct err *err)
{
	if (store->ops->begin(store->self, err) < 0)
		return -1;
	for (struct store_job *job = jobs; job != NULL; job = job->next) {
		rows_reset(&job->rows);
		job->result = job->run(store->ops, store->self, job, &job->err);
		if (fails_group(job)) {
			*err = job->err;
			store->ops->rollback(store->self);
			return -1;
		}
	}
	if (store->ops->commit(store->self, err) == 0)
		return 0;
	store->ops->rollback(store->self);
	return -1;
}

/* Between groups: may we go on? */
static bool
alive(struct store *store)
{
	if (!store->dead && store->ops->tidy(store->self, &store->death) < 0)
		store->dead = true;
	return !store->dead;
}

static void
run_alone(struct store *store, struct store_job *job)
{
	struct store_job *next = job->next;
	struct err err;

	job->next = NULL;
	if (!alive(store))
		fail_all(job, &store->death);
	else if (run_group(store, job, &err) < 0)
		fail_all(job, &err);
	job->next = next;
}

static void
run_jobs(struct store *store, struct store_job *jobs)
{
	struct err err;

	if (store->dead) {
		fail_all(jobs, &store->death);
		return;
	}
	if (run_group(store, jobs, &err) == 0)
		return;
	if (jobs->next == NULL) {
		fail_all(jobs, &err);
		return;
	}
	for (struct store_job *job = jobs; job != NULL; job = job->next)
		run_alone(store, job);
}

/* The next group; waits for it.  NULL: closing, and nothing is left. */
static struct store_job *
next_group(struct store *store)
{
	struct job_list group;

	(void)pthread_mutex_lock(&store->lock);
	while (store->todo.first == NULL && !store->closing)
		(void)pthread_cond_wait(&store->some, &store->lock);
	list_init(&group);
	for (int n = 0; n < GROUP_MAX && store->todo.first != NULL; n++)
		list_push(&group, list_pop(&store->todo));
	(void)pthread_mutex_unlock(&store->lock);
	return group.first;
}

static void
hand_back(struct store *store, struct store_job *group)
{
	(void)pthread_mutex_lock(&store->lock);
	while (group != NULL) {
		struct store_job *next = group->next;

		if (group->waited_for)
			group->ready = true;
		else
			list_push(&store->finished, group);
		group = next;
	}
	(void)pthread_cond_broadcast(&store->ready);
	(void)pthread_mutex_unlock(&store->lock);
	ring(store);
}

static void *
write_groups(void *arg)
{
	struct store *store = arg;
	struct store_job *group;

	while ((group = next_group(store)) != NULL) {
		run_jobs(store, group);
		hand_back(store, group);
		(void)alive(store);
	}
	return NULL;
}

/* --- completions -------------------------------------------------------- */

static void
finish_jobs(struct store *store)
{
	for (;;) {
		struct store_job *job;

		(void)pthread_mutex_lock(&store->lock);
		job = list_pop(&store->finished);
		(void)pthread_mutex_unlock(&store->lock);
		if (job == NULL)
			return;
		job->finish(store, job, job->result < 0 ? &job->err : NULL);
		store_job_free(job);
	}
}

static void
on_bell(unsigned int ready, void *arg)
{
	struct store *store = arg;
	uint64_t count;

	if (read(store->bell, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
	finish_jobs(store);
}

/* --- life --------------------------------------------------------------- */

static const struct store_ops *
ops_of(const char *kind, struct err *err)
{
	if (strcmp(kind, store_sqlite.kind) == 0)
		return &store_sqlite;
	if (strcmp(kind, store_memory.kind) == 0)
		return &store_memory;
	(void)err_set(err, ERR_BAD_INPUT,
	    "no store of kind \"%s\": use sqlite or memory", kind);
	return NULL;
}

/* The writer blocks every signal: those belong to the loop's thread. */
static int
start_writer(struct store *store, struct err *err)
{
	sigset_t all;
	sigset_t before;
	int failed;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&store->writer, NULL, write_groups, store);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed != 0) {
		errno = failed;
		return err_sys(err, "store: cannot start its thread");
	}
	return 0;
}

static void
store_free(struct store *store)
{
	loop_watch_free(store->watch);
	if (store->self != NULL)
		store->ops->close(store->self);
	if (store->bell >= 0)
		(void)close(store->bell);
	(void)pthread_cond_destroy(&store->ready);
	(void)pthread_cond_destroy(&store->some);
	(void)pthread_mutex_destroy(&store->lock);
	free(store);
}

struct store *
store_open(const char *kind, struct loop *loop, int dirfd, struct err *err)
{
	const struct store_ops *ops = ops_of(kind, err);
	struct store *store;

	if (ops == NULL)
		return NULL;
	store = must(calloc(1, sizeof(*store)));
	store->ops = ops;
	store->loop = loop;
	list_init(&store->todo);
	list_init(&store->finished);
	(void)pthread_mutex_init(&store->lock, NULL);
	(void)pthread_cond_init(&store->some, NULL);
	(void)pthread_cond_init(&store->ready, NULL);
	store->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (store->bell < 0)
		(void)err_sys(err, "store: eventfd");
	else
		store->self = ops->open(dirfd, err);
	if (store->self == NULL || start_writer(store, err) < 0) {
		store_free(store);
		return NULL;
	}
	store->watch = loop_watch_new(loop, store->bell, on_bell, store);
	loop_watch_want(store->watch, LOOP_READ);
	return store;
}

void
store_close(struct store *store)
{
	if (store == NULL)
		return;
	(void)pthread_mutex_lock(&store->lock);
	store->closing = true;
	(void)pthread_cond_signal(&store->some);
	(void)pthread_mutex_unlock(&store->lock);
	(void)pthread_join(store->writer, NULL);
	store->closed = true;
	finish_jobs(store);
	store_free(store);
}
