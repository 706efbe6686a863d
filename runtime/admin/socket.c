/*
 * socket.c - see socket.h.
 *
 * Runs in: supervisor (before root is given up).
 * Owns:    nothing.
 */
#include "runtime/admin/socket.h"

#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define GOING_WAITS   20 /* for a server that is ending */
#define GOING_WAIT_US 100000
#define BACKLOG	      4096

static const struct sockaddr_un address = {.sun_family = AF_UNIX,
    .sun_path = ADMIN_SOCKET};

/* Does anybody answer at admin.sock, here? */
static bool
somebody_serves(void)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) ==
	    0;
}

/* A server that is just ending gets a moment to be gone. */
static bool
stays_served(void)
{
	for (int i = 0; i < GOING_WAITS; i++) {
		if (!somebody_serves())
			return false;
		(void)usleep(GOING_WAIT_US);
	}
	return true;
}

/* What was there is stale. */
static int
bind_here(int fd, uid_t uid, gid_t gid, struct err *err)
{
	mode_t mask = umask(0177);
	int bound;

	(void)unlink(address.sun_path);
	bound = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	(void)umask(mask);
	if (bound == 0 && geteuid() == 0)
		bound = chown(address.sun_path, uid, gid);
	if (bound < 0 || listen(fd, BACKLOG) < 0)
		return err_sys(err, ADMIN_SOCKET);
	return 0;
}

static int
open_here(uid_t uid, gid_t gid, struct err *err)
{
	auto_close int fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(err, ADMIN_SOCKET);
	if (stays_served())
		return err_set(err, ERR_BAD_INPUT,
		    "a server is running already with this state directory: "
		    "stop it, or name another one with --state DIR");
	if (bind_here(fd, uid, gid, err) < 0)
		return -1;
	return steal_fd(&fd);
}

int
admin_socket_open(int statefd, uid_t uid, gid_t gid, struct err *err)
{
	auto_close int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = -1;

	if (here < 0 || fchdir(statefd) < 0)
		return err_sys(err, ADMIN_SOCKET);
	fd = open_here(uid, gid, err);
	if (fchdir(here) < 0)
		return err_sys(err, "current directory");
	return steal_fd(&fd);
}
