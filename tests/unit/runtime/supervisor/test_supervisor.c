/*
 * test_supervisor.c - two processes kept alive, and ended when told.
 *
 * Runs in: tests.
 *
 * The supervisor is a child of the test; its gateway is a function here, and
 * so is its zygote (zygote_start is a double).  What each of them is to do,
 * and what they saw, stands in memory that all of them share.
 */
#include "runtime/pool/zygote.h"
#include "runtime/supervisor/supervisor.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_US UINT64_C(30000000)
#define NOBODY	    65534

enum role {
	SERVE,	  /* ready; SIGTERM: exit(drain_status) */
	CRASH,	  /* ready, then dead */
	GIVE_UP,  /* exit(SUPERVISOR_EXIT_GIVE_UP) */
	NOT_EVEN, /* exit(3), never ready */
	LEAVE,	  /* ready, exit(0) */
	STUBBORN, /* ready; does not listen to SIGTERM */
};

static struct shared {
	/* what they are to do */
	enum role first, then; /* of the first gateway; of all others */
	int drain_status;
	int no_zygotes; /* so often it cannot be started */
	/* what they saw */
	atomic_int gateways, zygotes, refused, ready, terms, hups, controls;
	atomic_int gateway_pid, zygote_pid, uid;
	_Atomic uint64_t born_us[64]; /* of each gateway */
} * shared;

static volatile sig_atomic_t term, hup;
static pid_t supervisor;

/* --- the zygote ------------------------------------------------------------- */

int
zygote_start(const struct zygote_config *config, pid_t *pid_out,
    int *control_out, struct err *err)
{
	int pair[2];
	pid_t pid;

	ck_assert_str_eq(config->program, "/the/sandbox");
	if (atomic_load(&shared->refused) < shared->no_zygotes) {
		atomic_fetch_add(&shared->refused, 1);
		return err_set(err, ERR_SYSTEM, "no zygote today");
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return err_sys(err, "socketpair");
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(pair[0]);
		(void)send(pair[1], "hello", 5, MSG_NOSIGNAL);
		for (;;)
			(void)pause();
	}
	(void)close(pair[1]);
	atomic_store(&shared->zygote_pid, pid);
	atomic_fetch_add(&shared->zygotes, 1);
	*pid_out = pid;
	*control_out = pair[0];
	return pid < 0 ? -1 : 0;
}

/* --- the gateway ------------------------------------------------------------- */

static void
on_signal(int number)
{
	if (number == SIGTERM)
		term = 1;
	else
		hup = 1;
}

/* The socket of a zygote: it says hello there. */
static void
take_control(int fd)
{
	char word = 0;
	char hello[8] = "";
	struct iovec iov = {.iov_base = &word, .iov_len = 1};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	int theirs;

	if (recvmsg(fd, &msg, MSG_DONTWAIT) != 1 || word != SUPERVISOR_ZYGOTE ||
	    CMSG_FIRSTHDR(&msg) == NULL)
		return;
	memcpy(&theirs, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(theirs));
	if (recv(theirs, hello, sizeof(hello), 0) == 5 &&
	    memcmp(hello, "hello", 5) == 0)
		atomic_fetch_add(&shared->controls, 1);
	(void)close(theirs);
}

static int
serve(int fd, bool stubborn)
{
	for (;;) {
		take_control(fd);
		if (hup)
			atomic_fetch_add(&shared->hups, 1);
		if (term)
			atomic_fetch_add(&shared->terms, 1);
		if (term && !stubborn)
			return shared->drain_status;
		hup = term = 0;
		(void)usleep(1000);
	}
}

static int
gateway(int fd, void *arg)
{
	char word = SUPERVISOR_READY;
	enum role role;
	int n;

	ck_assert_ptr_eq(arg, &shared);
	(void)signal(SIGTERM, on_signal);
	(void)signal(SIGHUP, on_signal);
	atomic_store(&shared->gateway_pid, getpid()); /* before it counts */
	n = atomic_fetch_add(&shared->gateways, 1);
	role = n == 0 ? shared->first : shared->then;
	if (n < 64)
		atomic_store(&shared->born_us[n], clock_mono_us());
	atomic_store(&shared->uid, (int)geteuid());
	if (role == GIVE_UP)
		return SUPERVISOR_EXIT_GIVE_UP;
	if (role == NOT_EVEN)
		return 3;
	(void)send(fd, &word, 1, MSG_NOSIGNAL);
	atomic_fetch_add(&shared->ready, 1);
	if (role == LEAVE)
		return 0;
	if (role == CRASH) {
		(void)usleep(20000); /* the word is heard first */
		(void)kill(getpid(), SIGKILL);
	}
	return serve(fd, role == STUBBORN);
}

/* --- the supervisor ----------------------------------------------------------- */

static void
begin(void)
{
	const struct supervisor_config config = {.sandbox_program =
						     "/the/sandbox",
	    .uid = geteuid() == 0 ? NOBODY : geteuid(),
	    .gid = geteuid() == 0 ? NOBODY : getegid(),
	    .gateway = gateway,
	    .arg = &shared};

	supervisor = fork();
	ck_assert_int_ge(supervisor, 0);
	if (supervisor != 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(supervisor_run(&config));
}

/* Wait until it is so. */
#define WAIT(condition)                                                      \
	do {                                                                 \
		uint64_t end_ = clock_mono_us() + PATIENCE_US;               \
		while (!(condition)) {                                       \
			ck_assert_msg(clock_mono_us() < end_, "in vain: %s", \
			    #condition);                                     \
			(void)usleep(1000);                                  \
		}                                                            \
	} while (0)

static int status;

static bool
has_ended(void)
{
	return waitpid(supervisor, &status, WNOHANG) == supervisor;
}

/* Its exit status; nobody is left behind. */
static int
the_end(void)
{
	WAIT(has_ended());
	supervisor = 0;
	ck_assert(WIFEXITED(status));
	if (atomic_load(&shared->gateway_pid) != 0)
		ck_assert_int_eq(kill(atomic_load(&shared->gateway_pid), 0),
		    -1);
	if (atomic_load(&shared->zygote_pid) != 0)
		ck_assert_int_eq(kill(atomic_load(&shared->zygote_pid), 0), -1);
	return WEXITSTATUS(status);
}

static void
tell(int number)
{
	ck_assert_int_eq(kill(supervisor, number), 0);
}

static void
setup(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(shared != MAP_FAILED);
	supervisor = 0;
	term = hup = 0;
}

static void
teardown(void)
{
	if (supervisor > 0) {
		(void)kill(supervisor, SIGKILL);
		(void)waitpid(supervisor, NULL, 0);
	}
	(void)munmap(shared, sizeof(*shared));
}

START_TEST(sigterm_lets_the_gateway_drain_and_passes_its_status_on)
{
	shared->drain_status = 0;
	begin();
	WAIT(shared->controls == 1);
	tell(SIGTERM);
	ck_assert_int_eq(the_end(), 0);
	ck_assert_int_eq(shared->terms, 1);
	ck_assert_int_eq(shared->gateways, 1);
	ck_assert_int_eq(shared->zygotes, 1);
}
END_TEST

START_TEST(a_drain_that_failed_is_said)
{
	shared->drain_status = 1;
	begin();
	WAIT(shared->ready == 1);
	tell(SIGINT);
	ck_assert_int_eq(the_end(), 1);
	ck_assert_int_eq(shared->terms, 1);
}
END_TEST

START_TEST(a_second_sigterm_ends_all_at_once)
{
	shared->first = STUBBORN;
	begin();
	WAIT(shared->ready == 1);
	tell(SIGTERM);
	WAIT(shared->terms == 1);
	ck_assert(!has_ended());
	tell(SIGTERM);
	ck_assert_int_eq(the_end(), 1);
	ck_assert_int_eq(shared->gateways, 1);
}
END_TEST

START_TEST(sighup_goes_to_the_gateway)
{
	begin();
	WAIT(shared->ready == 1);
	tell(SIGHUP);
	WAIT(shared->hups == 1);
	tell(SIGTERM);
	ck_assert_int_eq(the_end(), 0);
}
END_TEST

START_TEST(a_gateway_that_dies_is_started_again_with_a_new_zygote)
{
	pid_t before;

	shared->then = SERVE;
	begin();
	WAIT(shared->controls == 1);
	before = shared->zygote_pid;
	(void)kill(shared->gateway_pid, SIGKILL);
	WAIT(shared->ready == 2 && shared->controls == 2);
	ck_assert_int_eq(shared->zygotes, 2);
	ck_assert_int_eq(kill(before, 0), -1);
	tell(SIGTERM);
	ck_assert_int_eq(the_end(), 0);
}
END_TEST

START_TEST(a_zygote_that_dies_is_started_again_and_the_gateway_stays)
{
	begin();
	WAIT(shared->controls == 1);
	(void)kill(shared->zygote_pid, SIGKILL);
	WAIT(shared->controls == 2);
	ck_assert_int_eq(shared->gateways, 1);
	tell(SIGTERM);
	ck_assert_int_eq(the_end(), 0);
}
END_TEST

START_TEST(a_gateway_that_always_dies_waits_longer_and_longer)
{
	shared->first = shared->then = CRASH;
	begin();
	/* at once, then after 50, 100 and 200 ms at the least */
	WAIT(shared->gateways >= 5);
	for (int i = 2; i < 5; i++)
		ck_assert_uint_ge(shared->born_us[i] - shared->born_us[i - 1],
		    (uint64_t)50000 << (i - 2));
	tell(SIGTERM);
	(void)the_end(); /* its status: was one just dying, or none there */
}
END_TEST

/* Then nobody is there to drain, and the zygote already waits. */
START_TEST(sigterm_while_no_gateway_runs_ends_all)
{
	shared->first = shared->then = CRASH;
	begin();
	WAIT(shared->gateways >= 6); /* the next one comes 800 ms later */
	WAIT(kill(shared->gateway_pid, 0) < 0);
	tell(SIGTERM);
	ck_assert_int_eq(the_end(), 0);
}
END_TEST

START_TEST(a_gateway_that_gives_up_is_not_started_again)
{
	shared->then = GIVE_UP;
	begin();
	WAIT(shared->ready == 1);
	(void)kill(shared->gateway_pid, SIGKILL);
	ck_assert_int_eq(the_end(), 1);
	ck_assert_int_eq(shared->gateways, 2);
}
END_TEST

START_TEST(a_gateway_that_never_was_ready_is_not_started_again)
{
	shared->first = NOT_EVEN;
	begin();
	ck_assert_int_eq(the_end(), 1);
	ck_assert_int_eq(shared->gateways, 1);
}
END_TEST

START_TEST(a_gateway_that_leaves_in_peace_ends_the_server)
{
	shared->first = LEAVE;
	begin();
	ck_assert_int_eq(the_end(), 0);
	ck_assert_int_eq(shared->gateways, 1);
}
END_TEST

START_TEST(a_zygote_that_cannot_be_started_is_tried_again)
{
	shared->no_zygotes = 3;
	begin();
	WAIT(shared->controls == 1);
	ck_assert_int_eq(shared->refused, 3);
	ck_assert_int_eq(shared->gateways, 1);
	tell(SIGTERM);
	ck_assert_int_eq(the_end(), 0);
}
END_TEST

START_TEST(root_is_given_up_before_the_gateway_begins)
{
	if (geteuid() != 0)
		return;
	begin();
	WAIT(shared->ready == 1);
	ck_assert_int_eq(shared->uid, NOBODY);
	tell(SIGTERM);
	ck_assert_int_eq(the_end(), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/supervisor/supervisor");
	TCase *tcase = tcase_create("supervisor");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 100);
	tcase_add_test(tcase,
	    sigterm_lets_the_gateway_drain_and_passes_its_status_on);
	tcase_add_test(tcase, a_drain_that_failed_is_said);
	tcase_add_test(tcase, a_second_sigterm_ends_all_at_once);
	tcase_add_test(tcase, sighup_goes_to_the_gateway);
	tcase_add_test(tcase,
	    a_gateway_that_dies_is_started_again_with_a_new_zygote);
	tcase_add_test(tcase,
	    a_zygote_that_dies_is_started_again_and_the_gateway_stays);
	tcase_add_test(tcase,
	    a_gateway_that_always_dies_waits_longer_and_longer);
	tcase_add_test(tcase, sigterm_while_no_gateway_runs_ends_all);
	tcase_add_test(tcase, a_gateway_that_gives_up_is_not_started_again);
	tcase_add_test(tcase,
	    a_gateway_that_never_was_ready_is_not_started_again);
	tcase_add_test(tcase, a_gateway_that_leaves_in_peace_ends_the_server);
	tcase_add_test(tcase, a_zygote_that_cannot_be_started_is_tried_again);
	tcase_add_test(tcase, root_is_given_up_before_the_gateway_begins);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
