/*
 * ledger.c - what the store and the logbook answer: usage, uploads, logs.
 *
 * Runs in: gateway.
 * Owns:    a struct pending for each request until its answer came.
 */
#include "runtime/admin/admin_priv.h"
#include "runtime/loop/loop.h"
#include "sandbox/base/err.h"

#include <stdio.h>
#include <stdlib.h>

#define UPLOADS_DEFAULT	  100
#define UPLOADS_MAX	  10000
#define LOG_LINES_DEFAULT 100
#define LOG_LINES_MAX	  100000
#define FOLLOW_WAITING	  (4u << 20) /* bytes a slow follower may owe */

static struct pending *
pending_new(struct admin *admin, struct http_exchange *x)
{
	struct pending *pending = calloc(1, sizeof(*pending));

	if (pending == NULL)
		abort();
	pending->admin = admin;
	pending->x = x;
	http_set_context(x, pending);
	return pending;
}

/*
 * The answer is here.  NULL: the client has left (or the admin is gone, which
 * looks the same).  The pending is freed.
 */
static struct http_exchange *
pending_end(struct pending *pending, struct admin **admin_out)
{
	struct http_exchange *x = pending->x;

	*admin_out = pending->admin;
	free(pending);
	if (x != NULL)
		http_set_context(x, NULL);
	return x;
}

static void
reply_store_error(struct http_exchange *x, const struct err *err)
{
	http_reply_problem(x,
	    &(struct http_problem){.status = 503,
		.failed_by = "gateway",
		.reason = "store",
		.detail = err->msg});
}

/* --- usage ------------------------------------------------------------------------ */

/* GB-seconds with six digits, exact: MB-ms / 1024 / 1000. */
static void
put_gb_s(struct buf *out, uint64_t mb_ms)
{
	uint64_t micro = mb_ms * 1000 / 1024; /* 10^-6 GB-s */

	buf_addf(out, "\"gb_s\":\"%llu.%06llu\"",
	    (unsigned long long)(micro / 1000000),
	    (unsigned long long)(micro % 1000000));
}

static void
put_usage(struct buf *out, const struct store_usage_row *row)
{
	buf_putc(out, '{');
	admin_put_string(out, "key", row->key);
	buf_addf(out,
	    ",\"invocations\":%llu,\"errors\":%llu,\"cold\":%llu,"
	    "\"billed_ms\":%llu,",
	    (unsigned long long)row->invocations,
	    (unsigned long long)row->errors, (unsigned long long)row->cold,
	    (unsigned long long)row->billed_ms);
	put_gb_s(out, row->mb_ms);
	buf_addf(out,
	    ",\"cpu_ms\":%llu,\"bytes_in\":%llu,\"bytes_out\":%llu,"
	    "\"cost\":\"",
	    (unsigned long long)(row->cpu_us / 1000),
	    (unsigned long long)row->bytes_in,
	    (unsigned long long)row->bytes_out);
	meter_money(out, row->cost_pico);
	buf_puts(out, "\"}");
}

static void
add_row(struct store_usage_row *total, const struct store_usage_row *row)
{
	total->invocations += row->invocations;
	total->errors += row->errors;
	total->cold += row->cold;
	total->billed_ms += row->billed_ms;
	total->mb_ms += row->mb_ms;
	total->cpu_us += row->cpu_us;
	total->bytes_in += row->bytes_in;
	total->bytes_out += row->bytes_out;
	total->cost_pico += row->cost_pico;
}

static void
on_usage(const struct store_usage_row *rows, size_t n, const struct err *err,
    void *arg)
{
	struct admin *admin;
	struct http_exchange *x = pending_end(arg, &admin);
	const struct meter *meter;
	struct store_usage_row total = {.key = "total"};
	struct buf out = {0};

	if (x == NULL)
		return;
	if (err != NULL) {
		reply_store_error(x, err);
		return;
	}
	meter = admin->world.meter;
	buf_putc(&out, '{');
	admin_put_string(&out, "card", meter_card_name(meter));
	buf_putc(&out, ',');
	admin_put_string(&out, "currency", meter_card_currency(meter));
	buf_puts(&out, ",\"rows\":[");
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_putc(&out, ',');
		put_usage(&out, &rows[i]);
		add_row(&total, &rows[i]);
	}
	buf_puts(&out, "],\"total\":");
	put_usage(&out, &total);
	buf_putc(&out, '}');
	admin_reply_json(x, &out);
}

struct usage_request {
	struct pending *pending;
	struct store_usage_query query; /* its function: NULL, or the next */
	char function[RECORD_NAME_MAX];
};

/* What is in the journal is in the ledger now. */
static void
on_usage_flushed(void *arg)
{
	struct usage_request *request = arg;

	if (request->pending->x == NULL) {
		free(request->pending);
		free(request);
		return;
	}
	store_usage(request->pending->admin->world.store, &request->query,
	    on_usage, request->pending);
	free(request);
}

static int
read_usage_query(struct http_exchange *x, struct usage_request *request)
{
	/* as enum store_usage_by counts them */
	static const char *const words[] = {"function", "day", "hour", NULL};
	int named = admin_param(x, "function", request->function,
	    sizeof(request->function));
	uint64_t since_ms = 0;
	uint64_t until_ms = 0;
	size_t by = STORE_BY_FUNCTION;

	if (named < 0 || admin_param_word(x, "by", words, &by) < 0 ||
	    admin_param_u64(x, "since", INT64_MAX, &since_ms) < 0 ||
	    admin_param_u64(x, "until", INT64_MAX, &until_ms) < 0)
		return -1;
	request->query =
	    (struct store_usage_query){.by = (enum store_usage_by)by,
		.function = named > 0 ? request->function : NULL,
		.since_ms = (int64_t)since_ms,
		.until_ms = (int64_t)until_ms};
	return 0;
}

void
admin_usage(struct admin *admin, struct http_exchange *x, struct slice rest)
{
	struct usage_request *request = calloc(1, sizeof(*request));

	if (request == NULL)
		abort();
	if (read_usage_query(x, request) < 0) {
		free(request);
		return;
	}
	request->pending = pending_new(admin, x);
	meter_flush(admin->world.meter, on_usage_flushed, request);
}

/* --- uploads ------------------------------------------------------------------------- */

static void
put_event(struct buf *out, const struct store_event *event)
{
	buf_addf(out,
	    "{\"id\":%llu,\"function\":", (unsigned long long)event->id);
	buf_json_string(out, event->function);
	buf_puts(out, ",\"file\":");
	buf_json_string(out, event->note);
	buf_addf(out, ",\"bytes\":%llu,\"state\":\"%s\",\"attempts\":%u,",
	    (unsigned long long)event->bytes,
	    store_event_state_name(event->state), event->attempts);
	buf_puts(out, "\"error\":");
	if (event->error.n == 0)
		buf_puts(out, "null");
	else
		buf_json_string(out, event->error);
	buf_addf(out,
	    ",\"accepted_ms\":%lld,\"run_at_ms\":%lld,\"finished_ms\":%lld}",
	    (long long)event->accepted_ms, (long long)event->run_at_ms,
	    (long long)event->finished_ms);
}

static void
each_refused(const char *file, const char *why, int64_t wall_ms, void *arg)
{
	struct buf *out = arg;

	if (out->p[out->n - 1] != '[')
		buf_putc(out, ',');
	buf_putc(out, '{');
	admin_put_string(out, "file", file);
	buf_putc(out, ',');
	admin_put_string(out, "why", why);
	buf_addf(out, ",\"time_ms\":%lld}", (long long)wall_ms);
}

struct uploads_request {
	struct pending *pending;
	bool all; /* whatever their state */
	enum store_event_state state;
	uint64_t limit;
};

static void
on_events(const struct store_event *events, size_t n, const struct err *err,
    void *arg)
{
	struct uploads_request *request = arg;
	struct admin *admin;
	struct http_exchange *x = pending_end(request->pending, &admin);
	struct buf out = {0};
	uint64_t shown = 0;

	if (x != NULL && err != NULL)
		reply_store_error(x, err);
	if (x == NULL || err != NULL) {
		free(request);
		return;
	}
	buf_puts(&out, "{\"events\":[");
	for (size_t i = 0; i < n && shown < request->limit; i++) {
		if (!request->all && request->state != events[i].state)
			continue;
		if (shown++ > 0)
			buf_putc(&out, ',');
		put_event(&out, &events[i]);
	}
	buf_puts(&out, "],\"refused\":[");
	uploads_refused_each(admin->world.uploads, each_refused, &out);
	buf_puts(&out, "]}");
	admin_reply_json(x, &out);
	free(request);
}

static int
read_uploads_query(struct http_exchange *x, struct uploads_request *request)
{
#define X(name, text) text,
	static const char *const words[] = {STORE_EVENT_STATES(X) NULL};
#undef X
	size_t state = 0;
	int stated = admin_param_word(x, "state", words, &state);

	request->limit = UPLOADS_DEFAULT;
	if (stated < 0 ||
	    admin_param_u64(x, "limit", UPLOADS_MAX, &request->limit) < 0)
		return -1;
	request->all = stated == 0;
	request->state = (enum store_event_state)state;
	return 0;
}

void
admin_uploads(struct admin *admin, struct http_exchange *x, struct slice rest)
{
	struct uploads_request *request = calloc(1, sizeof(*request));
	char function[RECORD_NAME_MAX];
	int named = admin_param(x, "function", function, sizeof(function));
	struct store_event_query query = {.source = "upload"};

	if (request == NULL)
		abort();
	if (named < 0 || read_uploads_query(x, request) < 0) {
		free(request);
		return;
	}
	query.function = named > 0 ? function : NULL;
	/* The store does not know of states: of all it has, so many. */
	query.limit = request->all ? request->limit : UPLOADS_MAX;
	request->pending = pending_new(admin, x);
	store_events(admin->world.store, &query, on_events, request);
}

/* --- logs ------------------------------------------------------------------------------ */

struct follow {
	struct pending pending; /* first: it is the exchange's context */
	struct logbook_follower *follower;
	bool over;
};

static void
put_line(struct slice line, void *arg)
{
	struct buf *out = arg;

	buf_add_slice(out, line);
	buf_putc(out, '\n');
}

/* Deferred: whoever found that it must end may be in the middle of it. */
static void
follow_free(void *arg)
{
	struct follow *follow = arg;

	if (follow->pending.x != NULL) {
		http_set_context(follow->pending.x, NULL);
		http_stream_end(follow->pending.x);
	}
	free(follow);
}

static void
follow_end(struct follow *follow)
{
	if (follow->over)
		return;
	follow->over = true;
	logbook_unfollow(follow->follower);
	loop_defer(follow->pending.admin->world.loop, follow_free, follow);
}

/* A follower that does not read is let go. */
static void
on_line(struct slice line, void *arg)
{
	struct follow *follow = arg;
	size_t waiting;

	if (follow->over || follow->pending.x == NULL)
		return;
	(void)http_stream_write(follow->pending.x, line);
	if (follow->pending.x == NULL)
		return;
	waiting = http_stream_write(follow->pending.x, SLICE("\n"));
	if (waiting >= FOLLOW_WAITING)
		follow_end(follow);
}

static void
on_follow_gone(struct pending *pending)
{
	follow_end((struct follow *)pending);
}

void
admin_logs(struct admin *admin, struct http_exchange *x, struct slice rest)
{
	const struct http_header type = {SLICE("content-type"),
	    SLICE("application/x-ndjson")};
	struct http_response response = {.status = 200,
	    .headers = &type,
	    .nheaders = 1};
	char name[RECORD_NAME_MAX];
	int named = admin_param(x, "function", name, sizeof(name));
	const char *function = named > 0 ? name : NULL;
	uint64_t lines = LOG_LINES_DEFAULT;
	uint64_t stay = 0;
	struct follow *follow;
	struct buf out = {0};

	if (named < 0 ||
	    admin_param_u64(x, "lines", LOG_LINES_MAX, &lines) < 0 ||
	    admin_param_u64(x, "follow", 1, &stay) < 0)
		return;
	logbook_tail(admin->world.logbook, function, lines, put_line, &out);
	if (stay == 0) {
		response.body = buf_slice(&out);
		http_reply(x, &response);
		buf_fini(&out);
		return;
	}
	follow = calloc(1, sizeof(*follow));
	if (follow == NULL)
		abort();
	follow->pending = (struct pending){admin, x, on_follow_gone};
	http_set_context(x, follow);
	http_stream_begin(x, &response);
	(void)http_stream_write(x, buf_slice(&out));
	buf_fini(&out);
	follow->follower =
	    logbook_follow(admin->world.logbook, function, on_line, follow);
}
