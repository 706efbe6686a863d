/*
 * zygote.c - see zygote.h.
 *
 * Runs in: supervisor, cli.
 *
 * The child between clone and exec makes system calls only: it shares nothing
 * with us but must not trust libc's idea of its pid.
 */
#include "runtime/pool/zygote.h"

#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONTROL_FD 3
#define TITLE_ROOM 96 /* "perilune: worker " and the longest name@version */

#ifndef PERILUNE_LIBEXEC
#define PERILUNE_LIBEXEC "/usr/local/libexec/perilune"
#endif

static int
write_text(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);

	return fd >= 0 && write(fd, text, n) == (ssize_t)n ? 0 : -1;
}

/*
 * Inside the new user namespace we are root, outside the user that we were:
 * without a map for uid 0 the exec would take away every capability that the
 * program needs to put up its walls.  user_namespaces(7).
 */
static int
map_ids(const struct zygote_config *config)
{
	char uid[48];
	char gid[48];

	(void)snprintf(uid, sizeof(uid), "0 %u 1", (unsigned int)config->uid);
	(void)snprintf(gid, sizeof(gid), "0 %u 1", (unsigned int)config->gid);
	return prctl(PR_SET_DUMPABLE, 1) < 0 ||
		write_text("/proc/self/setgroups", "deny") < 0 ||
		write_text("/proc/self/uid_map", uid) < 0 ||
		write_text("/proc/self/gid_map", gid) < 0
	    ? -1
	    : 0;
}

static void
exec_program(const struct zygote_config *config, int control, bool userns)
{
	char uid[16];
	char gid[16];
	char padding[TITLE_ROOM + 1];
	char program[] = "perilune-sandbox";
	char yes[] = "1";
	char no[] = "0";
	char *argv[] = {program, uid, gid, userns ? yes : no, padding, NULL};
	char *envp[] = {NULL};
	sigset_t none;
	int null = open("/dev/null", O_RDWR);

	(void)snprintf(uid, sizeof(uid), "%u", (unsigned int)config->uid);
	(void)snprintf(gid, sizeof(gid), "%u", (unsigned int)config->gid);
	memset(padding, '.', TITLE_ROOM);
	padding[TITLE_ROOM] = '\0';
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if ((userns && map_ids(config) < 0) || null < 0 || dup2(null, 0) < 0 ||
	    dup2(null, 1) < 0 ||
	    (control == CONTROL_FD ? fcntl(control, F_SETFD, 0)
				   : dup2(control, CONTROL_FD)) < 0)
		_exit(127);
	(void)close_range(CONTROL_FD + 1, ~0u, 0);
	(void)execve(config->program, argv, envp);
	_exit(127);
}

int
zygote_start(const struct zygote_config *config, pid_t *pid_out,
    int *control_out, struct err *err)
{
	unsigned long flags = CLONE_NEWPID;
	bool userns = geteuid() != 0;
	auto_close int ours = -1;
	auto_close int theirs = -1;
	int pair[2];
	long pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, "socket pair for the sandbox");
	ours = pair[0];
	theirs = pair[1];
	if (userns)
		flags |= CLONE_NEWUSER;
	pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0) { /* the host allows no namespaces */
		userns = false;
		pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	}
	if (pid < 0)
		return err_sys(err, "fork for the sandbox");
	if (pid == 0)
		exec_program(config, theirs, userns);
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(err, "control socket of the sandbox");
	*pid_out = (pid_t)pid;
	*control_out = steal_fd(&ours);
	return 0;
}

int
zygote_program(char *path_out, size_t bytes, struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return err_sys(err, "/proc/self/exe");
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash != NULL)
		*slash = '\0';
	if (snprintf(path_out, bytes, "%s/perilune-sandbox", self) <
		(int)bytes &&
	    access(path_out, X_OK) == 0)
		return 0;
	(void)snprintf(path_out, bytes, "%s/perilune-sandbox",
	    PERILUNE_LIBEXEC);
	if (access(path_out, X_OK) == 0)
		return 0;
	return err_set(err, ERR_NOT_FOUND,
	    "perilune-sandbox is neither beside this program (%s) nor in %s",
	    self, PERILUNE_LIBEXEC);
}

int
zygote_identity(const char *name, uid_t *uid_out, gid_t *gid_out,
    struct err *err)
{
	const struct passwd *user;

	if (geteuid() != 0) {
		*uid_out = geteuid();
		*gid_out = getegid();
		return 0;
	}
	user = getpwnam(name);
	if (user == NULL)
		return err_set(err, ERR_BAD_INPUT,
		    "no user \"%s\": name an unprivileged one with the setting "
		    "`user`",
		    name);
	if (user->pw_uid == 0 || user->pw_gid == 0)
		return err_set(err, ERR_BAD_INPUT,
		    "user \"%s\" is root: name an unprivileged one with the "
		    "setting `user`",
		    name);
	*uid_out = user->pw_uid;
	*gid_out = user->pw_gid;
	return 0;
}
