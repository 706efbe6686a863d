/*
 * supervisor.c - see supervisor.h.
 *
 * Runs in: supervisor.
 * Owns:    see supervisor.h.
 *
 * One loop around signalfd and a timer of its own: no libevent, no threads,
 * so that fork and clone are plain.
 */
#include "runtime/supervisor/supervisor.h"

#include "runtime/pool/zygote.h"
#include "runtime/supervisor/backoff.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that is kept alive. */
struct ward {
	const char *name;
	pid_t pid; /* 0: not running */
	uint64_t started_us;
	uint64_t start_at_us; /* when pid is 0 */
	struct backoff backoff;
};

struct supervisor {
	const struct supervisor_config *config;
	struct ward gateway;
	struct ward zygote;
	int signals; /* signalfd */
	int gateway_fd;
	int control_fd; /* of a zygote that no gateway has yet; -1 */
	bool ready;	/* the gateway has been ready once */
	bool stopping;
	int status;
};

static struct {
	char *memory;
	size_t bytes;
} title;

extern char **environ;

/* The strings of argv and of the environment stand in one run of bytes. */
void
supervisor_prepare_title(int argc, char **argv)
{
	char *end = argv[argc - 1] + strlen(argv[argc - 1]);
	size_t n = 0;
	char **copy;

	while (environ[n] != NULL)
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	if (copy == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		if (environ[i] == end + 1)
			end = environ[i] + strlen(environ[i]);
		copy[i] = strdup(environ[i]);
		if (copy[i] == NULL)
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
			return;
	}
	environ = copy;
	title.memory = argv[0];
	title.bytes = (size_t)(end - argv[0]);
}

void
supervisor_set_title(const char *text)
{
	if (title.bytes == 0)
		return;
	memset(title.memory, 0, title.bytes);
	(void)snprintf(title.memory, title.bytes, "%s", text);
	(void)prctl(PR_SET_NAME, "perilune");
}

static void
say(const char *what)
{
	(void)fprintf(stderr, "perilune: supervisor: %s\n", what);
}

/* --- the gateway ----------------------------------------------------------- */

/*
 * Of all that root can do the gateway keeps one thing: taking a lease on a
 * file that is somebody else's (CAP_LEASE).  That is how the catalog asks the
 * kernel whether somebody still has a function's source open for writing.
 */
static int
keep_lease_only(void)
{
	struct __user_cap_header_struct header = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct data[2] = {
	    {.effective = 1u << CAP_LEASE, .permitted = 1u << CAP_LEASE}};

	return syscall(SYS_capset, &header, data) < 0 ? -1 : 0;
}

static int
change_ids(const struct supervisor_config *config)
{
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(config->gid, config->gid, config->gid) < 0 ||
	    setresuid(config->uid, config->uid, config->uid) < 0 ||
	    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return -1;
	return keep_lease_only();
}

static int
drop_root(const struct supervisor_config *config)
{
	if (geteuid() == 0 && change_ids(config) < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0) < 0)
		return -1;
	/* After the last change of ids, which clears it. */
	return prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static void
gateway_child(const struct supervisor *s, int fd, pid_t parent)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)close(s->signals);
	if (s->control_fd >= 0)
		(void)close(s->control_fd);
	supervisor_set_title("perilune: gateway");
	if (drop_root(s->config) < 0 || getppid() != parent) {
		say("cannot give up root");
		_exit(SUPERVISOR_EXIT_GIVE_UP);
	}
	exit(s->config->gateway(fd, s->config->arg));
}

static void
start_gateway(struct supervisor *s)
{
	pid_t parent = getpid();
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		say("no socket pair for the gateway");
		return;
	}
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)close(pair[0]);
		gateway_child(s, pair[1], parent);
	}
	(void)close(pair[1]);
	if (pid < 0) {
		say("no process for the gateway");
		(void)close(pair[0]);
		return;
	}
	s->gateway_fd = pair[0];
	s->gateway.pid = pid;
}

/* --- the zygote ------------------------------------------------------------- */

static void
pass_control(struct supervisor *s)
{
	char word = SUPERVISOR_ZYGOTE;
	struct iovec iov = {.iov_base = &word, .iov_len = 1};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};

	if (s->gateway_fd < 0 || s->control_fd < 0)
		return;
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &s->control_fd, sizeof(int));
	(void)sendmsg(s->gateway_fd, &msg, MSG_NOSIGNAL);
	(void)close(s->control_fd);
	s->control_fd = -1;
}

static void
start_zygote(struct supervisor *s)
{
	const struct zygote_config config = {
	    .program = s->config->sandbox_program,
	    .uid = s->config->uid,
	    .gid = s->config->gid,
	};
	struct err err;

	if (zygote_start(&config, &s->zygote.pid, &s->control_fd, &err) < 0)
		say(err.msg);
}

/* --- wards -------------------------------------------------------------------- */

static void
start_due(struct supervisor *s, struct ward *ward,
    void (*start)(struct supervisor *s))
{
	uint64_t now_us = clock_mono_us();

	if (ward->pid != 0 || s->stopping || now_us < ward->start_at_us)
		return;
	start(s);
	ward->started_us = now_us;
	if (ward->pid == 0)
		ward->start_at_us = now_us + backoff_wait_us(&ward->backoff, 0);
}

static void
describe_end(const struct ward *ward, int status)
{
	char text[128];

	if (WIFSIGNALED(status))
		(void)snprintf(text, sizeof(text),
		    "the %s died by signal %d (%s)", ward->name,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		(void)snprintf(text, sizeof(text),
		    "the %s ended with status %d", ward->name,
		    WEXITSTATUS(status));
	say(text);
}

static void
plan_restart(struct ward *ward)
{
	uint64_t now_us = clock_mono_us();

	ward->pid = 0;
	ward->start_at_us =
	    now_us + backoff_wait_us(&ward->backoff, now_us - ward->started_us);
}

static void
on_gateway_end(struct supervisor *s, int status)
{
	(void)close(s->gateway_fd);
	s->gateway_fd = -1;
	if (s->zygote.pid != 0) /* its workers belong to the dead gateway */
		(void)kill(s->zygote.pid, SIGKILL);
	if (s->stopping || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
		s->stopping = true;
		s->status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		s->gateway.pid = 0;
		return;
	}
	if (WIFEXITED(status) &&
	    (WEXITSTATUS(status) == SUPERVISOR_EXIT_GIVE_UP || !s->ready)) {
		s->stopping = true; /* it has said why */
		s->status = 1;
		s->gateway.pid = 0;
		return;
	}
	describe_end(&s->gateway, status);
	plan_restart(&s->gateway);
}

static void
on_zygote_end(struct supervisor *s, int status)
{
	if (!s->stopping && s->gateway.pid != 0)
		describe_end(&s->zygote, status);
	if (s->control_fd >= 0)
		(void)close(s->control_fd);
	s->control_fd = -1;
	plan_restart(&s->zygote);
	if (s->gateway.pid == 0) /* it was us who ended it */
		s->zygote.start_at_us = 0;
}

static void
reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->gateway.pid)
			on_gateway_end(s, status);
		else if (pid == s->zygote.pid)
			on_zygote_end(s, status);
	}
}

/* --- the loop ------------------------------------------------------------------ */

static void
stop(struct supervisor *s)
{
	if (s->stopping) {
		s->status = 1;
		if (s->gateway.pid != 0)
			(void)kill(s->gateway.pid, SIGKILL);
		if (s->zygote.pid != 0)
			(void)kill(s->zygote.pid, SIGKILL);
		return;
	}
	s->stopping = true;
	if (s->gateway.pid != 0)
		(void)kill(s->gateway.pid, SIGTERM);
	else if (s->zygote.pid != 0) /* of a gateway that is not back yet */
		(void)kill(s->zygote.pid, SIGKILL);
}

static void
on_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		int signal = (int)info.ssi_signo;

		if (signal == SIGTERM || signal == SIGINT)
			stop(s);
		else if (signal == SIGHUP && s->gateway.pid != 0)
			(void)kill(s->gateway.pid, SIGHUP);
	}
	reap(s);
}

static void
on_gateway_word(struct supervisor *s)
{
	char word;
	ssize_t n = recv(s->gateway_fd, &word, 1, MSG_DONTWAIT);

	if (n == 1 && word == SUPERVISOR_READY)
		s->ready = true;
	if (n == 0) { /* it is ending; its status comes by SIGCHLD */
		(void)close(s->gateway_fd);
		s->gateway_fd = -1;
	}
}

static int
wait_ms(const struct supervisor *s)
{
	const struct ward *wards[] = {&s->gateway, &s->zygote};
	uint64_t now_us = clock_mono_us();
	uint64_t soonest_us = UINT64_MAX;

	for (size_t i = 0; i < 2; i++)
		if (wards[i]->pid == 0 && !s->stopping &&
		    wards[i]->start_at_us < soonest_us)
			soonest_us = wards[i]->start_at_us;
	if (soonest_us == UINT64_MAX)
		return -1;
	return soonest_us <= now_us ? 0
				    : (int)((soonest_us - now_us) / 1000) + 1;
}

static void
turn(struct supervisor *s)
{
	struct pollfd fds[] = {
	    {.fd = s->signals, .events = POLLIN},
	    {.fd = s->gateway_fd, .events = POLLIN},
	};

	(void)poll(fds, 2, wait_ms(s));
	if (fds[1].revents != 0)
		on_gateway_word(s);
	if (fds[0].revents != 0)
		on_signals(s);
	start_due(s, &s->zygote, start_zygote);
	start_due(s, &s->gateway, start_gateway);
	pass_control(s);
}

int
supervisor_run(const struct supervisor_config *config)
{
	struct supervisor s = {.config = config,
	    .gateway = {.name = "gateway"},
	    .zygote = {.name = "zygote"},
	    .gateway_fd = -1,
	    .control_fd = -1};
	const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		(void)sigaddset(&set, wanted[i]);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signals < 0) {
		say("no signalfd");
		return 1;
	}
	supervisor_set_title("perilune: supervisor");
	while (!s.stopping || s.gateway.pid != 0 || s.zygote.pid != 0)
		turn(&s);
	return s.status;
}
