/*
 * calls.c - the calls of store.h as jobs: copy what came in, tell what came
 * out.
 *
 * Runs in: gateway
 *          (run_*: the writer thread; the rest: the loop's).
 */
#include "runtime/store/store.h"

#include "runtime/store/store_job.h"
#include "runtime/store/store_priv.h"

#define KEY_MAX	  8192	  /* bytes of an event's key and its other names */
#define EVENT_MAX 1048576 /* bytes of an event's JSON */
#define ERROR_MAX 4096	  /* bytes of an event's error text that are kept */

#define X(name, text) text,
static const char *const event_states[] = {STORE_EVENT_STATES(X)};
#undef X

const char *
store_event_state_name(unsigned int state)
{
	return state < sizeof(event_states) / sizeof(event_states[0])
	    ? event_states[state]
	    : "?";
}

static const char *
copy_string(struct store_job *job, const char *s)
{
	return s == NULL ? NULL : store_text_copy(&job->texts, slice_of(s)).p;
}

/* Bad input is known before anything is queued, but told in its turn. */
static int
run_refused(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	*err = job->err;
	return -1;
}

static void
finish_plain(struct store *store, struct store_job *job, const struct err *err)
{
	if (job->done.plain != NULL)
		job->done.plain(err, job->arg);
}

/* --- the ledger --------------------------------------------------------- */

static int
run_add_records(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	return ops->add_records(self, job->u.add.records, job->u.add.n, err);
}

void
store_add_records(struct store *store, const struct record *records, size_t n,
    store_done_fn done, void *arg)
{
	struct store_job *job =
	    store_job_new(run_add_records, finish_plain, arg);
	struct slice copy = store_text_copy(&job->texts,
	    slice_from(records, n * sizeof(*records)));

	job->done.plain = done;
	job->u.add.records = (const struct record *)(const void *)copy.p;
	job->u.add.n = n;
	store_submit(store, job);
}

static int
run_last_seq(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	return ops->last_seq(self, &job->u.last_seq, err);
}

int
store_last_seq(struct store *store, uint64_t *seq_out, struct err *err)
{
	struct store_job *job = store_job_new(run_last_seq, NULL, NULL);
	int result;

	store_submit_and_wait(store, job);
	result = job->result;
	if (result < 0)
		*err = job->err;
	else
		*seq_out = job->u.last_seq;
	store_job_free(job);
	return result;
}

static int
run_usage(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	return ops->usage(self, &job->u.usage, &job->rows, err);
}

static void
finish_usage(struct store *store, struct store_job *job, const struct err *err)
{
	const void *rows = job->rows.rows.p;

	job->done.usage(err == NULL ? rows : NULL,
	    err == NULL ? job->rows.n : 0, err, job->arg);
}

void
store_usage(struct store *store, const struct store_usage_query *query,
    void (*done)(const struct store_usage_row *rows, size_t n,
	const struct err *err, void *arg),
    void *arg)
{
	struct store_job *job = store_job_new(run_usage, finish_usage, arg);

	job->u.usage = *query;
	job->u.usage.function = copy_string(job, query->function);
	if (query->until_ms == 0)
		job->u.usage.until_ms = INT64_MAX;
	job->done.usage = done;
	store_submit(store, job);
}

static int
run_compact(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	return ops->compact(self, job->u.compact.before_ms,
	    &job->u.compact.more, err);
}

/* A part is done: the rest queues up again, behind what came meanwhile. */
static void
finish_compact(struct store *store, struct store_job *job,
    const struct err *err)
{
	if (err == NULL && job->u.compact.more)
		store_compact(store, job->u.compact.before_ms, job->done.plain,
		    job->arg);
	else
		finish_plain(store, job, err);
}

void
store_compact(struct store *store, int64_t before_ms, store_done_fn done,
    void *arg)
{
	struct store_job *job = store_job_new(run_compact, finish_compact, arg);

	job->u.compact.before_ms = store_day_start(before_ms);
	job->done.plain = done;
	store_submit(store, job);
}

/* --- versions ----------------------------------------------------------- */

static int
run_versions(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	return ops->versions(self, &job->rows, err);
}

static void
finish_versions(struct store *store, struct store_job *job,
    const struct err *err)
{
	const void *rows = job->rows.rows.p;

	job->done.versions(err == NULL ? rows : NULL,
	    err == NULL ? job->rows.n : 0, err, job->arg);
}

void
store_versions(struct store *store,
    void (*done)(const struct store_version *versions, size_t n,
	const struct err *err, void *arg),
    void *arg)
{
	struct store_job *job =
	    store_job_new(run_versions, finish_versions, arg);

	job->done.versions = done;
	store_submit(store, job);
}

static int
run_add_version(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	return ops->add_version(self, &job->u.version, err);
}

void
store_add_version(struct store *store, const struct store_version *version,
    store_done_fn done, void *arg)
{
	struct store_job *job =
	    store_job_new(run_add_version, finish_plain, arg);

	job->u.version = *version;
	job->done.plain = done;
	store_submit(store, job);
}

/* --- events ------------------------------------------------------------- */

static void
copy_event(struct store_job *job, const struct store_event *event)
{
	struct store_event *copy = &job->u.event.event;
	struct slice error = event->error;

	if (error.n > ERROR_MAX)
		error.n = ERROR_MAX;
	*copy = *event;
	copy->key = store_text_copy(&job->texts, event->key);
	copy->function = store_text_copy(&job->texts, event->function);
	copy->source = store_text_copy(&job->texts, event->source);
	copy->event = store_text_copy(&job->texts, event->event);
	copy->note = store_text_copy(&job->texts, event->note);
	copy->error = store_text_copy(&job->texts, error);
	copy->blob = store_text_copy(&job->texts, event->blob);
}

static int
check_event(const struct store_event *event, struct err *err)
{
	if (event->key.n == 0)
		return err_set(err, ERR_BAD_INPUT, "an event needs a key");
	if (event->key.n > KEY_MAX || event->function.n > KEY_MAX ||
	    event->source.n > KEY_MAX || event->note.n > KEY_MAX ||
	    event->blob.n > KEY_MAX)
		return err_set(err, ERR_LIMIT,
		    "a name in an event is longer than %d bytes", KEY_MAX);
	if (event->event.n > EVENT_MAX)
		return err_set(err, ERR_LIMIT,
		    "an event is larger than %d bytes", EVENT_MAX);
	return 0;
}

static int
run_accept_event(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	return ops->accept_event(self, &job->u.event.event, &job->u.event.id,
	    err);
}

static void
finish_accept_event(struct store *store, struct store_job *job,
    const struct err *err)
{
	job->done.accepted(err == NULL ? job->u.event.id : 0, err, job->arg);
}

void
store_accept_event(struct store *store, const struct store_event *event,
    void (*done)(uint64_t id, const struct err *err, void *arg), void *arg)
{
	struct store_job *job =
	    store_job_new(run_accept_event, finish_accept_event, arg);

	job->done.accepted = done;
	if (check_event(event, &job->err) < 0)
		job->run = run_refused;
	else
		copy_event(job, event);
	store_submit(store, job);
}

static int
run_update_event(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	return ops->update_event(self, &job->u.event.event, err);
}

void
store_update_event(struct store *store, const struct store_event *event,
    store_done_fn done, void *arg)
{
	struct store_job *job =
	    store_job_new(run_update_event, finish_plain, arg);

	job->done.plain = done;
	copy_event(job, event);
	store_submit(store, job);
}

static int
run_find_event(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	return ops->find_event(self, job->u.key, &job->rows, err);
}

static void
finish_find_event(struct store *store, struct store_job *job,
    const struct err *err)
{
	const void *rows = job->rows.rows.p;

	job->done.found(err == NULL && job->rows.n > 0 ? rows : NULL, err,
	    job->arg);
}

void
store_find_event(struct store *store, struct slice key,
    void (*done)(const struct store_event *found, const struct err *err,
	void *arg),
    void *arg)
{
	struct store_job *job =
	    store_job_new(run_find_event, finish_find_event, arg);

	job->done.found = done;
	job->u.key = store_text_copy(&job->texts, key);
	store_submit(store, job);
}

static int
run_events(const struct store_ops *ops, void *self, struct store_job *job,
    struct err *err)
{
	return ops->events(self, &job->u.events, &job->rows, err);
}

static void
finish_events(struct store *store, struct store_job *job, const struct err *err)
{
	const void *rows = job->rows.rows.p;

	job->done.events(err == NULL ? rows : NULL,
	    err == NULL ? job->rows.n : 0, err, job->arg);
}

void
store_events(struct store *store, const struct store_event_query *query,
    void (*done)(const struct store_event *events, size_t n,
	const struct err *err, void *arg),
    void *arg)
{
	struct store_job *job = store_job_new(run_events, finish_events, arg);

	job->u.events = *query;
	job->u.events.source = copy_string(job, query->source);
	job->u.events.function = copy_string(job, query->function);
	job->done.events = done;
	store_submit(store, job);
}
