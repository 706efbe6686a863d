/*
 * cmd_deploy.c - deploy: check, copy, and wait for the verdict.
 *
 * Runs in: cli.
 *
 * The functions folder is the deployment, so this does nothing that `cp`
 * could not do; it does it atomically, and says what became of it.  The
 * verdict on a new version is known by changed_ms, the time of the server's
 * last decision on the function.
 */
#include "tools/cli/cli_priv.h"

#include "sandbox/base/cleanup.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"
#include "tools/cli/install.h"
#include "tools/cli/term.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <time.h>

#define WAIT_US	  15000000 /* for the verdict */
#define POLL_US	  50000
#define SETTLE_US 300000 /* two files are two changes: for the second one */

struct deploy {
	struct admin *admin;
	struct install_source source;
	json_t *info;
	int64_t before_ms; /* changed_ms before; 0: there was no function */
};

/* GET the function; *json_out NULL when there is none (yet). */
static int
look_up(const struct deploy *deploy, json_t **json_out)
{
	struct admin_request request = {.timeout_s = 30};
	struct admin_reply reply;
	struct buf path = {0};
	int rc;

	*json_out = NULL;
	buf_addf(&path, "/v1/functions/%s%c", deploy->source.name, '\0');
	request.path = path.p;
	rc = admin_call(deploy->admin, &request, &reply);
	if (rc == 0 && reply.status == 200)
		*json_out = json_loadb(reply.body.p, reply.body.n,
		    JSON_ALLOW_NUL, NULL);
	else if (rc == 0 && reply.status != 404)
		rc = admin_problem(&reply);
	admin_reply_fini(&reply);
	buf_fini(&path);
	return rc;
}

static int
open_functions(const struct deploy *deploy)
{
	const char *path = js_text(deploy->info, "functions_dir");
	int fd;

	if (path[0] != '/') {
		term_error("the server does not say where its functions "
			   "folder is");
		return -1;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		term_error("cannot open the server's functions folder %s: %s",
		    path, strerror(errno));
	return fd;
}

static bool
decided(const json_t *function, int64_t before_ms)
{
	if (function == NULL ||
	    strcmp(js_text(function, "state"), "reading") == 0)
		return false;
	return js_time(function, "changed_ms") != before_ms;
}

static void
pause_us(long us)
{
	const struct timespec ts = {0, us * 1000};

	(void)nanosleep(&ts, NULL);
}

/*
 * Poll until the server has decided; with a manifest, until it has not
 * decided anew for a moment.  *json_out NULL: it has not within WAIT_US.
 */
static int
await(const struct deploy *deploy, json_t **json_out)
{
	uint64_t began = clock_mono_us();
	uint64_t steady = began; /* since when the answer is the same */
	int64_t seen_ms = deploy->before_ms;
	bool patient = deploy->source.manifest;

	for (;;) {
		uint64_t now = clock_mono_us();
		json_t *function;
		int rc = look_up(deploy, &function);

		if (rc != 0)
			return rc;
		if (function != NULL &&
		    js_time(function, "changed_ms") != seen_ms) {
			seen_ms = js_time(function, "changed_ms");
			steady = now;
		}
		if (decided(function, deploy->before_ms) &&
		    (!patient || now - steady >= SETTLE_US)) {
			*json_out = function;
			return 0;
		}
		json_decref(function);
		if (now - began > WAIT_US) {
			*json_out = NULL;
			return 0;
		}
		pause_us(POLL_US);
	}
}

static void
say_where(const struct deploy *deploy, const json_t *function)
{
	const json_t *listen = json_object_get(deploy->info, "listen");
	const char *address = json_string_value(json_array_get(listen, 0));

	if (address != NULL)
		term_printf(stdout, TERM_PLAIN, "  http://%s%s\n", address,
		    js_text(function, "route"));
}

static int
say_verdict(const struct deploy *deploy, const json_t *function, bool changed)
{
	const char *error = js_text(function, "error");
	const char *name = deploy->source.name;
	uint64_t version = js_count(function, "version");

	if (error[0] != '\0' || js_is_null(function, "version")) {
		term_error("%s does not load: %s", name,
		    error[0] == '\0' ? "no reason given" : error);
		if (version > 0)
			term_printf(stderr, TERM_PLAIN,
			    "  version %" PRIu64 " goes on serving\n", version);
		return CLI_FAILED;
	}
	term_printf(stdout, TERM_GREEN,
	    changed ? "%s: version %" PRIu64 " serves %s\n"
		    : "%s: unchanged, version %" PRIu64 " serves %s\n",
	    name, version, js_text(function, "route"));
	say_where(deploy, function);
	return CLI_OK;
}

static int
late(const struct deploy *deploy)
{
	term_error("%s is in the functions folder, but the server has not "
		   "decided on it within %d s",
	    deploy->source.name, WAIT_US / 1000000);
	term_printf(stderr, TERM_PLAIN,
	    "  see: perilune describe %s, perilune logs %s\n",
	    deploy->source.name, deploy->source.name);
	return CLI_FAILED;
}

/* Copy it, wait, say it. */
static int
install(struct deploy *deploy, bool json)
{
	json_t *function = NULL;
	auto_close int dirfd = open_functions(deploy);
	bool changed = false;
	struct err err;
	int rc;

	if (dirfd < 0)
		return CLI_FAILED;
	rc = look_up(deploy, &function);
	if (rc != 0)
		return rc;
	if (install_put(dirfd, &deploy->source, &changed, &err) < 0) {
		term_error("not deployed: %s", err.msg);
		json_decref(function);
		return CLI_FAILED;
	}
	deploy->before_ms = js_time(function, "changed_ms");
	if (changed || !decided(function, 0)) {
		json_decref(function);
		rc = await(deploy, &function);
		if (rc != 0)
			return rc;
	}
	if (function == NULL)
		return late(deploy);
	if (json)
		(void)json_dumpf(function, stdout, JSON_COMPACT);
	if (json)
		(void)fputc('\n', stdout);
	rc = json && js_text(function, "error")[0] == '\0'
	    ? CLI_OK
	    : say_verdict(deploy, function, changed);
	json_decref(function);
	return rc;
}

static int
run_deploy(int argc, char **argv)
{
	const char *state = NULL;
	bool json = false;
	const struct opt opts[] = {OPT_STATE(&state), OPT_JSON(&json)};
	struct deploy deploy = {0};
	struct err err;
	int rc = opts_parse(OPTS(opts), &argc, argv, 1, 1, "PATH");

	if (rc != 0)
		return rc;
	if (install_look(&deploy.source, argv[1], &err) < 0) {
		term_error("%s", err.msg);
		rc = CLI_FAILED;
	} else if ((deploy.admin = admin_open(state)) == NULL) {
		rc = CLI_UNREACHABLE;
	} else if (cli_check_hook != NULL && cli_check_hook(argv[1]) != 0) {
		term_error("not deployed: %s does not pass the check", argv[1]);
		rc = CLI_FAILED;
	} else {
		rc = admin_get(deploy.admin, "/v1/info", &deploy.info);
	}
	if (rc == 0)
		rc = install(&deploy, json);
	json_decref(deploy.info);
	admin_close(deploy.admin);
	install_source_fini(&deploy.source);
	return rc;
}

const struct cli_command cmd_deploy = {"deploy",
    "deploy PATH [--json] [--state DIR]",
    "check a function, copy it to the server, wait until it serves",
    "PATH is NAME.lua (NAME.json beside it comes along; without one, the "
    "server's\nmanifest stays) or a folder NAME with init.lua.  The copy "
    "appears in one step; a\nversion that does not load leaves the old one "
    "serving, and the command says why\nand fails.  Saving a file in the "
    "functions folder does the same.\n"
    "\nOptions:\n"
    "  --json            print the function as the server describes "
    "it\n" HELP_STATE "\nExamples:\n"
    "  perilune deploy hello.lua\n"
    "  perilune deploy src/report/\n",
    run_deploy};
