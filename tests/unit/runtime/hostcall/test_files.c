/*
 * test_files.c - reading the upload, writing results: whole, or not at all.
 *
 * Runs in: tests.
 */
#include "runtime/hostcall/files.h"
#include "runtime/loop/loop.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop *loop;
static struct files *files;
static char folder[64];
static int out_fd, content_fd;
static char said[256];
static char got[4096];
static size_t got_bytes;
static int waiting;

static void
setup(void)
{
	struct err err;
	char path[128];

	(void)snprintf(folder, sizeof(folder), "/tmp/files.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/out", folder);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	out_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/content", folder);
	content_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_int_eq(write(content_fd, "0123456789", 10), 10);
	loop = loop_new(&err);
	files = files_new(loop, content_fd, out_fd, NULL);
	waiting = 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void
teardown(void)
{
	files_free(files);
	loop_free(loop);
	(void)close(out_fd);
	(void)close(content_fd);
	(void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
run_all(void)
{
	struct err err;

	if (waiting > 0)
		ck_assert_int_eq(loop_run(loop, &err), 0);
}

static void
on_done(const char *reason, void *arg)
{
	(void)snprintf(said, sizeof(said), "%s", reason == NULL ? "" : reason);
	if (--waiting == 0)
		loop_stop(loop);
}

static void
on_data(struct slice data, const char *reason, void *arg)
{
	got_bytes = data.n;
	if (data.n > 0 && data.n <= sizeof(got))
		memcpy(got, data.p, data.n);
	on_done(reason, arg);
}

/* What the call said: "" when it was done. */
static const char *
put(const char *name, const char *text)
{
	waiting++;
	files_write(files, slice_of(name), slice_of(text), on_done, NULL);
	run_all();
	return said;
}

static const char *
commit(const char *name)
{
	waiting++;
	files_commit(files, slice_of(name), on_done, NULL);
	run_all();
	return said;
}

static const char *
get(uint64_t offset, uint32_t bytes)
{
	waiting++;
	files_read(files, offset, bytes, on_data, NULL);
	run_all();
	return said;
}

static const char *
text_of(const char *name)
{
	static char text[4096];
	int fd = openat(out_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		(void)close(fd);
	if (n < 0)
		return NULL;
	text[n] = '\0';
	return text;
}

/* Entries of the output folder; *hidden_out: those that begin with ".". */
static int
entries(int *hidden_out)
{
	DIR *dir = fdopendir(openat(out_fd, ".", O_RDONLY | O_CLOEXEC));
	const struct dirent *entry;
	int n = 0;

	*hidden_out = 0;
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		n++;
		*hidden_out += entry->d_name[0] == '.';
	}
	(void)closedir(dir);
	return n;
}

START_TEST(the_content_is_read_in_pieces)
{
	ck_assert_str_eq(get(3, 4), "");
	ck_assert_uint_eq(got_bytes, 4);
	ck_assert_mem_eq(got, "3456", 4);
	ck_assert_str_eq(get(8, 100), "");
	ck_assert_uint_eq(got_bytes, 2);
	ck_assert_str_eq(get(10, 100), "");
	ck_assert_uint_eq(got_bytes, 0);
	ck_assert_str_eq(get(UINT64_MAX, UINT32_MAX), "");
	ck_assert_uint_eq(got_bytes, 0);
}
END_TEST

START_TEST(one_read_brings_at_most_a_megabyte)
{
	ck_assert_int_eq(ftruncate(content_fd, 3 * FILES_READ_MAX), 0);
	ck_assert_str_eq(get(5, 2 * FILES_READ_MAX), "");
	ck_assert_uint_eq(got_bytes, FILES_READ_MAX);
}
END_TEST

START_TEST(an_output_is_visible_when_it_is_committed_and_whole)
{
	int hidden;

	ck_assert_str_eq(put("sum.txt", "one "), "");
	ck_assert_str_eq(put("sum.txt", "two"), "");
	ck_assert_ptr_null(text_of("sum.txt"));
	ck_assert_int_eq(entries(&hidden), 1);
	ck_assert_int_eq(hidden, 1);
	ck_assert_str_eq(commit("sum.txt"), "");
	ck_assert_str_eq(text_of("sum.txt"), "one two");
	ck_assert_int_eq(entries(&hidden), 1);
	ck_assert_int_eq(hidden, 0);
}
END_TEST

START_TEST(a_committed_output_replaces_an_older_file)
{
	ck_assert_str_eq(put("a", "old"), "");
	ck_assert_str_eq(commit("a"), "");
	ck_assert_str_eq(put("a", "new"), "");
	ck_assert_str_eq(text_of("a"), "old");
	ck_assert_str_eq(commit("a"), "");
	ck_assert_str_eq(text_of("a"), "new");
}
END_TEST

START_TEST(an_output_may_lie_in_folders)
{
	ck_assert_str_eq(put("a/b/c/d/e.txt", "x"), "");
	ck_assert_str_eq(commit("a/b/c/d/e.txt"), "");
	ck_assert_str_eq(text_of("a/b/c/d/e.txt"), "x");
	ck_assert_str_ne(put("a/b/c/d/e/f.txt", "x"), "");
}
END_TEST

START_TEST(calls_are_carried_out_in_order)
{
	char piece[2] = "a";

	waiting = 9;
	for (; piece[0] < 'i'; piece[0]++)
		files_write(files, slice_of("x"), slice_of(piece), on_done,
		    NULL);
	files_commit(files, slice_of("x"), on_done, NULL);
	run_all();
	ck_assert_str_eq(said, "");
	ck_assert_str_eq(text_of("x"), "abcdefgh");
}
END_TEST

START_TEST(what_was_not_written_cannot_be_committed)
{
	ck_assert_ptr_nonnull(strstr(commit("x"), "nothing was written"));
	ck_assert_str_eq(put("x", ""), "");
	ck_assert_str_eq(commit("x"), "");
	ck_assert_str_eq(text_of("x"), "");
}
END_TEST

START_TEST(names_that_lead_elsewhere_are_refused)
{
	static const char *const bad[] = {"", ".", "..", "../x", "/x", "a/../x",
	    "a//x", "a/", ".hidden", "a/.x", "a\nb", "a\x1b[2J", "\xff\xfe",
	    "\xc2\x9b", "\xed\xa0\x80", "\xf5\x80\x80\x80", "x\x7f"};
	char longer[FILES_NAME_MAX + 2];
	int hidden;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(put(bad[i], "x")[0] != '\0', "%s", bad[i]);
		ck_assert_msg(commit(bad[i])[0] != '\0', "%s", bad[i]);
	}
	memset(longer, 'a', sizeof(longer));
	longer[FILES_NAME_MAX + 1] = '\0';
	ck_assert_str_ne(put(longer, "x"), "");
	longer[FILES_NAME_MAX] = '\0';
	ck_assert_str_eq(put(longer, "x"), "");
	waiting++;
	files_write(files, slice_from("a\0b", 3), SLICE("x"), on_done, NULL);
	run_all();
	ck_assert_str_ne(said, "");
	ck_assert_str_eq(put("gr\xc3\xbc\xc3\x9f e.txt", "x"), "");
	ck_assert_int_eq(entries(&hidden), 2);
	ck_assert_int_eq(hidden, 2);
}
END_TEST

START_TEST(links_in_the_output_folder_lead_nowhere)
{
	struct stat st;

	ck_assert_int_eq(symlinkat("../content", out_fd, "link"), 0);
	ck_assert_int_eq(symlinkat("..", out_fd, "up"), 0);
	ck_assert_int_eq(mkdirat(out_fd, "folder", 0755), 0);
	ck_assert_int_eq(mkfifoat(out_fd, "pipe", 0644), 0);
	ck_assert_str_ne(put("link", "evil"), "");
	ck_assert_str_ne(put("up/new", "evil"), "");
	ck_assert_str_ne(put("folder", "evil"), "");
	ck_assert_int_eq(symlinkat("folder", out_fd, "inner"), 0);
	ck_assert_str_ne(put("inner/new", "evil"), "");
	ck_assert_str_ne(put("pipe", "evil"), "");
	ck_assert_str_eq(put("later", "evil"), "");
	ck_assert_int_eq(symlinkat("../content", out_fd, "later"), 0);
	ck_assert_str_ne(commit("later"), "");
	ck_assert_int_eq(fstat(content_fd, &st), 0);
	ck_assert_int_eq(st.st_size, 10);
	ck_assert_int_lt(fstatat(out_fd, "../new", &st, 0), 0);
}
END_TEST

START_TEST(open_outputs_are_limited)
{
	char name[16];

	for (int i = 0; i < 64; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		ck_assert_str_eq(put(name, "x"), "");
	}
	ck_assert_ptr_nonnull(strstr(put("f64", "x"), "64 outputs"));
	ck_assert_str_eq(put("f0", "x"), "");
	ck_assert_str_eq(commit("f0"), "");
	ck_assert_str_eq(put("f64", "x"), "");
}
END_TEST

START_TEST(the_bytes_of_an_invocation_are_limited)
{
	struct files_limits limits = {64, 10};

	files_free(files);
	files = files_new(loop, content_fd, out_fd, &limits);
	ck_assert_str_eq(put("a", "12345"), "");
	ck_assert_str_eq(put("b", "12345"), "");
	ck_assert_ptr_nonnull(strstr(put("b", "1"), "limit"));
	ck_assert_str_eq(commit("b"), "");
	ck_assert_str_eq(text_of("b"), "12345");
}
END_TEST

START_TEST(calls_that_wait_are_limited)
{
	waiting = FILES_QUEUE_MAX + 2;
	for (int i = 0; i < FILES_QUEUE_MAX + 2; i++)
		files_read(files, 0, 1, on_data, NULL);
	ck_assert_ptr_nonnull(strstr(said, "too many"));
	ck_assert_int_eq(waiting, FILES_QUEUE_MAX + 1);
	run_all();
	ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(a_request_without_files_is_told_so)
{
	const char *text = "this request has no files: only upload events do";

	files_free(files);
	files = files_new(loop, -1, -1, NULL);
	ck_assert_str_eq(get(0, 1), text);
	ck_assert_str_eq(put("a", "b"), text);
	ck_assert_str_eq(commit("a"), text);
}
END_TEST

START_TEST(a_trigger_without_output_reads_only)
{
	files_free(files);
	files = files_new(loop, content_fd, -1, NULL);
	ck_assert_str_eq(get(0, 1), "");
	ck_assert_ptr_nonnull(strstr(put("a", "b"), "output"));
}
END_TEST

static void
never(const char *reason, void *arg)
{
	ck_abort_msg("called after files_free");
}

START_TEST(freeing_removes_what_was_not_committed)
{
	int hidden;

	ck_assert_str_eq(put("a", "half"), "");
	ck_assert_str_eq(put("b", "whole"), "");
	ck_assert_str_eq(commit("b"), "");
	files_write(files, slice_of("a"), SLICE("more"), never, NULL);
	files_write(files, slice_of("c"), SLICE("more"), never, NULL);
	files_free(files);
	files = NULL;
	loop_free(loop); /* waits for helpers */
	loop = NULL;
	ck_assert_int_eq(entries(&hidden), 1);
	ck_assert_str_eq(text_of("b"), "whole");
}
END_TEST

static void
free_files(const char *reason, void *arg)
{
	files_free(files);
	files = NULL;
	on_done(reason, arg);
}

START_TEST(done_may_free_the_files)
{
	int hidden;

	waiting = 1;
	files_write(files, slice_of("a"), SLICE("x"), free_files, NULL);
	run_all();
	ck_assert_int_eq(entries(&hidden), 0);
}
END_TEST

START_TEST(the_descriptors_may_be_closed_before_the_files)
{
	ck_assert_str_eq(put("a", "x"), "");
	(void)close(content_fd);
	ck_assert_str_eq(get(0, 1), "");
	content_fd = -1;
	ck_assert_str_eq(commit("a"), "");
}
END_TEST

START_TEST(cleaning_removes_what_nobody_writes_any_more)
{
	int hidden;
	int fd = openat(out_fd, ".perilune-0123.tmp", O_WRONLY | O_CREAT, 0644);

	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	fd = openat(out_fd, ".other", O_WRONLY | O_CREAT, 0644);
	(void)close(fd);
	ck_assert_str_eq(put("a", "x"), "");
	files_clean(out_fd);
	ck_assert_int_eq(entries(&hidden), 2); /* .other, and that of "a" */
	ck_assert_str_eq(commit("a"), "");
	ck_assert_str_eq(text_of("a"), "x");
}
END_TEST

START_TEST(a_disk_that_is_full_is_said_and_breaks_the_output)
{
	struct rlimit limit = {4, 4}; /* as if there were four bytes */
	int hidden;

	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_str_eq(put("a", "1234"), "");
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_ptr_nonnull(strstr(put("a", "5"), "writing failed"));
	ck_assert_ptr_nonnull(strstr(put("a", "6"), "earlier"));
	ck_assert_ptr_nonnull(strstr(commit("a"), "earlier"));
	ck_assert_int_eq(entries(&hidden), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/hostcall/files");
	TCase *tcase = tcase_create("files");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_content_is_read_in_pieces);
	tcase_add_test(tcase, one_read_brings_at_most_a_megabyte);
	tcase_add_test(tcase,
	    an_output_is_visible_when_it_is_committed_and_whole);
	tcase_add_test(tcase, a_committed_output_replaces_an_older_file);
	tcase_add_test(tcase, an_output_may_lie_in_folders);
	tcase_add_test(tcase, calls_are_carried_out_in_order);
	tcase_add_test(tcase, what_was_not_written_cannot_be_committed);
	tcase_add_test(tcase, names_that_lead_elsewhere_are_refused);
	tcase_add_test(tcase, links_in_the_output_folder_lead_nowhere);
	tcase_add_test(tcase, open_outputs_are_limited);
	tcase_add_test(tcase, the_bytes_of_an_invocation_are_limited);
	tcase_add_test(tcase, calls_that_wait_are_limited);
	tcase_add_test(tcase, a_request_without_files_is_told_so);
	tcase_add_test(tcase, a_trigger_without_output_reads_only);
	tcase_add_test(tcase, freeing_removes_what_was_not_committed);
	tcase_add_test(tcase, done_may_free_the_files);
	tcase_add_test(tcase, the_descriptors_may_be_closed_before_the_files);
	tcase_add_test(tcase, cleaning_removes_what_nobody_writes_any_more);
	tcase_add_test(tcase,
	    a_disk_that_is_full_is_said_and_breaks_the_output);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
