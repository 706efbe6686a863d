/*
 * list.c - what there is: functions, workers, invocations, the sandbox.
 *
 * Runs in: gateway.
 */
#include "runtime/admin/admin_priv.h"
#include "sandbox/base/clock.h"

#include <stdio.h>

#define INVOCATIONS_DEFAULT 20
#define INVOCATIONS_MAX	    512

static void
separate(struct buf *out)
{
	if (out->n > 0 && out->p[out->n - 1] != '[' &&
	    out->p[out->n - 1] != '{')
		buf_putc(out, ',');
}

/* --- functions -------------------------------------------------------------------- */

static const char *
state_name(enum catalog_state state)
{
	return state == CATALOG_SERVING ? "serving"
	    : state == CATALOG_BROKEN	? "broken"
					: "reading";
}

static void
put_methods(struct buf *out, const struct fn_manifest *manifest)
{
	admin_key(out, "methods");
	buf_putc(out, '[');
	for (size_t i = 0; i < manifest->nmethods; i++) {
		separate(out);
		buf_json_string(out, slice_of(manifest->methods[i]));
	}
	buf_putc(out, ']');
}

/* Upload paths are kept relative to the uploads directory. */
static void
put_upload_path(struct buf *out, const char *key, const char *path)
{
	char full[1024];

	(void)snprintf(full, sizeof(full), "uploads/%s",
	    path == NULL ? "" : path);
	admin_put_string(out, key, path == NULL ? NULL : full);
}

static void
put_triggers(struct buf *out, const struct fn_manifest *manifest)
{
	admin_key(out, "triggers");
	buf_putc(out, '[');
	for (size_t i = 0; i < manifest->nuploads; i++) {
		separate(out);
		buf_puts(out, "{\"type\":\"upload\",");
		put_upload_path(out, "dir", manifest->uploads[i].dir);
		buf_putc(out, ',');
		admin_put_string(out, "pattern", manifest->uploads[i].pattern);
		buf_putc(out, ',');
		put_upload_path(out, "output", manifest->uploads[i].output);
		buf_putc(out, '}');
	}
	buf_putc(out, ']');
}

static void
put_version(struct buf *out, const struct fn_version *version)
{
	const struct fn_manifest *m = &version->manifest;
	struct call_function_stats stats;

	calls_function_stats(version, &stats);
	buf_addf(out, ",\"version\":%u,", version->number);
	admin_put_string(out, "hash", version->hash);
	buf_putc(out, ',');
	admin_put_string(out, "route", m->route);
	buf_putc(out, ',');
	put_methods(out, m);
	buf_addf(out,
	    ",\"heap\":\"%s\",\"memory_mb\":%u,\"timeout_ms\":%u,"
	    "\"workers\":{\"idle\":%u,\"busy\":%u,\"starting\":%u},"
	    "\"queued\":%u,\"invocations\":%llu,\"errors\":%llu,"
	    "\"cold_starts\":%llu,",
	    m->heap == WIRE_HEAP_SHARED ? "shared" : "fresh", m->memory_mb,
	    m->timeout_ms, stats.idle, stats.busy, stats.starting, stats.queued,
	    (unsigned long long)stats.invocations,
	    (unsigned long long)stats.errors,
	    (unsigned long long)stats.cold_starts);
	if (stats.image_bytes > 0)
		buf_addf(out, "\"image_bytes\":%zu,", stats.image_bytes);
	else
		buf_puts(out, "\"image_bytes\":null,");
	put_triggers(out, m);
}

static void
put_no_version(struct buf *out)
{
	buf_puts(out,
	    ",\"version\":null,\"hash\":null,\"route\":null,\"methods\":[],"
	    "\"heap\":null,\"memory_mb\":null,\"timeout_ms\":null,"
	    "\"workers\":{\"idle\":0,\"busy\":0,\"starting\":0},\"queued\":0,"
	    "\"invocations\":0,\"errors\":0,\"cold_starts\":0,"
	    "\"image_bytes\":null,\"triggers\":[]");
}

static void
put_function(struct buf *out, const struct catalog_entry *entry)
{
	admin_put_string(out, "name", entry->name);
	buf_putc(out, ',');
	admin_put_string(out, "state", state_name(entry->state));
	if (entry->version != NULL)
		put_version(out, entry->version);
	else
		put_no_version(out);
	buf_putc(out, ',');
	admin_put_string(out, "error", entry->error);
	buf_addf(out, ",\"changed_ms\":%lld", (long long)entry->changed_ms);
}

static void
each_function(const struct catalog_entry *entry, void *arg)
{
	struct buf *out = arg;

	separate(out);
	buf_putc(out, '{');
	put_function(out, entry);
	buf_putc(out, '}');
}

static void
put_manifest(struct buf *out, const struct fn_manifest *m)
{
	buf_addf(out,
	    ",\"manifest\":{\"timeout_ms\":%u,\"memory_mb\":%u,"
	    "\"max_workers\":%u,\"min_workers\":%u,\"idle_timeout_s\":%u,"
	    "\"heap\":\"%s\",\"max_request_bytes\":%llu,"
	    "\"max_response_bytes\":%llu,",
	    m->timeout_ms, m->memory_mb, m->max_workers, m->min_workers,
	    m->idle_timeout_s, m->heap == WIRE_HEAP_SHARED ? "shared" : "fresh",
	    (unsigned long long)m->max_request_bytes,
	    (unsigned long long)m->max_response_bytes);
	admin_put_string(out, "route", m->route);
	buf_putc(out, ',');
	put_methods(out, m);
	buf_putc(out, ',');
	put_triggers(out, m);
	buf_puts(out, "}");
}

static void
put_details(struct buf *out, const struct fn_version *version)
{
	const struct fn_manifest *m = &version->manifest;

	buf_puts(out, ",\"env\":{");
	for (size_t i = 0; i < m->nenv; i++) {
		separate(out);
		admin_put_string(out, m->env[i].name, m->env[i].value);
	}
	buf_puts(out, "}");
	put_manifest(out, m);
	buf_puts(out, ",\"modules\":[");
	for (size_t i = 0; i < version->nmodules; i++) {
		separate(out);
		buf_putc(out, '{');
		admin_put_string(out, "name", version->modules[i].name);
		buf_addf(out, ",\"bytes\":%zu}",
		    version->modules[i].source_bytes);
	}
	buf_puts(out, "]");
}

static void
put_phase(struct buf *out, const char *name, const struct hist *hist)
{
	separate(out);
	buf_addf(out,
	    "\"%s_us\":{\"count\":%llu,\"p50\":%llu,\"p90\":%llu,"
	    "\"p99\":%llu,\"max\":%llu}",
	    name, (unsigned long long)hist->count,
	    (unsigned long long)hist_quantile(hist, 0.5),
	    (unsigned long long)hist_quantile(hist, 0.9),
	    (unsigned long long)hist_quantile(hist, 0.99),
	    (unsigned long long)hist->max);
}

static void
each_start(enum record_kind kind, enum record_cause cause, uint64_t count,
    const struct hist *const *phases, void *arg)
{
	struct buf *out = arg;

	separate(out);
	buf_addf(out,
	    "{\"kind\":\"%s\",\"cause\":\"%s\",\"count\":%llu,\"phases\":{",
	    record_kind_name(kind), record_cause_name(cause),
	    (unsigned long long)count);
	for (unsigned int i = 0; i < METRICS_PHASES_N; i++)
		if (phases[i] != NULL)
			put_phase(out, metrics_phase_name(i), phases[i]);
	buf_puts(out, "}}");
}

static void
put_starts(const struct metrics *metrics, const char *name, struct buf *out)
{
	buf_putc(out, '[');
	metrics_starts(metrics, name, each_start, out);
	buf_putc(out, ']');
}

static void
one_function(const struct admin *admin, struct http_exchange *x,
    struct slice name)
{
	const struct catalog_entry *entry =
	    catalog_entry(admin->world.catalog, name);
	struct buf out = {0};

	if (entry == NULL) {
		admin_reply_error(x, 404, "no_such_function",
		    "there is no function of this name");
		return;
	}
	buf_putc(&out, '{');
	put_function(&out, entry);
	if (entry->version != NULL)
		put_details(&out, entry->version);
	buf_puts(&out, ",\"starts\":");
	put_starts(admin->world.metrics, entry->name, &out);
	buf_putc(&out, '}');
	admin_reply_json(x, &out);
}

void
admin_functions(struct admin *admin, struct http_exchange *x, struct slice rest)
{
	struct buf out = {0};

	if (rest.n > 0) {
		one_function(admin, x, rest);
		return;
	}
	buf_puts(&out, "{\"functions\":[");
	catalog_each(admin->world.catalog, each_function, &out);
	buf_puts(&out, "]}");
	admin_reply_json(x, &out);
}

/* --- workers --------------------------------------------------------------------------- */

static const char *
worker_state_name(const struct worker *worker)
{
	if (worker->dying)
		return "dying";
	if (worker->ready)
		return "ready";
	switch (worker->state) {
	case WIRE_STARTING:
		return "starting";
	case WIRE_BUILDING:
		return "building";
	case WIRE_RUNNING:
		return "busy";
	case WIRE_IDLE:
		break;
	}
	return "idle";
}

static void
each_worker(const struct worker *worker, void *arg)
{
	struct buf *out = arg;
	uint64_t now_us = clock_mono_us();
	uint64_t idle_us =
	    worker->state == WIRE_IDLE && worker->idle_since_us != 0
	    ? now_us - worker->idle_since_us
	    : 0;

	separate(out);
	buf_addf(out, "{\"pid\":%d,\"state\":\"%s\",", (int)worker->pid,
	    worker_state_name(worker));
	admin_put_string(out, "function",
	    worker->version == NULL ? NULL : worker->version->name);
	buf_addf(out,
	    ",\"version\":%u,\"age_ms\":%llu,\"idle_ms\":%llu,"
	    "\"requests\":%llu,\"cpu_us\":%llu,\"peak_kb\":%llu}",
	    worker->version == NULL ? 0 : worker->version->number,
	    (unsigned long long)((now_us - worker->asked_us) / 1000),
	    (unsigned long long)(idle_us / 1000),
	    (unsigned long long)worker->requests,
	    (unsigned long long)worker->cpu_us,
	    (unsigned long long)worker->peak_kb);
}

void
admin_workers(struct admin *admin, struct http_exchange *x, struct slice rest)
{
	const struct pool *pool = calls_pool(admin->world.calls);
	struct pool_stats stats;
	struct buf out = {0};

	pool_stats(pool, &stats);
	buf_puts(&out, "{\"workers\":[");
	pool_each(pool, each_worker, &out);
	buf_addf(&out,
	    "],\"zygote\":{\"alive\":%s,\"forks\":%llu,\"restarts\":%llu}}",
	    pool_generation(pool) > 0 ? "true" : "false",
	    (unsigned long long)stats.forks,
	    (unsigned long long)(stats.zygotes > 0 ? stats.zygotes - 1 : 0));
	admin_reply_json(x, &out);
}

/* --- invocations ------------------------------------------------------------------------ */

static void
each_record(const struct record *record, void *arg)
{
	separate(arg);
	meter_record_json(arg, record);
}

void
admin_invocations(struct admin *admin, struct http_exchange *x,
    struct slice rest)
{
	char name[RECORD_NAME_MAX];
	int named = admin_param(x, "function", name, sizeof(name));
	uint64_t lines = INVOCATIONS_DEFAULT;
	struct buf out = {0};

	if (named < 0 ||
	    admin_param_u64(x, "lines", INVOCATIONS_MAX, &lines) < 0)
		return;
	buf_puts(&out, "{\"records\":[");
	recent_each(admin->world.recent, named > 0 ? name : NULL, lines,
	    each_record, &out);
	buf_puts(&out, "]}");
	admin_reply_json(x, &out);
}

/* --- the sandbox -------------------------------------------------------------------------- */

static bool
put_layer(const struct admin_world *w, enum jail_layer layer, struct buf *out)
{
	bool active = w->report->active[layer];
	bool allowed = (*w->allowed & (1u << layer)) != 0;

	separate(out);
	buf_putc(out, '{');
	admin_put_string(out, "name", jail_layer_name(layer));
	buf_addf(out, ",\"state\":\"%s\",\"required\":%s,",
	    active	  ? "active"
		: allowed ? "allowed"
			  : "missing",
	    jail_layer_need(layer) == JAIL_WARN ? "false" : "true");
	admin_put_string(out, "how", jail_layer_how(layer));
	buf_putc(out, ',');
	admin_put_string(out, "why", w->report->why[layer]);
	buf_putc(out, '}');
	return active;
}

/* Lines of "case\texpected\tgot\n", as the zygote wrote them. */
static void
put_self_test(struct slice lines, struct buf *out)
{
	while (lines.n > 0) {
		const char *end = memchr(lines.p, '\n', lines.n);
		size_t n = end == NULL ? lines.n : (size_t)(end - lines.p);
		const char *tab = memchr(lines.p, '\t', n);
		const char *tab2 = tab == NULL
		    ? NULL
		    : memchr(tab + 1, '\t', n - (size_t)(tab + 1 - lines.p));

		if (tab2 != NULL) {
			struct slice want =
			    slice_from(tab + 1, (size_t)(tab2 - tab) - 1);
			struct slice got = slice_from(tab2 + 1,
			    n - (size_t)(tab2 + 1 - lines.p));

			separate(out);
			buf_puts(out, "{\"case\":");
			buf_json_string(out,
			    slice_from(lines.p, (size_t)(tab - lines.p)));
			buf_puts(out, ",\"expected\":");
			buf_json_string(out, want);
			buf_puts(out, ",\"got\":");
			buf_json_string(out, got);
			buf_addf(out, ",\"ok\":%s}",
			    slice_eq(want, got) ? "true" : "false");
		}
		n += end != NULL;
		lines = slice_from(lines.p + n, lines.n - n);
	}
}

void
admin_sandbox(struct admin *admin, struct http_exchange *x, struct slice rest)
{
	const struct admin_world *w = &admin->world;
	struct buf out = {0};
	bool whole = true;

	buf_puts(&out, "{\"layers\":[");
	for (unsigned int i = 0; i < JAIL_LAYERS; i++)
		if (!put_layer(w, (enum jail_layer)i, &out))
			whole = false;
	buf_puts(&out, "],\"self_test\":[");
	put_self_test(buf_slice(w->self_test), &out);
	buf_addf(&out, "],\"degraded\":%s}", whole ? "false" : "true");
	admin_reply_json(x, &out);
}
