/*
 * test_cli.c - a program's own commands beside the client's, and the hooks.
 *
 * Runs in: tests.
 */
#include "tools/cli/cli.h"

#include "tests/unit/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int ran; /* which command, and with how many words */
static int verdict;
static char checked[64];

static int
run_first(int argc, char **argv)
{
	ran = 100 + argc;
	return CLI_DEGRADED;
}

static int
run_second(int argc, char **argv)
{
	ran = 200 + argc;
	return CLI_OK;
}

static const struct cli_command table[] = {
    {"doctor", "doctor", "look", "Examples:\n", run_first},
    {"version", "version", "own", "Examples:\n", run_first},
    {"version", "version", "client's", "Examples:\n", run_second},
};

static int
dispatch(const char *a, const char *b)
{
	char program[] = "perilune", first[32], second[32];
	char *argv[] = {program, first, b == NULL ? NULL : second, NULL};

	(void)snprintf(first, sizeof(first), "%s", a);
	(void)snprintf(second, sizeof(second), "%s", b == NULL ? "" : b);
	ran = 0;
	return cli_dispatch(table, 3, b == NULL ? 2 : 3, argv);
}

START_TEST(the_command_that_is_named_runs)
{
	ck_assert_int_eq(dispatch("doctor", "x"), CLI_DEGRADED);
	ck_assert_int_eq(ran, 102);
}
END_TEST

START_TEST(the_first_of_a_name_wins)
{
	ck_assert_int_eq(dispatch("version", NULL), CLI_DEGRADED);
	ck_assert_int_eq(ran, 101);
	ck_assert_int_eq(dispatch("--version", NULL), CLI_DEGRADED);
	ck_assert_int_eq(ran, 101);
}
END_TEST

START_TEST(help_and_mistakes_run_nothing)
{
	ck_assert_int_eq(dispatch("doctor", "--help"), CLI_OK);
	ck_assert_int_eq(ran, 0);
	ck_assert_int_eq(dispatch("help", "doctor"), CLI_OK);
	ck_assert_int_eq(dispatch("docter", NULL), CLI_USAGE);
	ck_assert_int_eq(dispatch("help", "docter"), CLI_USAGE);
	ck_assert_int_eq(ran, 0);
}
END_TEST

static int
check(const char *path)
{
	(void)snprintf(checked, sizeof(checked), "%s", path);
	return verdict;
}

/* A socket that nobody answers at: a deploy gets as far as the check. */
static void
make_state(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)strcpy(address.sun_path, "state/admin.sock");
	ck_assert_int_eq(mkdir("state", 0700), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)),
	    0);
	(void)close(fd);
}

START_TEST(deploy_asks_the_check_first)
{
	char home[] = "/tmp/perilune-cli.XXXXXX";
	char words[][16] = {"perilune", "deploy", "a.lua", "--state", "state"};
	char *argv[] = {words[0], words[1], words[2], words[3], words[4], NULL};
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(home));
	ck_assert_int_eq(chdir(home), 0);
	make_state();
	f = fopen("a.lua", "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fclose(f), 0);
	cli_check_hook = check;
	verdict = 1;
	ck_assert_int_eq(cli_main(5, argv), CLI_FAILED);
	ck_assert_str_eq(checked, "a.lua");
	verdict = 0;
	ck_assert_int_eq(cli_main(5, argv), CLI_UNREACHABLE);
	ck_assert_int_eq(unlink("a.lua") | unlink("state/admin.sock"), 0);
	ck_assert_int_eq(rmdir("state") | rmdir(home), 0);
}
END_TEST

static int
sandbox_version(void)
{
	ran = 7;
	return CLI_OK;
}

START_TEST(version_has_sandbox_only_with_the_hook)
{
	char words[][16] = {"perilune", "version", "--sandbox"};
	char *argv[] = {words[0], words[1], words[2], NULL};

	ran = 0;
	ck_assert_int_eq(cli_main(3, argv), CLI_USAGE);
	cli_sandbox_version_hook = sandbox_version;
	ck_assert_int_eq(cli_main(3, argv), CLI_OK);
	ck_assert_int_eq(ran, 7);
}
END_TEST

/* The test's own report is on stdout: what commands print must not be. */
static void
quiet(void)
{
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
}

int
main(void)
{
	Suite *suite = suite_create("tools/cli/cli");
	TCase *tcase = tcase_create("cli");

	tcase_add_checked_fixture(tcase, quiet, NULL);
	tcase_add_test(tcase, the_command_that_is_named_runs);
	tcase_add_test(tcase, the_first_of_a_name_wins);
	tcase_add_test(tcase, help_and_mistakes_run_nothing);
	tcase_add_test(tcase, deploy_asks_the_check_first);
	tcase_add_test(tcase, version_has_sandbox_only_with_the_hook);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
