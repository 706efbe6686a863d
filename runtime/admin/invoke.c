/*
 * invoke.c - POST /v1/invoke/NAME: run a function once and tell everything.
 *
 * Runs in: gateway.
 * Owns:    a struct invocation from the request until the call is over.
 *
 * With ?start=KIND the function is first brought into the state from which
 * its next start is of that kind; this is how cold starts are measured.
 */
#include "runtime/admin/admin_priv.h"
#include "sandbox/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define METHOD_MAX     32
#define PATH_MAX_BYTES 1024

struct invocation {
	struct pending pending; /* first: it is the exchange's context */
	struct fn_version *version;
	struct call *call;
	bool preparing;
	bool is_json;
	char id[RECORD_ID_MAX];
	char method[METHOD_MAX];
	char path[PATH_MAX_BYTES];
	struct buf
	    body; /* the request's, kept while the function goes to zero */
};

static void
invocation_free(struct invocation *invocation)
{
	fn_version_unref(invocation->version);
	buf_fini(&invocation->body);
	free(invocation);
}

static void
encode(struct buf *out, void *arg)
{
	const struct invocation *invocation = arg;
	struct slice path = slice_of(invocation->path);
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
	const char *mark = strchr(invocation->path, '?');
	struct slice query = {0};

	if (invocation->is_json) {
		wire_add_str(out, buf_slice(&invocation->body));
		return;
	}
	if (mark != NULL) {
		path.n = (size_t)(mark - invocation->path);
		query = slice_of(mark + 1);
	}
	web_put_event(out,
	    &(struct web_event){.method = slice_of(invocation->method),
		.path = path,
		.raw_query = query,
		.remote_addr = SLICE("admin"),
		.body = buf_slice(&invocation->body)});
}

static void
put_base64(struct buf *out, struct slice s)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	buf_putc(out, '"');
	for (size_t i = 0; i < s.n; i += 3) {
		size_t left = s.n - i;
		uint32_t v = (uint32_t)(uint8_t)s.p[i] << 16;

		if (left > 1)
			v |= (uint32_t)(uint8_t)s.p[i + 1] << 8;
		if (left > 2)
			v |= (uint8_t)s.p[i + 2];
		buf_putc(out, digits[v >> 18]);
		buf_putc(out, digits[v >> 12 & 63]);
		buf_putc(out, left > 1 ? digits[v >> 6 & 63] : '=');
		buf_putc(out, left > 2 ? digits[v & 63] : '=');
	}
	buf_putc(out, '"');
}

static void
put_answer(struct buf *out, const struct call_result *result)
{
	struct wire_reader r = result->headers;
	uint32_t n = wire_get_u32(&r);

	admin_key(out, "headers");
	buf_putc(out, '[');
	for (uint32_t i = 0; i < n && !r.bad; i++) {
		buf_puts(out, i == 0 ? "[" : ",[");
		buf_json_string(out, wire_get_str(&r));
		buf_putc(out, ',');
		buf_json_string(out, wire_get_str(&r));
		buf_putc(out, ']');
	}
	buf_puts(out, "],");
	admin_key(out, "body");
	if (slice_is_utf8(result->body)) {
		buf_json_string(out, result->body);
	} else {
		put_base64(out, result->body);
		buf_puts(out, ",\"body_base64\":true");
	}
	buf_puts(out, ",\"error\":null,");
}

static void
put_error(struct buf *out, const struct call_result *result)
{
	buf_puts(out, "\"headers\":[],\"body\":\"\",\"error\":{");
	admin_put_string(out, "reason", result->record->reason);
	buf_puts(out, ",\"message\":");
	buf_json_string(out, result->message);
	buf_puts(out, ",\"traceback\":");
	buf_json_string(out, result->traceback);
	buf_puts(out, "},");
}

static void
done(struct call *call, const struct call_result *result, void *arg)
{
	struct invocation *invocation = arg;
	struct http_exchange *x = invocation->pending.x;
	const struct record *record = result->record;
	struct buf out = {0};

	if (x != NULL && (record->status == 429 || record->status == 503)) {
		http_set_context(x, NULL);
		http_reply_problem(x,
		    &(struct http_problem){.status = record->status,
			.failed_by = record_failed_by_name(record->failed_by),
			.reason = record->reason,
			.detail = result->message.p});
	} else if (x != NULL) {
		http_set_context(x, NULL);
		buf_addf(&out, "{\"status\":%u,", record->status);
		if (record->outcome == RECORD_OUTCOME_OK)
			put_answer(&out, result);
		else
			put_error(&out, result);
		admin_key(&out, "record");
		meter_record_json(&out, record);
		buf_putc(&out, '}');
		admin_reply_json(x, &out);
	}
	invocation_free(invocation);
}

static void
start(void *arg)
{
	struct invocation *invocation = arg;
	struct call *call;

	invocation->preparing = false;
	if (invocation->pending.x == NULL) {
		invocation_free(invocation);
		return;
	}
	call = call_start(invocation->pending.admin->world.calls,
	    &(struct call_request){.version = invocation->version,
		.source = RECORD_SOURCE_INVOKE,
		.request_id = invocation->id,
		.wall_ms = clock_wall_ms(),
		.accepted_us = clock_mono_us(),
		.bytes_in = invocation->body.n,
		.attempt = 1,
		.kind = invocation->is_json ? WIRE_EVENT_JSON : WIRE_EVENT_HTTP,
		.encode = encode,
		.done = done,
		.arg = invocation});
	if (call != NULL)
		invocation->call = call;
}

static void
on_gone(struct pending *pending)
{
	struct invocation *invocation = (struct invocation *)pending;

	if (!invocation->preparing && invocation->call != NULL)
		call_cancel(invocation->call);
}

/* What the query says; -1: something wrong, which is answered. */
static int
read_query(struct http_exchange *x, struct invocation *invocation,
    enum record_kind *kind_out)
{
	static const char *const types[] = {"http", "json", NULL};
	const char *const kinds[] = {record_kind_name(RECORD_KIND_WARM),
	    record_kind_name(RECORD_KIND_IMAGE),
	    record_kind_name(RECORD_KIND_BUILD),
	    record_kind_name(RECORD_KIND_FORK), NULL};
	size_t type = 0;
	size_t kind = 0;

	if (admin_param(x, "method", invocation->method,
		sizeof(invocation->method)) < 0 ||
	    admin_param(x, "path", invocation->path, sizeof(invocation->path)) <
		0 ||
	    admin_param_word(x, "type", types, &type) < 0 ||
	    admin_param_word(x, "start", kinds, &kind) < 0)
		return -1;
	invocation->is_json = type == 1;
	*kind_out = (enum record_kind)(RECORD_KIND_WARM + kind);
	return 0;
}

static struct invocation *
invocation_new(struct admin *admin, struct http_exchange *x,
    struct fn_version *version)
{
	struct invocation *invocation = calloc(1, sizeof(*invocation));

	if (invocation == NULL)
		abort();
	invocation->pending = (struct pending){admin, x, on_gone};
	invocation->version = fn_version_ref(version);
	(void)slice_copy(invocation->id, sizeof(invocation->id),
	    slice_of(http_request_id(x)));
	(void)slice_copy(invocation->method, sizeof(invocation->method),
	    http_request_of(x)->body.n > 0 ? SLICE("POST") : SLICE("GET"));
	(void)snprintf(invocation->path, sizeof(invocation->path), "%s",
	    version->manifest.route);
	buf_add_slice(&invocation->body, http_request_of(x)->body);
	return invocation;
}

void
admin_invoke(struct admin *admin, struct http_exchange *x, struct slice rest)
{
	struct fn_version *version = catalog_find(admin->world.catalog, rest);
	enum record_kind kind = RECORD_KIND_WARM;
	struct invocation *invocation;

	if (version == NULL) {
		admin_reply_error(x, 404, "no_such_function",
		    "no version of this function serves");
		return;
	}
	invocation = invocation_new(admin, x, version);
	if (read_query(x, invocation, &kind) < 0) {
		invocation_free(invocation);
		return;
	}
	http_set_context(x, invocation);
	invocation->preparing = true;
	if (!calls_prepare(admin->world.calls, version, kind, start,
		invocation)) {
		http_set_context(x, NULL);
		invocation_free(invocation);
		admin_reply_error(x, 409, "function_busy",
		    "the function is serving requests just now");
	}
}
