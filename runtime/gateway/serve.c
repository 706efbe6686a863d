/*
 * serve.c - `perilune serve`: what must be opened before root is given up.
 *
 * Runs in: supervisor; the gateway is its child.
 * Owns:    the descriptors that the gateway inherits.
 */
#include "runtime/admin/socket.h"
#include "runtime/gateway/commands.h"
#include "runtime/gateway/gateway.h"
#include "runtime/gateway/wall.h"
#include "runtime/pool/zygote.h"
#include "runtime/supervisor/supervisor.h"
#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"
#include "tools/cli/cli.h"
#include "tools/cli/opts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG	       4096
#define NAME_MAX_BYTES 280

/* Everything that `serve` holds. */
struct serve {
	struct gateway_config gateway;
	struct supervisor_config supervisor;
	const char *functions;
	const char *state;
	const char *uploads;
	const char *listen;
	const char *config;
	const char *allow;
	char functions_path[PATH_MAX];
	char state_path[PATH_MAX];
	char uploads_path[PATH_MAX];
	char config_path[PATH_MAX];
	char start_path[PATH_MAX];
	char names[SUPERVISOR_LISTEN_MAX][NAME_MAX_BYTES];
	char program[PATH_MAX];
	uid_t uid;
	gid_t gid;
};

/* --- directories ----------------------------------------------------------------- */

static int
open_dir(const char *path, char full_out[PATH_MAX], struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, "%s", path);
	if (realpath(path, full_out) == NULL)
		(void)snprintf(full_out, PATH_MAX, "%s", path);
	return fd;
}

/* Make a directory of ours and give it to whom the gateway runs as. */
static int
own_dir(const struct serve *s, const char *path, mode_t mode, struct err *err)
{
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make %s", path);
	if (geteuid() != 0)
		return 0;
	if (stat(path, &st) < 0)
		return err_sys(err, "%s", path);
	if (st.st_uid != s->uid && chown(path, s->uid, s->gid) < 0)
		return err_sys(err, "cannot give %s to the user that serves",
		    path);
	return 0;
}

static int
open_state(struct serve *s, struct err *err)
{
	if (own_dir(s, s->state, 0700, err) < 0)
		return err_wrap(err,
		    "state directory (name another one with --state DIR)");
	s->gateway.state_fd = open_dir(s->state, s->state_path, err);
	if (s->gateway.state_fd < 0)
		return -1;
	if (faccessat(s->gateway.state_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return err_set(err, ERR_BAD_INPUT,
		    "the state directory %s is not writable: name another one "
		    "with --state DIR",
		    s->state);
	s->gateway.state_path = s->state_path;
	return 0;
}

static int
open_functions(struct serve *s, struct err *err)
{
	s->gateway.functions_fd =
	    open_dir(s->functions, s->functions_path, err);
	if (s->gateway.functions_fd < 0) {
		(void)err_wrap(err,
		    "functions directory (make it, or name another one with "
		    "--functions DIR)");
		return -1;
	}
	s->gateway.functions_path = s->functions_path;
	return 0;
}

/* `uploads` beside the functions directory. */
static void
default_uploads(const struct serve *s, char out[PATH_MAX + 16])
{
	const char *slash = strrchr(s->functions_path, '/');
	int folder = slash == NULL ? 0 : (int)(slash - s->functions_path) + 1;

	(void)snprintf(out, PATH_MAX + 16, "%.*suploads", folder,
	    s->functions_path);
}

static int
open_uploads(struct serve *s, struct err *err)
{
	char beside[PATH_MAX + 16];
	const char *path = s->uploads;

	default_uploads(s, beside);
	if (path == NULL && s->gateway.settings.uploads[0] != '\0')
		path = s->gateway.settings.uploads;
	if (path == NULL)
		path = beside;
	if (own_dir(s, path, 0755, err) < 0)
		return err_wrap(err,
		    "uploads directory (name another one with --uploads DIR)");
	s->gateway.uploads_fd = open_dir(path, s->uploads_path, err);
	s->gateway.uploads_path = s->uploads_path;
	return s->gateway.uploads_fd < 0 ? -1 : 0;
}

/* --- sockets ----------------------------------------------------------------------- */

static int
name_socket(int fd, char name_out[NAME_MAX_BYTES])
{
	struct sockaddr_storage address;
	socklen_t bytes = sizeof(address);
	char host[NI_MAXHOST];
	char port[NI_MAXSERV];

	if (getsockname(fd, (struct sockaddr *)&address, &bytes) < 0 ||
	    getnameinfo((struct sockaddr *)&address, bytes, host, sizeof(host),
		port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -1;
	(void)snprintf(name_out, NAME_MAX_BYTES,
	    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	    address.ss_family == AF_INET6 ? "[%.200s]:%.20s" : "%.200s:%.20s",
	    host, port);
	return 0;
}

static int
listen_at(const struct addrinfo *at, const char *what, struct err *err)
{
	auto_close int fd = socket(at->ai_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int yes = 1;

	if (fd < 0)
		return err_sys(err, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (at->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes,
		    sizeof(yes));
	if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		if (errno == EADDRINUSE)
			return err_set(err, ERR_BAD_INPUT,
			    "%s is in use: stop what listens there, or name "
			    "another port with --listen ADDR:PORT",
			    what);
		return err_sys(err, "cannot listen on %s", what);
	}
	return steal_fd(&fd);
}

/* "127.0.0.1:8080", "[::1]:0", "localhost:80" */
static int
open_listener(const char *text, struct err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	uint64_t port;
	const char *colon = strrchr(text, ':');
	char host[256];
	int got;
	int fd;

	if (colon == NULL || !slice_u64(slice_of(colon + 1), 65535, &port) ||
	    !slice_copy(host, sizeof(host),
		slice_from(text, (size_t)(colon - text))))
		return err_set(err, ERR_BAD_INPUT,
		    "--listen %s: must be ADDR:PORT, as in 127.0.0.1:8080, "
		    "with a port up to 65535",
		    text);
	if (host[0] == '[' && colon > text && colon[-1] == ']') {
		(void)slice_copy(host, sizeof(host),
		    slice_from(text + 1, (size_t)(colon - text) - 2));
	}
	got = getaddrinfo(host, colon + 1, &hints, &found);
	if (got != 0)
		return err_set(err, ERR_BAD_INPUT, "--listen %s: %s", text,
		    gai_strerror(got));
	fd = listen_at(found, text, err);
	freeaddrinfo(found);
	return fd;
}

static int
open_listeners(struct serve *s, struct err *err)
{
	auto_free char *copy = slice_dup(slice_of(s->listen));
	char *rest = NULL;

	for (char *one = strtok_r(copy, ",", &rest); one != NULL;
	     one = strtok_r(NULL, ",", &rest)) {
		size_t i = s->gateway.nlisten;

		if (i == SUPERVISOR_LISTEN_MAX)
			return err_set(err, ERR_BAD_INPUT,
			    "--listen: at most %d addresses",
			    SUPERVISOR_LISTEN_MAX);
		s->gateway.listen_fds[i] = open_listener(one, err);
		if (s->gateway.listen_fds[i] < 0 ||
		    name_socket(s->gateway.listen_fds[i], s->names[i]) < 0)
			return -1;
		s->gateway.listen_names[i] = s->names[i];
		s->gateway.nlisten++;
	}
	return 0;
}

static int
open_admin(struct serve *s, struct err *err)
{
	s->gateway.admin_fd =
	    admin_socket_open(s->gateway.state_fd, s->uid, s->gid, err);
	return s->gateway.admin_fd < 0 ? err_wrap(err, "%s", s->state) : 0;
}

static int
open_metrics(struct serve *s, struct err *err)
{
	char where[32];

	s->gateway.metrics_fd = -1;
	if (s->gateway.settings.metrics_port == 0)
		return 0;
	(void)snprintf(where, sizeof(where), "127.0.0.1:%u",
	    (unsigned int)s->gateway.settings.metrics_port);
	s->gateway.metrics_fd = open_listener(where, err);
	return s->gateway.metrics_fd < 0 ? -1 : 0;
}

/* --- all of it ----------------------------------------------------------------------- */

static int
parse(struct serve *s, int argc, char **argv)
{
	const struct opt opts[] = {
	    {"functions", 0, OPT_TEXT, &s->functions, 0, 0},
	    {"listen", 0, OPT_TEXT, &s->listen, 0, 0},
	    {"state", 0, OPT_TEXT, &s->state, 0, 0},
	    {"uploads", 0, OPT_TEXT, &s->uploads, 0, 0},
	    {"config", 0, OPT_TEXT, &s->config, 0, 0},
	    {"allow-weaker-sandbox", 0, OPT_TEXT, &s->allow, 0, 0},
	    {"dev", 0, OPT_FLAG, &s->gateway.dev, 0, 0},
	};
	const char *state = getenv("PERILUNE_STATE");

	s->functions = "functions";
	s->listen = "127.0.0.1:8080";
	s->state = state != NULL && state[0] != '\0' ? state : ".perilune";
	return opts_parse(OPTS(opts), &argc, argv, 0, 0, "");
}

static int
allow_layers(struct serve *s, struct err *err)
{
	auto_free char *copy =
	    slice_dup(slice_of(s->allow == NULL ? "" : s->allow));
	char *rest = NULL;

	for (char *one = strtok_r(copy, ",", &rest); one != NULL;
	     one = strtok_r(NULL, ",", &rest))
		if (wall_allow(one, &s->gateway.allowed, err) < 0)
			return err_wrap(err, "--allow-weaker-sandbox");
	return 0;
}

/* The gateway runs in the state directory: keep the path from the root. */
static int
load_settings(struct serve *s, struct err *err)
{
	settings_init(&s->gateway.settings);
	if (s->config == NULL)
		return 0;
	if (settings_load(&s->gateway.settings, s->config, err) < 0)
		return -1;
	if (realpath(s->config, s->config_path) == NULL)
		return err_sys(err, "%s", s->config);
	s->gateway.config_path = s->config_path;
	if (getcwd(s->start_path, sizeof(s->start_path)) == NULL)
		return err_sys(err, "current directory");
	s->gateway.start_path = s->start_path;
	if (s->gateway.settings.price_card[0] != '\0') {
		char full[PATH_MAX];

		if (realpath(s->gateway.settings.price_card, full) == NULL)
			return err_sys(err, "price card %s",
			    s->gateway.settings.price_card);
		free(s->gateway.settings.price_card);
		s->gateway.settings.price_card = slice_dup(slice_of(full));
	}
	return 0;
}

static int
prepare(struct serve *s, struct err *err)
{
	if (load_settings(s, err) < 0 || allow_layers(s, err) < 0 ||
	    zygote_program(s->program, sizeof(s->program), err) < 0 ||
	    zygote_identity(s->gateway.settings.user, &s->uid, &s->gid, err) <
		0 ||
	    open_functions(s, err) < 0 || open_state(s, err) < 0 ||
	    open_uploads(s, err) < 0 || open_admin(s, err) < 0 ||
	    open_listeners(s, err) < 0 || open_metrics(s, err) < 0)
		return -1;
	return 0;
}

static int
run_gateway(int fd, void *arg)
{
	const struct serve *s = arg;

	return gateway_run(&s->gateway, fd);
}

/* As many descriptors as we may have: connections and workers need them. */
static void
raise_limits(void)
{
	struct rlimit files;
	const struct rlimit none = {0, 0};

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)setrlimit(RLIMIT_CORE, &none);
}

int
command_serve(int argc, char **argv)
{
	static struct serve s;
	struct err err = {0};
	int status = parse(&s, argc, argv);

	if (status != 0)
		return status;
	if (prepare(&s, &err) < 0) {
		(void)fprintf(stderr, "perilune: %s\n", err.msg);
		return CLI_FAILED;
	}
	raise_limits();
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	s.supervisor = (struct supervisor_config){
	    .sandbox_program = s.program,
	    .uid = s.uid,
	    .gid = s.gid,
	    .gateway = run_gateway,
	    .arg = &s,
	};
	status = supervisor_run(&s.supervisor);
	(void)unlinkat(s.gateway.state_fd, ADMIN_SOCKET, 0);
	settings_fini(&s.gateway.settings);
	return status;
}
