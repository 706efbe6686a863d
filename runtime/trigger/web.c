/*
 * web.c - see web.h.
 *
 * Runs in: gateway.
 * Owns:    see web.h.
 *
 *	on_head: route, method, size -> on_request: call_start -> done: reply
 *	                                      on_gone: call_cancel
 */
#include "runtime/trigger/web.h"

#include "runtime/trigger/receipt.h"
#include "sandbox/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define PARAMS_MAX  16
#define HEADERS_MAX 128 /* of a response: the handler's and ours */
#define ALLOW_MAX   512 /* bytes of an Allow header */

struct web {
	struct loop *loop;
	struct catalog *catalog;
	struct calls *calls;
	struct http_server *server;
	struct web_config config;
	bool ready;
};

/* One exchange that has a function. */
struct web_request {
	struct web *web;
	struct http_exchange *x;
	struct fn_version *version;
	struct call *call; /* NULL before and after */
	struct catalog_param params[PARAMS_MAX];
	size_t nparams;
	bool gone; /* the client left; nobody to answer */
};

static void
on_refused(struct http_exchange *x, const struct http_problem *problem,
    void *arg)
{
	const struct web *web = arg;

	web->config.on_refused(problem->failed_by, problem->reason,
	    web->config.arg);
}

/* Our own refusals, before there is a call. */
static void
refuse(struct web *web, struct http_exchange *x,
    const struct http_problem *problem)
{
	on_refused(x, problem, web);
	http_reply_problem(x, problem);
}

/* --- what needs no function -------------------------------------------------- */

static void
reply_text(struct http_exchange *x, unsigned int status, struct slice text)
{
	const struct http_header type = {SLICE("content-type"),
	    SLICE("text/plain; charset=utf-8")};

	http_reply(x,
	    &(struct http_response){.status = status,
		.headers = &type,
		.nheaders = 1,
		.body = text});
}

static bool
is_health(struct slice path)
{
	return slice_is(path, "/healthz") || slice_is(path, "/readyz");
}

static void
reply_health(const struct web *web, struct http_exchange *x)
{
	if (slice_is(http_request_of(x)->path, "/healthz"))
		reply_text(x, 200, SLICE("ok\n"));
	else if (web->ready)
		reply_text(x, 200, SLICE("ready\n"));
	else
		reply_text(x, 503, SLICE("not ready\n"));
}

static bool
method_allowed(const struct fn_manifest *manifest, struct slice method)
{
	bool head = slice_is(method, "HEAD");

	if (manifest->nmethods == 0)
		return true;
	for (size_t i = 0; i < manifest->nmethods; i++)
		if (slice_is(method, manifest->methods[i]) ||
		    (head && slice_is(SLICE("GET"), manifest->methods[i])))
			return true;
	return false;
}

static struct http_header
allow_header(const struct fn_manifest *manifest, char text[ALLOW_MAX])
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < manifest->nmethods; i++) {
		int wrote = snprintf(text + n, ALLOW_MAX - n, "%s%s",
		    i == 0 ? "" : ", ", manifest->methods[i]);

		if (wrote < 0 || (size_t)wrote >= ALLOW_MAX - n)
			break;
		n += (size_t)wrote;
	}
	return (struct http_header){SLICE("Allow"), slice_from(text, n)};
}

static void
refuse_method(struct web *web, struct http_exchange *x,
    const struct fn_manifest *manifest)
{
	char text[ALLOW_MAX];
	const struct http_header allow = allow_header(manifest, text);

	if (slice_is(http_request_of(x)->method, "OPTIONS")) {
		http_reply(x,
		    &(struct http_response){.status = 204,
			.headers = &allow,
			.nheaders = 1});
		return;
	}
	refuse(web, x,
	    &(struct http_problem){.status = 405,
		.failed_by = "client",
		.reason = "method_not_allowed",
		.detail = "this function does not take this method",
		.headers = &allow,
		.nheaders = 1});
}

/* --- from request to call ------------------------------------------------------ */

static void
request_free(struct web_request *request)
{
	fn_version_unref(request->version);
	free(request);
}

static void
on_head(struct http_exchange *x, void *arg)
{
	struct web *web = arg;
	const struct http_request *head = http_request_of(x);
	struct web_request *request;
	struct fn_version *version;

	if (is_health(head->path))
		return;
	request = calloc(1, sizeof(*request));
	if (request == NULL)
		abort();
	version = catalog_route(web->catalog, head->path, request->params,
	    PARAMS_MAX, &request->nparams);
	if (version == NULL) {
		free(request);
		refuse(web, x,
		    &(struct http_problem){.status = 404,
			.failed_by = "client",
			.reason = "no_such_function",
			.detail = "no function answers at this path"});
		return;
	}
	if (!method_allowed(&version->manifest, head->method)) {
		free(request);
		refuse_method(web, x, &version->manifest);
		return;
	}
	request->web = web;
	request->x = x;
	request->version = fn_version_ref(version);
	http_set_context(x, request);
	if (version->manifest.max_request_bytes > 0)
		http_limit_body(x, version->manifest.max_request_bytes);
}

/* "127.0.0.1:5678" without the port, "[::1]:5678" without the brackets. */
static struct slice
address_of(const char *peer)
{
	const char *colon = strrchr(peer, ':');

	if (colon == NULL)
		return slice_of(peer);
	if (peer[0] == '[' && colon[-1] == ']')
		return slice_from(peer + 1, (size_t)(colon - peer) - 2);
	return slice_from(peer, (size_t)(colon - peer));
}

void
web_put_event(struct buf *out, const struct web_event *event)
{
	wire_add_str(out, event->method);
	wire_add_str(out, event->path);
	wire_add_str(out, event->raw_query);
	wire_add_str(out, event->remote_addr);
	wire_add_u32(out, (uint32_t)event->nparams);
	for (size_t i = 0; i < event->nparams; i++) {
		wire_add_str(out, event->params[i].name);
		wire_add_str(out, event->params[i].value);
	}
	wire_add_u32(out, (uint32_t)event->nheaders);
	for (size_t i = 0; i < event->nheaders; i++) {
		wire_add_str(out, event->headers[i].name);
		wire_add_str(out, event->headers[i].value);
	}
	wire_add_str(out, event->body);
}

static void
encode(struct buf *out, void *arg)
{
	const struct web_request *request = arg;
	const struct http_request *http = http_request_of(request->x);

	web_put_event(out,
	    &(struct web_event){.method = http->method,
		.path = http->path,
		.raw_query = http->query,
		.remote_addr = address_of(http->peer),
		.params = request->params,
		.nparams = request->nparams,
		.headers = http->headers,
		.nheaders = http->nheaders,
		.body = http->body});
}

/* --- from result to response ---------------------------------------------------- */

static void
reply_result(struct web_request *request, const struct call_result *result)
{
	struct http_header headers[HEADERS_MAX];
	struct receipt receipt;
	struct wire_reader r = result->headers;
	size_t n = 0;

	for (uint32_t left = wire_get_u32(&r);
	     left > 0 && n < HEADERS_MAX - RECEIPT_HEADERS; left--) {
		headers[n].name = wire_get_str(&r);
		headers[n].value = wire_get_str(&r);
		if (!http_header_reserved(headers[n].name))
			n++;
	}
	if (request->web->config.receipts)
		n += receipt_make(&receipt, result->record, headers + n);
	http_reply(request->x,
	    &(struct http_response){.status = result->record->status,
		.headers = headers,
		.nheaders = n,
		.body = result->body});
}

static void
reply_failure(struct web_request *request, const struct call_result *result)
{
	const struct record *record = result->record;
	struct http_header headers[RECEIPT_HEADERS + 1];
	struct receipt receipt;
	struct buf detail = {0};
	char seconds[16];
	size_t n = 0;

	receipt_detail(&detail, result, request->web->config.dev);
	if (request->web->config.receipts)
		n = receipt_make(&receipt, record, headers);
	if (result->retry_after_s > 0) {
		(void)snprintf(seconds, sizeof(seconds), "%u",
		    result->retry_after_s);
		headers[n].name = SLICE("Retry-After");
		headers[n++].value = slice_of(seconds);
	}
	http_reply_problem(request->x,
	    &(struct http_problem){.status = record->status,
		.failed_by = record_failed_by_name(record->failed_by),
		.reason = record->reason,
		.detail = detail.p,
		.headers = headers,
		.nheaders = n});
	buf_fini(&detail);
}

static void
done(struct call *call, const struct call_result *result, void *arg)
{
	struct web_request *request = arg;

	if (!request->gone) {
		http_set_context(request->x, NULL);
		if (result->record->outcome == RECORD_OUTCOME_OK)
			reply_result(request, result);
		else
			reply_failure(request, result);
	}
	request_free(request);
}

static void
on_request(struct http_exchange *x, void *arg)
{
	struct web *web = arg;
	struct web_request *request = http_context(x);
	const struct http_request *http = http_request_of(x);
	struct call *call;

	if (request == NULL) {
		reply_health(web, x);
		return;
	}
	call = call_start(web->calls,
	    &(struct call_request){.version = request->version,
		.source = RECORD_SOURCE_HTTP,
		.request_id = http_request_id(x),
		.wall_ms = http->wall_ms,
		.accepted_us = clock_mono_us(),
		.bytes_in = http->body.n,
		.attempt = 1,
		.kind = WIRE_EVENT_HTTP,
		.encode = encode,
		.done = done,
		.arg = request});
	if (call != NULL)
		request->call = call;
}

static void
on_gone(struct http_exchange *x, void *arg)
{
	struct web_request *request = http_context(x);

	if (request == NULL)
		return;
	http_set_context(x, NULL);
	request->gone = true;
	if (request->call != NULL)
		call_cancel(request->call);
	else
		request_free(request);
}

/* --- life ------------------------------------------------------------------------- */

struct web *
web_new(struct loop *loop, struct catalog *catalog, struct calls *calls,
    const struct web_config *config)
{
	const struct http_callbacks callbacks = {
	    .on_head = on_head,
	    .on_request = on_request,
	    .on_gone = on_gone,
	    .on_refused = on_refused,
	};
	struct web *web = calloc(1, sizeof(*web));

	if (web == NULL)
		abort();
	web->loop = loop;
	web->catalog = catalog;
	web->calls = calls;
	web->config = *config;
	web->server = http_server_new(loop, &config->limits, &callbacks, web);
	return web;
}

void
web_set_config(struct web *web, const struct web_config *config)
{
	web->config = *config;
	http_server_set_limits(web->server, &config->limits);
}

void
web_listen(struct web *web, int fd)
{
	http_server_listen(web->server, fd);
}

void
web_set_ready(struct web *web, bool ready)
{
	web->ready = ready;
}

struct http_server *
web_server(struct web *web)
{
	return web->server;
}

void
web_free(struct web *web)
{
	if (web == NULL)
		return;
	http_server_free(web->server);
	free(web);
}
