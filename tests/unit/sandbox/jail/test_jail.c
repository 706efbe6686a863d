/*
 * test_jail.c - the jail in every build, the sanitized ones too, by a plain
 * fork: what always holds, and what is refused.
 *
 * Runs in: tests.
 *
 * tests/jail has the attacks and the ways a zygote is really started.
 */
#include "sandbox/base/err.h"
#include "sandbox/jail/jail.h"
#include "sandbox/wire/wire.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY	      65534
#define ADDRESS_SPACE ((size_t)256 * 1024 * 1024)

/* What a jailed child has to say. */
struct said {
	int rc;
	char error[ERR_MSG_MAX];
	struct jail_report report;
	int self_test;
};

/* In a child: jail it, tell fd. */
static void
jail_here(int fd, uid_t uid, bool self_test)
{
	static struct said said;
	const struct jail_zygote_config config = {.uid = uid,
	    .gid = uid,
	    .address_space_bytes = ADDRESS_SPACE};
	struct err err = {0};
	struct buf lines = {0};

	said.rc = jail_zygote(&config, fd + 1, &said.report, &err);
	memcpy(said.error, err.msg, sizeof(said.error));
	said.self_test = self_test ? jail_self_test(&lines) : 0;
	if (write(fd, &said, sizeof(said)) != sizeof(said) ||
	    write(fd, lines.p, lines.n) != (ssize_t)lines.n)
		_exit(1);
	_exit(0);
}

/* lines_out, of lines_bytes, gets the self-test's. */
static struct said
jail_a_child(uid_t uid, bool self_test, char *lines_out, size_t lines_bytes)
{
	struct said said = {.rc = -2};
	int pair[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		jail_here(pair[1], uid, self_test);
	(void)close(pair[1]);
	ck_assert_int_eq(recv(pair[0], &said, sizeof(said), MSG_WAITALL),
	    sizeof(said));
	while (n < lines_bytes - 1 &&
	    (got = read(pair[0], lines_out + n, lines_bytes - 1 - n)) > 0)
		n += (size_t)got;
	lines_out[n] = '\0';
	(void)close(pair[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	return said;
}

START_TEST(what_must_always_hold_holds_without_being_pid_1)
{
	char lines[2048];
	struct said said = jail_a_child(geteuid() == 0 ? NOBODY : getuid(),
	    false, lines, sizeof(lines));

	ck_assert_str_eq(said.error, "");
	ck_assert_int_eq(said.rc, 0);
	for (unsigned int i = 0; i < JAIL_LAYERS; i++) {
		if (jail_layer_need((enum jail_layer)i) == JAIL_ALWAYS)
			ck_assert(said.report.active[i]);
		ck_assert_int_eq(said.report.active[i],
		    said.report.why[i][0] == '\0');
	}
	ck_assert(!said.report.active[JAIL_PID_NS]);
	ck_assert_str_eq(said.report.why[JAIL_PID_NS], "not started as pid 1");
}
END_TEST

START_TEST(the_self_test_passes_and_names_each_case)
{
	char lines[2048];
	struct said said = jail_a_child(geteuid() == 0 ? NOBODY : getuid(),
	    true, lines, sizeof(lines));

	ck_assert_msg(said.self_test == 0, "%d wrong in:\n%s", said.self_test,
	    lines);
	ck_assert_ptr_nonnull(strstr(lines, "idle\texit\texit\n"));
	ck_assert_ptr_nonnull(strstr(lines, "fork\tSIGSYS\tSIGSYS\n"));
	ck_assert_ptr_nonnull(strstr(lines, "x32 write\tSIGSYS\tSIGSYS\n"));
}
END_TEST

START_TEST(root_that_would_stay_root_is_refused)
{
	char lines[2048];
	struct said said = jail_a_child(0, false, lines, sizeof(lines));

	ck_assert_int_eq(said.rc, -1);
	ck_assert_str_eq(said.error,
	    "no unprivileged: root outside: name another user");
}
END_TEST

START_TEST(a_worker_without_a_socket_is_not_jailed)
{
	ck_assert_int_eq(jail_worker(1000), -1);
}
END_TEST

START_TEST(a_worker_of_no_zygote_is_not_jailed)
{
	int pair[2], status;
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(jail_worker(pair[0]) == -1 ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* A zygote with one worker that only waits on its socket; does not return. */
static void
zygote_with_a_worker(int socket)
{
	const uid_t uid = geteuid() == 0 ? NOBODY : getuid();
	const struct jail_zygote_config config = {.uid = uid,
	    .gid = uid,
	    .address_space_bytes = ADDRESS_SPACE};
	struct jail_report report;
	struct err err;
	int pidfd;
	char c;

	if (jail_zygote(&config, socket + 1, &report, &err) < 0)
		_exit(1);
	if (jail_fork(&pidfd) == 0) {
		if (jail_worker(socket) < 0 || write(JAIL_SOCKET, "j", 1) != 1)
			_exit(1);
		_exit(read(JAIL_SOCKET, &c, 1) == 0 ? 0 : 1);
	}
	(void)poll(NULL, 0, 60000);
	_exit(0);
}

START_TEST(a_worker_dies_with_its_zygote)
{
	const struct timeval limit = {.tv_sec = 5};
	int pair[2];
	pid_t pid;
	char c = 0;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit,
			     sizeof(limit)),
	    0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)close(pair[0]);
		zygote_with_a_worker(pair[1]);
	}
	(void)close(pair[1]);
	ck_assert_int_eq(read(pair[0], &c, 1), 1);
	ck_assert_int_eq(c, 'j');
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(read(pair[0], &c, 1), 0); /* nobody holds it */
	(void)close(pair[0]);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/jail/jail");
	TCase *tcase = tcase_create("jail");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, what_must_always_hold_holds_without_being_pid_1);
	tcase_add_test(tcase, the_self_test_passes_and_names_each_case);
	if (geteuid() == 0)
		tcase_add_test(tcase, root_that_would_stay_root_is_refused);
	tcase_add_test(tcase, a_worker_without_a_socket_is_not_jailed);
	tcase_add_test(tcase, a_worker_dies_with_its_zygote);
	tcase_add_test(tcase, a_worker_of_no_zygote_is_not_jailed);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
