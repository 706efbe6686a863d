/*
 * gateway.c - see gateway.h.
 *
 * Runs in: gateway.
 * Owns:    the one struct gateway.
 *
 *	make everybody -> run the loop -> drain -> flush -> free in reverse
 *
 * Ready: a zygote has said hello and its wall is whole (or its holes are
 * allowed by name), and the functions found at start are deployed or broken,
 * or READY_WAIT_US have passed.
 */
#include "runtime/gateway/gateway.h"

#include "runtime/gateway/gateway_priv.h"

#include "runtime/admin/admin.h"
#include "runtime/gateway/wall.h"
#include "runtime/loop/loop.h"
#include "runtime/trigger/upload_call.h"
#include "sandbox/base/cleanup.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHORES_US	1000000
#define DAY_MS		INT64_C(86400000)
#define READY_WAIT_US	900000
#define PARALLEL_BUILDS 4
#define RECENT_RECORDS	512

static void
on_upload_run(const struct upload_run *run, void *arg)
{
	struct gateway *g = arg;

	upload_calls_run(run, g->upload_calls);
}

/* --- functions ------------------------------------------------------------------------ */

static void
on_built(struct fn_version *version, const char *error, void *arg)
{
	struct gateway *g = arg;
	const char *result = error == NULL ? "ok" : "failed";

	series_add(metrics_series(g->metrics, METRIC_DEPLOYS, &result), 1);
	if (error == NULL) {
		catalog_accept(g->catalog, version);
		return;
	}
	gateway_note(g, LOG_LEVEL_ERROR, version->name, error);
	catalog_reject(g->catalog, version, error);
}

static void
on_candidate(struct fn_version *candidate, void *arg)
{
	struct gateway *g = arg;

	calls_build(g->calls, candidate, on_built, g);
}

static void
on_deployed(struct fn_version *now, struct fn_version *before, void *arg)
{
	struct gateway *g = arg;
	char text[96];

	calls_activate(g->calls, now, before);
	uploads_set(g->uploads, now->name, now);
	if (now == before)
		return;
	(void)snprintf(text, sizeof(text), "version %u serves at %.64s",
	    now->number, now->manifest.route);
	gateway_note(g, LOG_LEVEL_INFO, now->name, text);
}

static void
on_removed(struct fn_version *before, void *arg)
{
	struct gateway *g = arg;

	calls_deactivate(g->calls, before);
	uploads_set(g->uploads, before->name, NULL);
	metrics_forget(g->metrics, before->name);
	gateway_note(g, LOG_LEVEL_INFO, before->name, "removed");
}

/* --- ready ------------------------------------------------------------------------------ */

static void
say_ready(struct gateway *g)
{
	char word = SUPERVISOR_READY;

	for (size_t i = 0; i < g->config->nlisten; i++)
		(void)printf("perilune: ready on http://%s\n",
		    g->config->listen_names[i]);
	(void)fflush(stdout);
	(void)send(g->supervisor_fd, &word, 1, MSG_NOSIGNAL);
}

static void
maybe_ready(struct gateway *g)
{
	if (g->ready || pool_generation(calls_pool(g->calls)) == 0 ||
	    !(g->settled || g->waited))
		return;
	g->ready = true;
	web_set_ready(g->web, true);
	for (size_t i = 0; i < g->config->nlisten; i++)
		web_listen(g->web, g->config->listen_fds[i]);
	say_ready(g);
}

static void
on_settled(void *arg)
{
	struct gateway *g = arg;

	g->settled = true;
	maybe_ready(g);
}

static void
on_ready_wait(void *arg)
{
	struct gateway *g = arg;

	g->waited = true;
	maybe_ready(g);
}

/* --- the zygote ------------------------------------------------------------------------- */

static void
stop_now(struct gateway *g, int status)
{
	g->status = status;
	loop_stop(g->loop);
}

static void
on_greeted(void *arg)
{
	struct gateway *g = arg;

	if (pool_generation(calls_pool(g->calls)) > 1)
		catalog_rescan(g->catalog);
	maybe_ready(g);
}

/* -1 when there is no wall: then there is no Perilune either. */
static int
on_hello(const struct pool_hello *hello, void *arg)
{
	struct gateway *g = arg;
	struct buf why = {0};
	int verdict;

	g->report = hello->report;
	buf_reset(&g->self_test, 0);
	buf_add_slice(&g->self_test, hello->self_test);
	verdict =
	    wall_judge(&hello->report, hello->failed, g->config->allowed, &why);
	if (why.n > 0) {
		buf_putc(&why, '\0');
		gateway_note(g, verdict < 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN,
		    NULL, why.p);
	}
	buf_fini(&why);
	if (verdict < 0)
		stop_now(g, SUPERVISOR_EXIT_GIVE_UP);
	else
		loop_defer(g->loop, on_greeted, g);
	return verdict;
}

static void
on_zygote_gone(void *arg)
{
	struct gateway *g = arg;

	if (!g->stopping)
		gateway_note(g, LOG_LEVEL_WARN, NULL, "the zygote is gone");
}

/* The supervisor passes the control socket of a new zygote. */
static void
on_supervisor(unsigned int ready, void *arg)
{
	struct gateway *g = arg;
	char word;
	struct iovec iov = {.iov_base = &word, .iov_len = 1};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	ssize_t n =
	    recvmsg(g->supervisor_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header;
	int fd;

	if (n == 0) { /* it is gone; our death signal is on its way */
		loop_watch_want(g->supervisor, 0);
		return;
	}
	header = n == 1 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (header == NULL || word != SUPERVISOR_ZYGOTE ||
	    header->cmsg_type != SCM_RIGHTS)
		return;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
		pool_attach(calls_pool(g->calls), fd);
}

/* --- the end --------------------------------------------------------------------------------- */

static void
on_flushed(void *arg)
{
	stop_now(arg, 0);
}

static void
on_answers_sent(void *arg)
{
	struct gateway *g = arg;

	meter_flush(g->meter, on_flushed, g);
}

static void
on_calls_drained(void *arg)
{
	struct gateway *g = arg;

	/* Their answers may still be on the way out. */
	http_server_drain(web_server(g->web), on_answers_sent, g);
}

/* Ctrl-C reaches every process of the group: the supervisor tells us. */
static void
on_interrupt(int signal, void *arg)
{
}

/* No connection is left; calls that uploads began may still run. */
static void
on_half_drained(void *arg)
{
}

static void
on_term(int signal, void *arg)
{
	struct gateway *g = arg;

	if (g->stopping) {
		stop_now(g, 1);
		return;
	}
	g->stopping = true;
	web_set_ready(g->web, false);
	gateway_note(g, LOG_LEVEL_INFO, NULL, "draining");
	uploads_stop(g->uploads);
	http_server_drain(web_server(g->web), on_half_drained, g);
	calls_drain(g->calls, g->settings.drain_timeout_ms, on_calls_drained,
	    g);
}

/* --- now and then --------------------------------------------------------- */

static void
on_compacted(const struct err *err, void *arg)
{
	if (err != NULL)
		gateway_note(arg, LOG_LEVEL_WARN, NULL, err->msg);
}

/* Say it when the way into the ledger is blocked, and when it is not. */
static void
watch_meter(struct gateway *g)
{
	const char *now = meter_note(g->meter);

	if (now == g->meter_said)
		return;
	gateway_note(g, now == NULL ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, NULL,
	    now == NULL ? "the ledger takes records again" : now);
	g->meter_said = now;
}

static void
on_chores(void *arg)
{
	struct gateway *g = arg;
	int64_t now_ms = clock_wall_ms();

	watch_meter(g);
	if (g->unlogged > 0 && now_ms / 1000 != g->log_second)
		gateway_log_second(g, now_ms / 1000);
	if (now_ms - g->compacted_ms > DAY_MS) {
		g->compacted_ms = now_ms;
		store_compact(g->store,
		    now_ms - (int64_t)g->settings.ledger_days * DAY_MS,
		    on_compacted, g);
	}
	loop_timer_start(g->chores, CHORES_US);
}

/* --- life --------------------------------------------------------------------------------------- */

static int
make_log(struct gateway *g, struct err *err)
{
	g->metrics = metrics_new(0);
	g->recent = recent_new(RECENT_RECORDS);
	g->logbook = logbook_open(g->loop, g->config->state_fd, "log",
	    g->settings.log_file_bytes,
	    g->config->dev ? LOGBOOK_ALL : LOGBOOK_PLATFORM, err);
	return g->logbook == NULL ? -1 : 0;
}

static int
make_state(struct gateway *g, struct err *err)
{
	const struct meter_config meter = {
	    .price_card = g->settings.price_card,
	    .statefd = g->config->state_fd,
	};

	if (fchdir(g->config->state_fd) < 0)
		return err_sys(err, "state directory %s",
		    g->config->state_path);
	g->loop = loop_new(err);
	if (g->loop == NULL)
		return -1;
	g->store = store_open("sqlite", g->loop, g->config->state_fd, err);
	if (g->store == NULL)
		return -1;
	g->meter = meter_new(g->loop, g->store, &meter, err);
	return g->meter == NULL ? -1 : 0;
}

static void
make_functions(struct gateway *g)
{
	const struct calls_callbacks from_calls = {
	    .may_record = gateway_may_record,
	    .on_record = gateway_on_record,
	    .on_over = gateway_on_over,
	    .on_log = gateway_on_log,
	    .on_note = gateway_on_call_note,
	};
	const struct catalog_callbacks from_catalog = {
	    .on_candidate = on_candidate,
	    .on_deployed = on_deployed,
	    .on_removed = on_removed,
	    .on_note = gateway_on_catalog_note,
	    .on_settled = on_settled,
	};
	const struct upload_callbacks from_uploads = {
	    .run = on_upload_run,
	    .on_note = gateway_on_upload_note,
	};
	const struct call_limits limits = gateway_call_limits(&g->settings);

	g->calls =
	    calls_new(g->loop, &limits, (unsigned int)g->settings.ready_workers,
		(unsigned int)g->settings.max_workers, &from_calls, g);
	calls_on_zygote(g->calls, on_hello, on_zygote_gone, g);
	g->catalog = catalog_new(g->loop, g->store, g->config->functions_fd,
	    g->config->functions_path, PARALLEL_BUILDS, &from_catalog, g);
	g->upload_calls = upload_calls_new(g->loop, g->catalog, g->calls);
	g->uploads = uploads_new(g->loop, g->store, g->config->uploads_fd,
	    g->config->state_fd, &from_uploads, g);
	upload_calls_report_to(g->upload_calls, g->uploads);
}

static void
make_front(struct gateway *g)
{
	const struct http_limits limits = gateway_http_limits(&g->settings);
	const struct web_config web = gateway_web_config(g);
	struct admin_world world;

	g->web = web_new(g->loop, g->catalog, g->calls, &web);
	buf_putc(&g->listen_json, '[');
	for (size_t i = 0; i < g->config->nlisten; i++) {
		if (i > 0)
			buf_putc(&g->listen_json, ',');
		buf_json_string(&g->listen_json,
		    slice_of(g->config->listen_names[i]));
	}
	buf_puts(&g->listen_json, "]");
	buf_putc(&g->listen_json, '\0');
	world = (struct admin_world){
	    .loop = g->loop,
	    .catalog = g->catalog,
	    .calls = g->calls,
	    .meter = g->meter,
	    .store = g->store,
	    .uploads = g->uploads,
	    .logbook = g->logbook,
	    .metrics = g->metrics,
	    .recent = g->recent,
	    .web = g->web,
	    .report = &g->report,
	    .self_test = &g->self_test,
	    .allowed = &g->config->allowed,
	    .ready = &g->ready,
	    .state_path = g->config->state_path,
	    .functions_path = g->config->functions_path,
	    .uploads_path = g->config->uploads_path,
	    .listen = g->listen_json.p,
	    .started_ms = g->started_ms,
	    .dev = g->config->dev,
	    .before_metrics = gateway_update_metrics,
	    .arg = g,
	};
	g->admin = admin_new(&world, &limits);
	admin_listen(g->admin, g->config->admin_fd);
	if (g->config->metrics_fd >= 0)
		admin_listen_metrics(g->admin, g->config->metrics_fd);
}

static int
watch_signals(struct gateway *g, struct err *err)
{
	(void)signal(SIGPIPE, SIG_IGN);
	if (loop_signal(g->loop, SIGTERM, on_term, g, err) < 0 ||
	    loop_signal(g->loop, SIGINT, on_interrupt, g, err) < 0 ||
	    loop_signal(g->loop, SIGHUP, gateway_on_hup, g, err) < 0)
		return -1;
	g->supervisor =
	    loop_watch_new(g->loop, g->supervisor_fd, on_supervisor, g);
	loop_watch_want(g->supervisor, LOOP_READ);
	g->ready_timer = loop_timer_new(g->loop, on_ready_wait, g);
	loop_timer_start(g->ready_timer, READY_WAIT_US);
	g->chores = loop_timer_new(g->loop, on_chores, g);
	loop_timer_start(g->chores, CHORES_US);
	return 0;
}

/* In reverse order of making; NULL is fine everywhere. */
static void
unmake(struct gateway *g)
{
	uploads_stop(g->uploads);
	admin_free(g->admin);
	web_free(g->web);
	catalog_free(g->catalog);
	calls_free(g->calls);
	uploads_free(g->uploads);
	upload_calls_free(g->upload_calls);
	meter_free(g->meter);
	logbook_close(g->logbook);
	store_close(g->store);
	recent_free(g->recent);
	metrics_free(g->metrics);
	loop_watch_free(g->supervisor);
	loop_timer_free(g->ready_timer);
	loop_timer_free(g->chores);
	loop_free(g->loop);
	buf_fini(&g->self_test);
	buf_fini(&g->listen_json);
	settings_fini(&g->settings);
}

int
gateway_run(const struct gateway_config *config, int supervisor_fd)
{
	static struct gateway gateway;
	struct gateway *g = &gateway;
	struct err err = {0};

	g->config = config;
	g->supervisor_fd = supervisor_fd;
	g->started_ms = clock_wall_ms();
	g->settings = config->settings; /* this process's own copy */
	if (make_state(g, &err) < 0 || make_log(g, &err) < 0 ||
	    (make_functions(g), watch_signals(g, &err)) < 0) {
		(void)fprintf(stderr, "perilune: %s\n", err.msg);
		return SUPERVISOR_EXIT_GIVE_UP;
	}
	make_front(g);
	catalog_start(g->catalog);
	uploads_start(g->uploads);
	if (loop_run(g->loop, &err) < 0) {
		(void)fprintf(stderr, "perilune: %s\n", err.msg);
		g->status = 1;
	}
	unmake(g);
	return g->status;
}
