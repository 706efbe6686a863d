/*
 * test_socket.c - whose admin.sock is, and what becomes of an old one.
 *
 * Runs in: tests.
 */
#include "runtime/admin/socket.h"
#include "sandbox/base/err.h"
#include "tests/unit/runtime/fn/folder.h"

#include <sys/socket.h>

static struct err err;

static int
open_it(void)
{
	return admin_socket_open(folder_fd, geteuid(), getegid(), &err);
}

static struct stat
stat_it(void)
{
	struct stat st = {0};

	ck_assert_int_eq(fstatat(folder_fd, ADMIN_SOCKET, &st,
			     AT_SYMLINK_NOFOLLOW),
	    0);
	return st;
}

START_TEST(it_is_a_socket_for_its_owner_only)
{
	mode_t before = umask(0);
	int fd = open_it();
	struct stat st;

	ck_assert_msg(fd >= 0, "%s", err.msg);
	st = stat_it();
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(st.st_uid, geteuid());
	ck_assert_uint_eq(umask(before), 0); /* as it was */
	(void)close(fd);
}
END_TEST

START_TEST(root_gives_it_to_the_user_that_serves)
{
	int fd;

	if (geteuid() != 0)
		return;
	fd = admin_socket_open(folder_fd, 65534, 65533, &err);
	ck_assert_msg(fd >= 0, "%s", err.msg);
	ck_assert_uint_eq(stat_it().st_uid, 65534);
	ck_assert_uint_eq(stat_it().st_gid, 65533);
	ck_assert_uint_eq(stat_it().st_mode & 07777, 0600);
	(void)close(fd);
}
END_TEST

START_TEST(what_a_dead_server_left_is_replaced)
{
	int fd = open_it();

	(void)close(fd); /* nobody answers there now */
	fd = open_it();
	ck_assert_msg(fd >= 0, "%s", err.msg);
	ck_assert(S_ISSOCK(stat_it().st_mode));
	ck_assert_uint_eq(stat_it().st_mode & 07777, 0600);
	(void)close(fd);
	folder_rm(ADMIN_SOCKET);
	folder_put(ADMIN_SOCKET, "a file");
	fd = open_it();
	ck_assert_msg(fd >= 0, "%s", err.msg);
	ck_assert(S_ISSOCK(stat_it().st_mode));
	(void)close(fd);
}
END_TEST

START_TEST(a_live_one_is_left_alone_and_the_message_says_what_to_do)
{
	int fd = open_it();
	struct stat before = stat_it();

	ck_assert_int_eq(open_it(), -1);
	ck_assert_int_eq(err.code, ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(err.msg, "running already"));
	ck_assert_ptr_nonnull(strstr(err.msg, "--state DIR"));
	ck_assert_uint_eq(stat_it().st_ino, before.st_ino);
	(void)close(fd);
}
END_TEST

START_TEST(the_current_directory_stays)
{
	char before[4096];
	char after[4096];
	int fd;

	ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
	fd = open_it();
	ck_assert_ptr_nonnull(getcwd(after, sizeof(after)));
	ck_assert_str_eq(before, after);
	(void)close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/admin/socket");
	TCase *tcase = tcase_create("socket");

	tcase_add_checked_fixture(tcase, folder_setup, folder_teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, it_is_a_socket_for_its_owner_only);
	tcase_add_test(tcase, root_gives_it_to_the_user_that_serves);
	tcase_add_test(tcase, what_a_dead_server_left_is_replaced);
	tcase_add_test(tcase,
	    a_live_one_is_left_alone_and_the_message_says_what_to_do);
	tcase_add_test(tcase, the_current_directory_stays);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
