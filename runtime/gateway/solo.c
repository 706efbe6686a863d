/*
 * solo.c - see solo.h.
 *
 * Runs in: cli.
 * Owns:    see solo.h.
 */
#include "runtime/gateway/solo.h"

#include "runtime/gateway/wall.h"
#include "runtime/loop/loop.h"
#include "runtime/policy/settings.h"
#include "runtime/pool/zygote.h"
#include "sandbox/base/err.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define HELLO_WAIT_US 10000000

struct solo {
	struct loop *loop;
	struct calls *calls;
	struct jail_report report;
	struct buf self_test;
	struct buf lua;
	unsigned int failed;
	unsigned int allowed;
	bool greeted;
	bool refused;
	struct buf why;
	pid_t zygote;
	void (
	    *log)(enum wire_log level, struct slice text, struct slice fields);
	int built; /* 0, or -1 */
};

static void
log_to_stderr(enum wire_log level, struct slice text, struct slice fields)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};

	(void)fprintf(stderr, "%s: %.*s", names[level], (int)text.n, text.p);
	if (fields.n > 0)
		(void)fprintf(stderr, " %.*s", (int)fields.n, fields.p);
	(void)fputc('\n', stderr);
}

static void
on_log(const struct fn_version *version, const char *request_id,
    enum wire_log level, struct slice text, struct slice fields, void *arg)
{
	const struct solo *solo = arg;

	(solo->log == NULL ? log_to_stderr : solo->log)(level, text, fields);
}

static void
on_record(struct record *record, void *arg)
{
}

static void
on_over(const struct fn_version *version, const struct call_result *result,
    void *arg)
{
}

static void
on_note(const struct fn_version *version, const char *what, void *arg)
{
}

static int
on_hello(const struct pool_hello *hello, void *arg)
{
	struct solo *solo = arg;

	solo->report = hello->report;
	solo->failed = hello->failed;
	buf_add_slice(&solo->self_test, hello->self_test);
	buf_add_slice(&solo->lua, hello->lua);
	solo->greeted = true;
	if (solo->allowed != ~0u &&
	    wall_judge(&hello->report, hello->failed, solo->allowed,
		&solo->why) < 0)
		solo->refused = true;
	loop_stop(solo->loop);
	return 0;
}

static void
on_gone(void *arg)
{
	struct solo *solo = arg;

	loop_stop(solo->loop);
}

static void
on_wait_over(void *arg)
{
	struct solo *solo = arg;

	loop_stop(solo->loop);
}

static int
start_zygote(struct solo *solo, struct err *err)
{
	char program[PATH_MAX];
	struct zygote_config config = {.program = program};
	struct settings settings;
	int control;
	int got;

	settings_init(&settings);
	got = zygote_identity(settings.user, &config.uid, &config.gid, err);
	settings_fini(&settings);
	if (got < 0 || zygote_program(program, sizeof(program), err) < 0 ||
	    zygote_start(&config, &solo->zygote, &control, err) < 0)
		return -1;
	pool_attach(calls_pool(solo->calls), control);
	return 0;
}

static int
wait_for_hello(struct solo *solo, struct err *err)
{
	struct loop_timer *timer =
	    loop_timer_new(solo->loop, on_wait_over, solo);

	loop_timer_start(timer, HELLO_WAIT_US);
	(void)loop_run(solo->loop, err);
	loop_timer_free(timer);
	if (!solo->greeted)
		return err_set(err, ERR_SYSTEM,
		    "the sandbox did not start (its reason stands above)");
	if (solo->refused)
		return err_set(err, ERR_SYSTEM, "%.*s", (int)solo->why.n,
		    solo->why.p);
	return 0;
}

struct solo *
solo_open(unsigned int allowed, struct err *err)
{
	const struct calls_callbacks callbacks = {
	    .on_record = on_record,
	    .on_over = on_over,
	    .on_log = on_log,
	    .on_note = on_note,
	};
	const struct call_limits limits = {
	    .max_queue = 16,
	    .max_queue_bytes = (uint64_t)1 << 30,
	    .max_queue_wait_ms = 30000,
	    .init_timeout_ms = 10000,
	    .kill_grace_ms = 20,
	    .max_log_bytes = (uint64_t)16 << 20,
	    .image_cache_bytes = (uint64_t)1 << 30,
	};
	struct solo *solo = calloc(1, sizeof(*solo));

	if (solo == NULL)
		abort();
	(void)signal(SIGPIPE, SIG_IGN);
	solo->allowed = allowed;
	solo->loop = loop_new(err);
	if (solo->loop == NULL) {
		free(solo);
		return NULL;
	}
	solo->calls = calls_new(solo->loop, &limits, 0, 4, &callbacks, solo);
	calls_on_zygote(solo->calls, on_hello, on_gone, solo);
	if (start_zygote(solo, err) < 0 || wait_for_hello(solo, err) < 0) {
		solo_close(solo);
		return NULL;
	}
	return solo;
}

const struct jail_report *
solo_report(const struct solo *solo)
{
	return &solo->report;
}

struct slice
solo_self_test(const struct solo *solo)
{
	return buf_slice(&solo->self_test);
}

struct slice
solo_lua(const struct solo *solo)
{
	return buf_slice(&solo->lua);
}

unsigned int
solo_failed_tests(const struct solo *solo)
{
	return solo->failed;
}

struct loop *
solo_loop(struct solo *solo)
{
	return solo->loop;
}

struct calls *
solo_calls(struct solo *solo)
{
	return solo->calls;
}

void
solo_on_log(struct solo *solo,
    void (*log)(enum wire_log level, struct slice text, struct slice fields))
{
	solo->log = log;
}

static void
on_built(struct fn_version *version, const char *error, void *arg)
{
	struct solo *solo = arg;

	solo->built = error == NULL ? 0 : -1;
	if (error != NULL)
		(void)fprintf(stderr, "perilune: %s: %s\n", version->name,
		    error);
	loop_stop(solo->loop);
}

int
solo_build(struct solo *solo, struct fn_version *version)
{
	struct err err;

	solo->built = -1;
	calls_build(solo->calls, version, on_built, solo);
	(void)loop_run(solo->loop, &err);
	return solo->built;
}

void
solo_close(struct solo *solo)
{
	if (solo == NULL)
		return;
	calls_free(solo->calls);
	if (solo->zygote != 0) {
		(void)kill(solo->zygote, SIGKILL);
		(void)waitpid(solo->zygote, NULL, 0);
	}
	loop_free(solo->loop);
	buf_fini(&solo->self_test);
	buf_fini(&solo->lua);
	buf_fini(&solo->why);
	free(solo);
}
