/*
 * store_double.h - a store of events in memory that outlives the uploads.
 *
 * Runs in: tests.
 *
 * Answers come later and in order, as the real ones do.
 */
#pragma once

#include "runtime/loop/loop.h"
#include "runtime/store/store.h"
#include "sandbox/base/err.h"

#include <stdlib.h>

struct row {
	char *key, *function, *event, *note, *error, *blob;
	struct store_event e; /* state, numbers */
};

struct store {
	struct loop *loop;
	struct row *rows; /* row i has id i + 1 */
	size_t n;
	bool broken;
	size_t finds;
	bool hold_accepts;
	struct reply *held; /* the last of them */
};

enum question { Q_DONE, Q_ACCEPT, Q_FIND, Q_EVENTS };

struct reply {
	struct store *store;
	enum question question;
	uint64_t id;
	size_t limit;
	char function[RECORD_NAME_MAX];
	store_done_fn done;
	void (*accepted)(uint64_t id, const struct err *err, void *arg);
	void (*found)(const struct store_event *found, const struct err *err,
	    void *arg);
	void (*events)(const struct store_event *events, size_t n,
	    const struct err *err, void *arg);
	void *arg;
	bool failed;
};

static inline const struct store_event *
row_view(struct row *row)
{
	row->e.key = slice_of(row->key);
	row->e.function = slice_of(row->function);
	row->e.source = SLICE("upload");
	row->e.event = slice_of(row->event);
	row->e.note = slice_of(row->note);
	row->e.error = slice_of(row->error);
	row->e.blob = slice_of(row->blob);
	return &row->e;
}

static inline void
answer_events(struct reply *reply, const struct err *err)
{
	struct store *store = reply->store;
	struct store_event *list = calloc(reply->limit + 1, sizeof(*list));
	size_t n = 0;

	for (size_t i = (size_t)reply->id; i < store->n && n < reply->limit;
	     i++)
		if (strcmp(store->rows[i].function, reply->function) == 0 &&
		    (store->rows[i].e.state == STORE_EVENT_ACCEPTED ||
			store->rows[i].e.state == STORE_EVENT_RUNNING))
			list[n++] = *row_view(&store->rows[i]);
	reply->events(list, n, err, reply->arg);
	free(list);
}

static inline void
on_reply(void *arg)
{
	struct reply *reply = arg;
	struct store *store = reply->store;
	struct err failure;
	const struct err *err = NULL;

	if (reply->failed) {
		(void)err_set(&failure, ERR_SYSTEM, "the disk is on fire");
		failure.sys = 5;
		err = &failure;
	}
	if (reply->question == Q_DONE)
		reply->done(err, reply->arg);
	else if (reply->question == Q_ACCEPT)
		reply->accepted(reply->id, err, reply->arg);
	else if (reply->question == Q_FIND)
		reply->found(reply->id == 0
			? NULL
			: row_view(&store->rows[reply->id - 1]),
		    err, reply->arg);
	else
		answer_events(reply, err);
	free(reply);
}

static inline void
reply_later(struct store *store, const struct reply *what)
{
	struct reply *reply = malloc(sizeof(*reply));

	*reply = *what;
	reply->store = store;
	reply->failed = store->broken;
	if (store->hold_accepts && what->question == Q_ACCEPT)
		store->held = reply;
	else
		loop_defer(store->loop, on_reply, reply);
}

static inline uint64_t
find_key(const struct store *store, struct slice key)
{
	for (size_t i = 0; i < store->n; i++)
		if (slice_is(key, store->rows[i].key))
			return i + 1;
	return 0;
}

void
store_find_event(struct store *store, struct slice key,
    void (*done)(const struct store_event *found, const struct err *err,
	void *arg),
    void *arg)
{
	store->finds++;
	reply_later(store,
	    &(struct reply){.question = Q_FIND,
		.id = store->broken ? 0 : find_key(store, key),
		.found = done,
		.arg = arg});
}

void
store_accept_event(struct store *store, const struct store_event *event,
    void (*done)(uint64_t id, const struct err *err, void *arg), void *arg)
{
	struct row *row;
	uint64_t id = 0;

	if (!store->broken && find_key(store, event->key) == 0) {
		store->rows =
		    realloc(store->rows, (store->n + 1) * sizeof(*store->rows));
		row = &store->rows[store->n++];
		row->e = *event;
		row->e.id = id = store->n;
		row->key = slice_dup(event->key);
		row->function = slice_dup(event->function);
		row->event = slice_dup(event->event);
		row->note = slice_dup(event->note);
		row->error = slice_dup(event->error);
		row->blob = slice_dup(event->blob);
	}
	reply_later(store,
	    &(struct reply){.question = Q_ACCEPT,
		.id = id,
		.accepted = done,
		.arg = arg});
}

void
store_update_event(struct store *store, const struct store_event *event,
    store_done_fn done, void *arg)
{
	struct row *row = &store->rows[event->id - 1];

	if (!store->broken) {
		row->e.state = event->state;
		row->e.attempts = event->attempts;
		row->e.run_at_ms = event->run_at_ms;
		row->e.finished_ms = event->finished_ms;
		free(row->error);
		row->error = slice_dup(event->error);
	}
	reply_later(store,
	    &(struct reply){.question = Q_DONE, .done = done, .arg = arg});
}

void
store_events(struct store *store, const struct store_event_query *query,
    void (*done)(const struct store_event *events, size_t n,
	const struct err *err, void *arg),
    void *arg)
{
	struct reply reply = {.question = Q_EVENTS,
	    .id = query->after_id,
	    .limit = query->limit,
	    .events = done,
	    .arg = arg};

	(void)slice_copy(reply.function, sizeof(reply.function),
	    slice_of(query->function));
	reply_later(store, &reply);
}

static inline void
store_forget(struct store *store)
{
	for (size_t i = 0; i < store->n; i++) {
		free(store->rows[i].key);
		free(store->rows[i].function);
		free(store->rows[i].event);
		free(store->rows[i].note);
		free(store->rows[i].error);
		free(store->rows[i].blob);
	}
	free(store->rows);
	*store = (struct store){.loop = store->loop};
}
