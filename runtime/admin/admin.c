/*
 * admin.c - see admin.h.
 *
 * Runs in: gateway.
 * Owns:    see admin.h.
 */
#include "runtime/admin/admin_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- helpers ------------------------------------------------------------------ */

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* Percent- and plus-decode in; false when it does not fit. */
static bool
decode(struct slice in, char *out, size_t bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i] == '+' ? ' ' : in.p[i];

		if (c == '%' && i + 2 < in.n && hex(in.p[i + 1]) >= 0 &&
		    hex(in.p[i + 2]) >= 0) {
			c = (char)(hex(in.p[i + 1]) * 16 + hex(in.p[i + 2]));
			i += 2;
		}
		if (n + 1 >= bytes || c == '\0')
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

static bool
find_param(const struct http_exchange *x, const char *name,
    struct slice *value_out)
{
	struct slice query = http_request_of(x)->query;

	while (query.n > 0) {
		const char *amp = memchr(query.p, '&', query.n);
		size_t n = amp == NULL ? query.n : (size_t)(amp - query.p);
		const char *eq = memchr(query.p, '=', n);
		size_t key = eq == NULL ? n : (size_t)(eq - query.p);

		if (slice_is(slice_from(query.p, key), name)) {
			*value_out = eq == NULL
			    ? (struct slice){0}
			    : slice_from(eq + 1, n - key - 1);
			return true;
		}
		n += amp != NULL;
		query = slice_from(query.p + n, query.n - n);
	}
	return false;
}

static int
refuse_param(struct http_exchange *x, const char *name, const char *rule)
{
	char reason[48];
	char detail[128];

	(void)snprintf(reason, sizeof(reason), "bad_%s", name);
	(void)snprintf(detail, sizeof(detail), "%s %s", name, rule);
	admin_reply_error(x, 400, reason, detail);
	return -1;
}

int
admin_param(struct http_exchange *x, const char *name, char *text, size_t bytes)
{
	struct slice value;
	char rule[64];

	if (!find_param(x, name, &value))
		return 0;
	if (decode(value, text, bytes))
		return 1;
	(void)snprintf(rule, sizeof(rule), "has at most %zu bytes, none zero",
	    bytes - 1);
	return refuse_param(x, name, rule);
}

int
admin_param_u64(struct http_exchange *x, const char *name, uint64_t max,
    uint64_t *value)
{
	struct slice text;
	uint64_t given;

	if (!find_param(x, name, &text))
		return 0;
	if (!slice_u64(text, UINT64_MAX, &given))
		return refuse_param(x, name, "is a whole number");
	*value = given < max ? given : max;
	return 1;
}

int
admin_param_word(struct http_exchange *x, const char *name,
    const char *const *words, size_t *index)
{
	struct slice text;
	struct buf rule = {0};

	if (!find_param(x, name, &text))
		return 0;
	for (size_t i = 0; words[i] != NULL; i++)
		if (slice_is(text, words[i])) {
			*index = i;
			return 1;
		}
	buf_puts(&rule, "is ");
	for (size_t i = 0; words[i] != NULL; i++)
		buf_addf(&rule, "%s%s",
		    i == 0		       ? ""
			: words[i + 1] == NULL ? " or "
					       : ", ",
		    words[i]);
	buf_putc(&rule, '\0');
	(void)refuse_param(x, name, rule.p);
	buf_fini(&rule);
	return -1;
}

void
admin_reply_json(struct http_exchange *x, struct buf *json)
{
	const struct http_header type = {SLICE("content-type"),
	    SLICE("application/json")};

	buf_putc(json, '\n');
	http_reply(x,
	    &(struct http_response){.status = 200,
		.headers = &type,
		.nheaders = 1,
		.body = buf_slice(json)});
	buf_fini(json);
}

void
admin_reply_error(struct http_exchange *x, unsigned int status,
    const char *reason, const char *detail)
{
	http_reply_problem(x,
	    &(struct http_problem){.status = status,
		.failed_by = "client",
		.reason = reason,
		.detail = detail});
}

void
admin_key(struct buf *out, const char *key)
{
	buf_json_string(out, slice_of(key));
	buf_putc(out, ':');
}

void
admin_put_string(struct buf *out, const char *key, const char *value)
{
	admin_key(out, key);
	if (value == NULL)
		buf_puts(out, "null");
	else
		buf_json_string(out, slice_of(value));
}

/* --- small answers --------------------------------------------------------------- */

static void
info(struct admin *admin, struct http_exchange *x, struct slice rest)
{
	const struct admin_world *w = &admin->world;
	struct buf out = {0};

	buf_putc(&out, '{');
	admin_put_string(&out, "version", PERILUNE_VERSION);
	buf_addf(&out, ",\"pid\":%d,", (int)getpid());
	admin_put_string(&out, "state_dir", w->state_path);
	buf_putc(&out, ',');
	admin_put_string(&out, "functions_dir", w->functions_path);
	buf_putc(&out, ',');
	admin_put_string(&out, "uploads_dir", w->uploads_path);
	buf_addf(&out, ",\"listen\":%s,\"started_ms\":%lld,\"ready\":%s,",
	    w->listen, (long long)w->started_ms, *w->ready ? "true" : "false");
	admin_put_string(&out, "price_card", meter_card_name(w->meter));
	buf_putc(&out, ',');
	admin_put_string(&out, "currency", meter_card_currency(w->meter));
	buf_addf(&out, ",\"dev\":%s}", w->dev ? "true" : "false");
	admin_reply_json(x, &out);
}

static void
metrics(struct admin *admin, struct http_exchange *x, struct slice rest)
{
	const struct http_header type = {SLICE("content-type"),
	    SLICE("text/plain; version=0.0.4; charset=utf-8")};
	struct buf out = {0};

	admin->world.before_metrics(admin->world.arg);
	metrics_write(admin->world.metrics, &out);
	http_reply(x,
	    &(struct http_response){.status = 200,
		.headers = &type,
		.nheaders = 1,
		.body = buf_slice(&out)});
	buf_fini(&out);
}

static void
health(struct admin *admin, struct http_exchange *x, struct slice rest)
{
	bool ready = *admin->world.ready ||
	    slice_is(http_request_of(x)->path, "/healthz");

	http_reply(x,
	    &(struct http_response){.status = ready ? 200 : 503,
		.body = ready ? SLICE("ok\n") : SLICE("not ready\n")});
}

/* --- the table --------------------------------------------------------------------- */

static const struct route {
	const char *method;
	const char *path; /* ending in '/': a prefix too */
	void (*serve)(struct admin *admin, struct http_exchange *x,
	    struct slice rest);
} routes[] = {
    {"GET", "/v1/info", info},
    {"GET", "/v1/functions", admin_functions},
    {"GET", "/v1/functions/", admin_functions},
    {"GET", "/v1/workers", admin_workers},
    {"GET", "/v1/invocations", admin_invocations},
    {"GET", "/v1/sandbox", admin_sandbox},
    {"POST", "/v1/invoke/", admin_invoke},
    {"GET", "/v1/usage", admin_usage},
    {"GET", "/v1/uploads", admin_uploads},
    {"GET", "/v1/logs", admin_logs},
    {"GET", "/metrics", metrics},
    {"GET", "/healthz", health},
    {"GET", "/readyz", health},
};

static bool
matches(const struct route *route, struct slice path)
{
	size_t n = strlen(route->path);

	if (route->path[n - 1] != '/')
		return slice_is(path, route->path);
	return path.n > n && memcmp(path.p, route->path, n) == 0;
}

static void
refuse_method(struct http_exchange *x, const char *takes)
{
	const struct http_header allow = {SLICE("Allow"), slice_of(takes)};
	char detail[64];

	(void)snprintf(detail, sizeof(detail), "this path takes %s only",
	    takes);
	http_reply_problem(x,
	    &(struct http_problem){.status = 405,
		.failed_by = "client",
		.reason = "method_not_allowed",
		.detail = detail,
		.headers = &allow,
		.nheaders = 1});
}

static void
on_request(struct http_exchange *x, void *arg)
{
	struct admin *admin = arg;
	const struct http_request *http = http_request_of(x);
	const char *takes = NULL;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		size_t n = strlen(routes[i].path);

		if (!matches(&routes[i], http->path))
			continue;
		takes = routes[i].method;
		if (!slice_is(http->method, takes))
			continue;
		routes[i].serve(admin, x,
		    slice_from(http->path.p + n, http->path.n - n));
		return;
	}
	if (takes != NULL)
		refuse_method(x, takes);
	else
		admin_reply_error(x, 404, "no_such_path",
		    "see runtime/admin/API.md for the paths");
}

static void
on_gone(struct http_exchange *x, void *arg)
{
	struct pending *pending = http_context(x);

	if (pending == NULL)
		return;
	pending->x = NULL;
	if (pending->on_gone != NULL)
		pending->on_gone(pending);
}

static void
on_metrics_request(struct http_exchange *x, void *arg)
{
	if (slice_is(http_request_of(x)->path, "/metrics"))
		metrics(arg, x, (struct slice){0});
	else
		admin_reply_error(x, 404, "no_such_path",
		    "only /metrics is here");
}

struct admin *
admin_new(const struct admin_world *world, const struct http_limits *limits)
{
	const struct http_callbacks callbacks = {.on_request = on_request,
	    .on_gone = on_gone};
	const struct http_callbacks only_metrics = {.on_request =
							on_metrics_request,
	    .on_gone = on_gone};
	struct admin *admin = calloc(1, sizeof(*admin));

	if (admin == NULL)
		abort();
	admin->world = *world;
	admin->server = http_server_new(world->loop, limits, &callbacks, admin);
	admin->metrics_server =
	    http_server_new(world->loop, limits, &only_metrics, admin);
	return admin;
}

void
admin_listen(struct admin *admin, int fd)
{
	http_server_listen(admin->server, fd);
}

void
admin_listen_metrics(struct admin *admin, int fd)
{
	http_server_listen(admin->metrics_server, fd);
}

void
admin_free(struct admin *admin)
{
	if (admin == NULL)
		return;
	http_server_free(admin->server);
	http_server_free(admin->metrics_server);
	free(admin);
}
