/*
 * admin_test.h - an admin interface on a Unix socket, and its client.
 *
 * Runs in: tests.
 * Owns:    a folder, the loop, and everybody in struct admin_world.
 *
 * Real are the loop, the HTTP server, the catalog, the meter, the logbook, the
 * metrics, the uploads and a store in memory.  Doubles are the calls and the
 * pool: a test says what they answer (`script`), and reads what was asked.
 */
#pragma once

#include "runtime/admin/admin.h"
#include "runtime/admin/socket.h"
#include "runtime/loop/loop.h"
#include "runtime/meter/meter.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"
#include "tests/unit/runtime/fn/folder.h"

#include <errno.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PATIENCE_US UINT64_C(20000000)

/* --- doubles of runtime/call and runtime/pool -------------------------------- */

static struct {
	/* what they answer */
	struct call_function_stats stats;
	struct pool_stats pool;
	const struct worker *workers;
	size_t nworkers;
	uint64_t generation;
	bool busy;	/* calls_prepare refuses */
	bool hold;	/* ... or takes its time: then `prepared` is kept */
	bool hold_call; /* call_start keeps the request */
	struct call_result result;
	/* what they were asked */
	enum record_kind kind;
	void (*prepared)(void *arg);
	void *prepared_arg;
	struct call_request request;
	char id[RECORD_ID_MAX];
	struct buf event;
	unsigned int calls, cancelled;
} script;

void
calls_function_stats(const struct fn_version *version,
    struct call_function_stats *stats_out)
{
	*stats_out = script.stats;
}

struct pool *
calls_pool(struct calls *calls)
{
	return NULL;
}

void
pool_stats(const struct pool *pool, struct pool_stats *stats_out)
{
	*stats_out = script.pool;
}

uint64_t
pool_generation(const struct pool *pool)
{
	return script.generation;
}

void
pool_each(const struct pool *pool,
    void (*each)(const struct worker *worker, void *arg), void *arg)
{
	for (size_t i = 0; i < script.nworkers; i++)
		each(&script.workers[i], arg);
}

bool
calls_prepare(struct calls *calls, struct fn_version *version,
    enum record_kind kind, void (*done)(void *arg), void *arg)
{
	script.kind = kind;
	if (script.busy)
		return false;
	script.prepared = done;
	script.prepared_arg = arg;
	if (!script.hold)
		done(arg);
	return true;
}

struct call *
call_start(struct calls *calls, const struct call_request *request)
{
	script.calls++;
	script.request = *request;
	(void)slice_copy(script.id, sizeof(script.id),
	    slice_of(request->request_id));
	request->encode(&script.event, request->arg);
	if (script.hold_call)
		return (struct call *)&script;
	request->done(NULL, &script.result, request->arg);
	return NULL;
}

void
call_cancel(struct call *call)
{
	static const struct record record = {
	    .outcome = RECORD_OUTCOME_CANCELLED};

	ck_assert_ptr_eq(call, &script);
	script.cancelled++;
	script.request.done(call, &(struct call_result){.record = &record},
	    script.request.arg);
}

/* For others in the libraries; the admin interface has no use for them. */
void *
call_arg(const struct call *call)
{
	abort();
}

void
call_answer_data(struct call *call, bool ok, struct slice data)
{
	abort();
}

void
call_answer_done(struct call *call, bool ok, struct slice reason)
{
	abort();
}

void
calls_stats(const struct calls *calls, struct calls_stats *stats_out)
{
	abort();
}

/* --- the world ------------------------------------------------------------------ */

static struct loop *loop;
static struct loop_timer *ticker;
static struct admin *admin;
static struct admin_world world;
static struct jail_report report;
static struct buf self_test;
static unsigned int allowed;
static bool is_ready;
static bool settled;
static unsigned int metrics_asked;
static int listener = -1;
static int statefd = -1;

static inline void
on_test_candidate(struct fn_version *candidate, void *arg)
{
	if (strstr(candidate->modules[0].source, "broken") != NULL)
		catalog_reject(world.catalog, candidate, "line 1: \"broken\"");
	else
		catalog_accept(world.catalog, candidate);
}

static inline void
on_test_deployed(struct fn_version *now, struct fn_version *before, void *arg)
{
}

static inline void
on_test_removed(struct fn_version *before, void *arg)
{
}

static inline void
on_test_note(const char *name, const char *what, void *arg)
{
}

static inline void
on_test_run(const struct upload_run *run, void *arg)
{
}

static inline void
on_test_settled(void *arg)
{
	settled = true;
}

static inline void
before_test_metrics(void *arg)
{
	ck_assert_ptr_eq(arg, &world);
	metrics_asked++;
}

static inline void
on_ticker(void *arg)
{
	loop_stop(loop);
}

/* Run the loop for about a millisecond. */
static inline void
turn(void)
{
	struct err err;

	loop_timer_start(ticker, 1000);
	ck_assert_int_eq(loop_run(loop, &err), 0);
}

/* Run the loop until it is so. */
#define WAIT(condition)                                                      \
	do {                                                                 \
		uint64_t end_ = clock_mono_us() + PATIENCE_US;               \
		while (!(condition)) {                                       \
			ck_assert_msg(clock_mono_us() < end_, "in vain: %s", \
			    #condition);                                     \
			turn();                                              \
		}                                                            \
	} while (0)

static inline void
make_ledger(void)
{
	const struct meter_config meter = {.statefd = statefd};
	struct err err = {0};

	world.store = store_open("memory", loop, statefd, &err);
	ck_assert_msg(world.store != NULL, "%s", err.msg);
	world.meter = meter_new(loop, world.store, &meter, &err);
	ck_assert_msg(world.meter != NULL, "%s", err.msg);
	world.logbook =
	    logbook_open(loop, statefd, "log", 1u << 20, LOGBOOK_QUIET, &err);
	ck_assert_msg(world.logbook != NULL, "%s", err.msg);
	world.metrics = metrics_new(0);
	world.recent = recent_new(16);
}

static inline void
make_catalog(void)
{
	static const struct catalog_callbacks from_catalog = {
	    .on_candidate = on_test_candidate,
	    .on_deployed = on_test_deployed,
	    .on_removed = on_test_removed,
	    .on_note = on_test_note,
	    .on_settled = on_test_settled,
	};
	static const struct upload_callbacks from_uploads = {
	    .run = on_test_run,
	    .on_note = on_test_note,
	};
	int functions;

	folder_mkdir("functions");
	folder_mkdir("uploads");
	functions = openat(folder_fd, "functions", O_RDONLY | O_DIRECTORY);
	world.catalog = catalog_new(loop, NULL, functions, "functions", 4,
	    &from_catalog, NULL);
	functions = openat(folder_fd, "uploads", O_RDONLY | O_DIRECTORY);
	world.uploads = uploads_new(loop, world.store, functions, statefd,
	    &from_uploads, NULL);
	(void)close(functions);
}

static inline void
setup(void)
{
	const struct http_limits limits = {.line_bytes = 8192,
	    .head_bytes = 65536,
	    .headers = 100,
	    .body_bytes = 1u << 20,
	    .head_timeout_ms = 60000,
	    .body_timeout_ms = 60000,
	    .idle_timeout_ms = 60000,
	    .write_timeout_ms = 60000,
	    .connections = 100,
	    .buffered_bytes = 8u << 20};
	struct err err = {0};

	folder_setup();
	folder_mkdir("state");
	statefd = openat(folder_fd, "state", O_RDONLY | O_DIRECTORY);
	loop = loop_new(&err);
	ticker = loop_timer_new(loop, on_ticker, NULL);
	world = (struct admin_world){.loop = loop,
	    .report = &report,
	    .self_test = &self_test,
	    .allowed = &allowed,
	    .ready = &is_ready,
	    .state_path = "/srv/state",
	    .functions_path = "/srv/\"functions\"",
	    .uploads_path = "/srv/uploads",
	    .listen = "[\"127.0.0.1:8080\"]",
	    .started_ms = 1767225600000,
	    .before_metrics = before_test_metrics,
	    .arg = &world};
	make_ledger();
	make_catalog();
	admin = admin_new(&world, &limits);
	listener = admin_socket_open(statefd, geteuid(), getegid(), &err);
	ck_assert_msg(listener >= 0, "%s", err.msg);
	admin_listen(admin, listener);
}

static inline void
teardown(void)
{
	uploads_stop(world.uploads);
	admin_free(admin);
	catalog_free(world.catalog);
	uploads_free(world.uploads);
	meter_free(world.meter);
	logbook_close(world.logbook);
	store_close(world.store);
	recent_free(world.recent);
	metrics_free(world.metrics);
	loop_timer_free(ticker);
	loop_free(loop);
	buf_fini(&self_test);
	buf_fini(&script.event);
	(void)close(listener);
	(void)close(statefd);
	folder_teardown();
}

/* Read the functions folder; what is there now serves, or is broken. */
static inline void
start_catalog(void)
{
	catalog_start(world.catalog);
	WAIT(settled);
}

/* --- a client ------------------------------------------------------------------- */

struct client {
	int fd;
	bool end; /* the server closed */
	struct buf got;
};

/* The socket's name may be too long for its path. */
static inline struct client
client_open(void)
{
	struct client c = {
	    .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	(void)snprintf(at.sun_path, sizeof(at.sun_path),
	    "/proc/self/fd/%d/" ADMIN_SOCKET, statefd);
	ck_assert_int_eq(connect(c.fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return c;
}

static inline void
client_send(const struct client *c, const char *method, const char *target,
    struct slice body)
{
	struct buf out = {0};

	buf_addf(&out, "%s %s HTTP/1.1\r\nHost: admin\r\n", method, target);
	buf_addf(&out, "Content-Length: %zu\r\nConnection: close\r\n\r\n",
	    body.n);
	buf_add_slice(&out, body);
	ck_assert_int_eq(send(c->fd, out.p, out.n, MSG_NOSIGNAL),
	    (ssize_t)out.n);
	buf_fini(&out);
}

/* Take what is there; has it ended? */
static inline bool
client_ended(struct client *c)
{
	while (!c->end) {
		ssize_t n =
		    recv(c->fd, buf_room(&c->got, 65536), 65536, MSG_DONTWAIT);

		if (n > 0)
			c->got.n += (size_t)n;
		else if (n == 0 || errno != EAGAIN)
			c->end = true;
		else
			break;
	}
	buf_putc(&c->got, '\0');
	c->got.n--;
	return c->end;
}

static inline bool
client_has(struct client *c, const char *text)
{
	(void)client_ended(c);
	return strstr(c->got.p, text) != NULL;
}

static inline void
client_close(struct client *c)
{
	(void)close(c->fd);
	buf_fini(&c->got);
}

/* --- answers -------------------------------------------------------------------- */

static struct buf answer; /* the last one, whole */

static inline const char *
answer_body(void)
{
	const char *end = strstr(answer.p, "\r\n\r\n");

	ck_assert_msg(end != NULL, "%s", answer.p);
	return end + 4;
}

/* Ask, and wait for the whole answer; its status. */
static inline int
ask(const char *method, const char *target, struct slice body)
{
	struct client c = client_open();
	int status = 0;

	client_send(&c, method, target, body);
	WAIT(client_ended(&c));
	buf_fini(&answer);
	answer = c.got;
	(void)close(c.fd);
	ck_assert_msg(sscanf(answer.p, "HTTP/1.1 %d ", &status) == 1, "%s",
	    answer.p);
	return status;
}

static inline json_t *
answer_json(void)
{
	json_error_t error;
	json_t *json =
	    json_loads(answer_body(), JSON_REJECT_DUPLICATES, &error);

	ck_assert_msg(json != NULL, "%s in %s", error.text, answer.p);
	return json;
}

/* GET that must succeed, with JSON. */
static inline json_t *
get(const char *target)
{
	ck_assert_msg(ask("GET", target, SLICE("")) == 200, "%s: %s", target,
	    answer.p);
	ck_assert_ptr_nonnull(
	    strstr(answer.p, "content-type: application/json\r\n"));
	return answer_json();
}

static inline const char *
text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	ck_assert_msg(text != NULL, "no text %s in %s", key, answer.p);
	return text;
}

static inline long long
number_of(const json_t *json, const char *key)
{
	const json_t *number = json_object_get(json, key);

	ck_assert_msg(json_is_integer(number), "no number %s in %s", key,
	    answer.p);
	return json_integer_value(number);
}

/* It fails with this status and reason, in words that have this one. */
static inline void
refuses(const char *method, const char *target, int status, const char *reason,
    const char *word)
{
	json_t *problem;

	ck_assert_msg(ask(method, target, SLICE("")) == status, "%s: %s",
	    target, answer.p);
	ck_assert_ptr_nonnull(
	    strstr(answer.p, "\r\nContent-Type: application/problem+json\r\n"));
	problem = answer_json();
	ck_assert_str_eq(text_of(problem, "reason"), reason);
	ck_assert_int_eq(number_of(problem, "status"), status);
	ck_assert_uint_eq(strlen(text_of(problem, "request_id")), 26);
	ck_assert_msg(strstr(text_of(problem, "detail"), word) != NULL,
	    "no \"%s\" in %s", word, answer.p);
	json_decref(problem);
}

static inline int
admin_test_run(const char *name, void (*add)(TCase *tcase))
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	add(tcase);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
