/*
 * test_install.c - a function arrives whole, or nothing changes.
 *
 * Runs in: tests.
 */
#include "tools/cli/install.h"

#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Each test runs in a folder of its own (Check forks), with src/ and fns/. */
static int fns;
static char home[64];

static void
set_up(void)
{
	(void)snprintf(home, sizeof(home), "/tmp/perilune-install.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(home));
	ck_assert_int_eq(chdir(home), 0);
	ck_assert_int_eq(mkdir("src", 0755) | mkdir("fns", 0755), 0);
	fns = open("fns", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fns, 0);
}

static void
tear_down(void)
{
	char command[96];

	(void)close(fns);
	(void)snprintf(command, sizeof(command), "rm -rf -- '%s'", home);
	ck_assert_int_eq(system(command), 0);
}

static void
spill(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	(void)fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void
check_file(const char *path, const char *text)
{
	char got[256] = "";
	FILE *f = fopen(path, "re");

	ck_assert_msg(f != NULL, "%s is missing", path);
	got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
	(void)fclose(f);
	ck_assert_str_eq(got, text);
}

static int
entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = -2; /* . and .. */

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n;
}

static int
put(const char *path, bool *changed_out, struct err *err)
{
	struct install_source source;
	int rc = install_look(&source, path, err);

	if (rc == 0)
		rc = install_put(fns, &source, changed_out, err);
	install_source_fini(&source);
	return rc;
}

START_TEST(a_file_comes_with_its_manifest)
{
	bool changed = false;
	struct err err;

	spill("src/a.lua", "one");
	spill("src/a.json", "{}");
	ck_assert_int_eq(put("src/a.lua", &changed, &err), 0);
	ck_assert(changed);
	check_file("fns/a.lua", "one");
	check_file("fns/a.json", "{}");
	ck_assert_int_eq(entries("fns"), 2);
}
END_TEST

START_TEST(the_same_again_writes_nothing)
{
	struct stat before, after;
	bool changed = false;
	struct err err;

	spill("src/a.lua", "one");
	ck_assert_int_eq(put("src/a.lua", &changed, &err), 0);
	ck_assert_int_eq(stat("fns/a.lua", &before), 0);
	ck_assert_int_eq(put("src/a.lua", &changed, &err), 0);
	ck_assert(!changed);
	ck_assert_int_eq(stat("fns/a.lua", &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	spill("src/a.lua", "two");
	ck_assert_int_eq(put("src/a.lua", &changed, &err), 0);
	ck_assert(changed);
	check_file("fns/a.lua", "two");
}
END_TEST

START_TEST(a_folder_is_replaced_as_a_whole)
{
	bool changed = false;
	struct err err;

	ck_assert_int_eq(mkdir("src/b", 0755) | mkdir("src/b/sub", 0755) |
		mkdir("src/b/.git", 0755),
	    0);
	spill("src/b/init.lua", "one");
	spill("src/b/old.lua", "old");
	spill("src/b/sub/x.lua", "x");
	spill("src/b/.git/config", "secret");
	ck_assert_int_eq(put("src/b/", &changed, &err), 0);
	check_file("fns/b/init.lua", "one");
	check_file("fns/b/sub/x.lua", "x");
	ck_assert_int_eq(entries("fns/b"), 3);
	ck_assert_int_eq(put("src/b", &changed, &err), 0);
	ck_assert(!changed);
	ck_assert_int_eq(unlink("src/b/old.lua"), 0);
	ck_assert_int_eq(put("src/b", &changed, &err), 0);
	ck_assert(changed);
	ck_assert_int_eq(entries("fns/b"), 2);
	ck_assert_int_eq(entries("fns"), 1);
}
END_TEST

START_TEST(a_refused_folder_leaves_the_old_one)
{
	bool changed = false;
	struct err err;

	ck_assert_int_eq(mkdir("src/b", 0755), 0);
	spill("src/b/init.lua", "one");
	ck_assert_int_eq(put("src/b", &changed, &err), 0);
	spill("src/b/init.lua", "two");
	ck_assert_int_eq(symlink("/etc/passwd", "src/b/link.lua"), 0);
	ck_assert_int_eq(put("src/b", &changed, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "symbolic link"));
	check_file("fns/b/init.lua", "one");
	ck_assert_int_eq(entries("fns"), 1);
	ck_assert_int_eq(unlink("src/b/link.lua"), 0);
	ck_assert_int_eq(mkfifo("src/b/pipe", 0644), 0);
	ck_assert_int_eq(put("src/b", &changed, &err), -1);
	check_file("fns/b/init.lua", "one");
	ck_assert_int_eq(entries("fns"), 1);
}
END_TEST

/* Look as often as possible; 1 when the folder was not there once. */
static int
watch_name(int until)
{
	char byte;

	for (;;) {
		int fd = open("fns/b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return 1;
		(void)close(fd);
		if (recv(until, &byte, 1, MSG_DONTWAIT) == 0)
			return 0;
	}
}

START_TEST(a_replaced_folder_is_never_missing)
{
	bool changed = false;
	int pair[2], status = -1;
	struct err err;
	pid_t watcher;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(mkdir("src/b", 0755), 0);
	spill("src/b/init.lua", "first");
	ck_assert_int_eq(put("src/b", &changed, &err), 0);
	watcher = fork();
	if (watcher == 0) {
		(void)close(pair[1]);
		_exit(watch_name(pair[0]));
	}
	for (int i = 0; i < 200; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "%d", i);
		spill("src/b/init.lua", text);
		ck_assert_int_eq(put("src/b", &changed, &err), 0);
		check_file("fns/b/init.lua", text);
	}
	(void)close(pair[1]);
	ck_assert_int_eq(waitpid(watcher, &status, 0), watcher);
	ck_assert_int_eq(status, 0);
	(void)close(pair[0]);
}
END_TEST

START_TEST(limits_hold)
{
	bool changed = false;
	char path[64];
	struct err err;

	spill("src/big.lua", "");
	ck_assert_int_eq(truncate("src/big.lua", INSTALL_BYTES_MAX + 1), 0);
	ck_assert_int_eq(put("src/big.lua", &changed, &err), -1);
	ck_assert_int_eq(err.code, ERR_LIMIT);
	ck_assert_int_eq(mkdir("src/many", 0755), 0);
	spill("src/many/init.lua", "");
	for (int i = 0; i < INSTALL_FILES_MAX; i++) {
		(void)snprintf(path, sizeof(path), "src/many/%d.lua", i);
		spill(path, "");
	}
	ck_assert_int_eq(put("src/many", &changed, &err), -1);
	ck_assert_int_eq(err.code, ERR_LIMIT);
	ck_assert_int_eq(entries("fns"), 0);
}
END_TEST

START_TEST(one_name_has_one_form)
{
	bool changed = false;
	struct err err;

	spill("src/a.lua", "one");
	ck_assert_int_eq(mkdir("fns/a", 0755), 0);
	ck_assert_int_eq(put("src/a.lua", &changed, &err), -1);
	ck_assert_int_eq(rmdir("fns/a"), 0);
	spill("fns/b.lua", "file");
	ck_assert_int_eq(mkdir("src/b", 0755), 0);
	spill("src/b/init.lua", "folder");
	ck_assert_int_eq(put("src/b", &changed, &err), -1);
	check_file("fns/b.lua", "file");
	ck_assert_int_eq(entries("fns"), 1);
}
END_TEST

START_TEST(what_is_no_function_is_refused)
{
	struct install_source source;
	struct err err;

	spill("src/a.txt", "");
	spill("src/.lua", "");
	spill("src/a b.lua", "");
	spill("src/init.lua", "");
	ck_assert_int_eq(mkdir("src/empty", 0755), 0);
	for (size_t i = 0; i < 6; i++) {
		static const char *const bad[] = {"src/a.txt", "src/.lua",
		    "src/a b.lua", "src/init.lua", "src/empty", "src/none"};

		ck_assert_msg(install_look(&source, bad[i], &err) < 0, "%s",
		    bad[i]);
		install_source_fini(&source);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tools/cli/install");
	TCase *tcase = tcase_create("install");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_file_comes_with_its_manifest);
	tcase_add_test(tcase, the_same_again_writes_nothing);
	tcase_add_test(tcase, a_folder_is_replaced_as_a_whole);
	tcase_add_test(tcase, a_refused_folder_leaves_the_old_one);
	tcase_add_test(tcase, a_replaced_folder_is_never_missing);
	tcase_add_test(tcase, limits_hold);
	tcase_add_test(tcase, one_name_has_one_form);
	tcase_add_test(tcase, what_is_no_function_is_refused);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
