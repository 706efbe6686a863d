/*
 * test_logbook.c - lines, files, followers, and what happens when it is full.
 *
 * Runs in: tests.
 */
#include "runtime/loop/loop.h"
#include "runtime/stat/logbook.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 1000000

static char dir[] = "/tmp/perilune-logbook-XXXXXX";
static int dirfd_;
static struct loop *loop;
static struct logbook *logbook;
static struct err err;
static struct buf seen;
static int nseen;

static void
reopen(uint64_t file_bytes, enum logbook_echo echo)
{
	logbook = logbook_open(loop, dirfd_, "log", file_bytes, echo, &err);
	ck_assert_msg(logbook != NULL, "%s", err.msg);
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	dirfd_ = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	loop = loop_new(&err);
	reopen(FILE_BYTES, LOGBOOK_QUIET);
}

static void
teardown(void)
{
	char command[128];

	logbook_close(logbook);
	loop_free(loop);
	(void)close(dirfd_);
	buf_fini(&seen);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void
on_line(struct slice line, void *arg)
{
	buf_add_slice(&seen, line);
	buf_putc(&seen, '\n');
	nseen++;
}

static json_t *
newest(void)
{
	json_t *json;

	buf_reset(&seen, SIZE_MAX);
	logbook_tail(logbook, NULL, 1, on_line, NULL);
	ck_assert_ptr_nonnull(seen.p);
	ck_assert_ptr_eq(memchr(seen.p, '\n', seen.n), seen.p + seen.n - 1);
	json = json_loadb(seen.p, seen.n, 0, NULL);
	ck_assert_ptr_nonnull(json);
	return json;
}

static void
stop(void *arg)
{
	loop_stop(loop);
}

static void
flush(void)
{
	logbook_flush(logbook, stop, NULL);
	ck_assert_int_eq(loop_run(loop, &err), 0);
}

static struct buf
file(const char *name)
{
	struct buf content = {0};
	int fd = openat(dirfd_, name, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return content;
	while ((n = read(fd, buf_room(&content, 65536), 65536)) > 0)
		content.n += (size_t)n;
	(void)close(fd);
	buf_putc(&content, '\0');
	return content;
}

static void
say(const char *function, const char *message)
{
	logbook_write(logbook, LOG_LEVEL_INFO, function, 3, "r1",
	    slice_of(message), (struct slice){0});
}

START_TEST(a_line_has_all_its_fields)
{
	json_t *json;

	logbook_write(logbook, LOG_LEVEL_WARN, "hello", 3, "req-1", SLICE("hi"),
	    SLICE("{\"a\": [1, \"x y\\\" z\"],\n \"b\":2}"));
	json = newest();
	ck_assert_int_eq(json_object_size(json), 7);
	ck_assert_str_eq(json_string_value(json_object_get(json, "level")),
	    "warn");
	ck_assert_str_eq(json_string_value(json_object_get(json, "function")),
	    "hello");
	ck_assert_int_eq(json_integer_value(json_object_get(json, "version")),
	    3);
	ck_assert_str_eq(json_string_value(json_object_get(json, "request_id")),
	    "req-1");
	ck_assert_str_eq(json_string_value(json_object_get(json, "message")),
	    "hi");
	ck_assert_uint_eq(json_string_length(json_object_get(json, "time")),
	    24);
	ck_assert_ptr_nonnull(
	    strstr(seen.p, "\"fields\":{\"a\":[1,\"x y\\\" z\"],\"b\":2}}"));
	json_decref(json);
}
END_TEST

START_TEST(the_platforms_own_lines_name_no_function)
{
	json_t *json;

	logbook_note(logbook, LOG_LEVEL_INFO, "listening on %d", 80);
	json = newest();
	ck_assert(json_is_null(json_object_get(json, "function")));
	ck_assert(json_is_null(json_object_get(json, "version")));
	ck_assert(json_is_null(json_object_get(json, "request_id")));
	ck_assert_str_eq(json_string_value(json_object_get(json, "message")),
	    "listening on 80");
	json_decref(json);
}
END_TEST

START_TEST(hostile_text_stays_one_line_of_json)
{
	static const char *const fields[] = {"{", "[1]", "{\"a\":1}x", "nul",
	    "{\"a\":\x01}", "\xff\xfe", "{\"a\":\"\n\"}", "\"s\"",
	    "{\"a\":1e999}", "{\"a\":99999999999999999999}"};
	json_t *json;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		logbook_write(logbook, LOG_LEVEL_INFO, "f", 1, "r",
		    SLICE("a\nb\x1b[2J\xff\"\\"), slice_of(fields[i]));
		json = newest();
		ck_assert_ptr_null(memchr(seen.p, 0x1b, seen.n));
		ck_assert(json_is_string(json_object_get(json, "fields")));
		json_decref(json);
	}
}
END_TEST

START_TEST(deep_nesting_is_kept_as_text)
{
	static char deep[8192];
	json_t *json;

	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"a\":", 5);
	logbook_write(logbook, LOG_LEVEL_INFO, "f", 1, "r", SLICE("m"),
	    slice_from(deep, sizeof(deep)));
	json = newest();
	ck_assert(json_is_string(json_object_get(json, "fields")));
	json_decref(json);
}
END_TEST

START_TEST(long_text_is_cut_and_counted)
{
	size_t n = 100u << 20;
	char *big = malloc(n);
	struct logbook_stats stats;
	json_t *json;

	ck_assert_ptr_nonnull(big);
	memset(big, 'x', n);
	logbook_write(logbook, LOG_LEVEL_INFO, "f", 1, "r", slice_from(big, n),
	    slice_from(big, n));
	json = newest();
	ck_assert_uint_eq(json_string_length(json_object_get(json, "message")),
	    LOGBOOK_MESSAGE_BYTES);
	ck_assert_uint_eq(json_string_length(json_object_get(json, "fields")),
	    LOGBOOK_FIELDS_BYTES);
	json_decref(json);
	free(big);
	logbook_stats(logbook, &stats);
	ck_assert_uint_eq(stats.cut, 1);
}
END_TEST

START_TEST(tail_gives_the_newest_of_one_function_in_order)
{
	say("f", "f1");
	say("g", "g1");
	say("f", "f2");
	logbook_note(logbook, LOG_LEVEL_INFO, "p");
	say("f", "f3");
	logbook_tail(logbook, "f", 2, on_line, NULL);
	buf_putc(&seen, '\0');
	ck_assert_int_eq(nseen, 2);
	ck_assert_ptr_nonnull(strstr(seen.p, "f2"));
	ck_assert(strstr(seen.p, "f2") < strstr(seen.p, "f3"));
	logbook_tail(logbook, NULL, 100, on_line, NULL);
	ck_assert_int_eq(nseen, 7);
	logbook_tail(logbook, "nobody", 100, on_line, NULL);
	logbook_tail(logbook, NULL, 0, on_line, NULL);
	ck_assert_int_eq(nseen, 7);
}
END_TEST

static void
count_bytes(struct slice line, void *arg)
{
	*(size_t *)arg += line.n;
}

START_TEST(memory_keeps_only_the_newest)
{
	static char text[1000];
	size_t bytes = 0;

	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 10000; i++)
		say("f", text);
	say("f", "last");
	logbook_tail(logbook, NULL, SIZE_MAX, count_bytes, &bytes);
	ck_assert_uint_le(bytes, LOGBOOK_MEMORY_BYTES);
	ck_assert_uint_ge(bytes, LOGBOOK_MEMORY_BYTES / 2);
	json_decref(newest());
	ck_assert_ptr_nonnull(memmem(seen.p, seen.n, "last", 4));
}
END_TEST

START_TEST(lines_reach_the_file_in_order)
{
	struct buf content;
	char text[32];
	const char *at;

	for (int i = 0; i < 500; i++) {
		(void)snprintf(text, sizeof(text), "line-%d.", i);
		say("f", text);
	}
	flush();
	content = file("log/perilune.log");
	at = content.p;
	for (int i = 0; i < 500; i++) {
		(void)snprintf(text, sizeof(text), "line-%d.", i);
		at = strstr(at, text);
		ck_assert_ptr_nonnull(at);
	}
	buf_fini(&content);
}
END_TEST

START_TEST(closing_writes_what_waits)
{
	struct buf content;

	for (int i = 0; i < 100; i++)
		say("f", "early");
	say("f", "final");
	logbook_close(logbook);
	loop_free(loop);
	loop = loop_new(&err);
	reopen(FILE_BYTES, LOGBOOK_QUIET);
	content = file("log/perilune.log");
	ck_assert_ptr_nonnull(strstr(content.p, "final"));
	buf_fini(&content);
}
END_TEST

START_TEST(a_full_file_is_renamed)
{
	struct buf now;
	struct buf old;
	static char text[900];

	memset(text, 'x', sizeof(text) - 1);
	logbook_reopen(logbook, 65536);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 50; i++)
			say("f", text);
		flush();
	}
	now = file("log/perilune.log");
	old = file("log/perilune.log.1");
	ck_assert_uint_gt(now.n, 0);
	ck_assert_uint_le(now.n, 65537);
	ck_assert_uint_gt(old.n, 30000);
	ck_assert_uint_le(old.n, 65537);
	ck_assert_int_eq(old.p[old.n - 2], '\n');
	buf_fini(&now);
	buf_fini(&old);
}
END_TEST

START_TEST(a_file_that_was_moved_away_is_made_again)
{
	struct buf content;

	say("f", "one");
	flush();
	ck_assert_int_eq(renameat(dirfd_, "log/perilune.log", dirfd_,
			     "log/mine"),
	    0);
	say("f", "two");
	flush();
	content = file("log/perilune.log");
	ck_assert_ptr_nonnull(strstr(content.p, "two"));
	ck_assert_ptr_null(strstr(content.p, "one"));
	buf_fini(&content);
}
END_TEST

START_TEST(half_a_line_of_an_earlier_life_is_taken_back)
{
	struct buf content;
	int fd;

	say("f", "whole");
	logbook_close(logbook);
	loop_free(loop);
	loop = loop_new(&err);
	fd = openat(dirfd_, "log/perilune.log", O_WRONLY | O_APPEND);
	ck_assert_int_eq(write(fd, "{\"time\":\"20", 11), 11);
	(void)close(fd);
	reopen(FILE_BYTES, LOGBOOK_QUIET);
	say("f", "next");
	flush();
	content = file("log/perilune.log");
	ck_assert_ptr_nonnull(strstr(content.p, "whole"));
	ck_assert_ptr_nonnull(strstr(content.p, "}\n{\"time\""));
	ck_assert_ptr_null(strstr(content.p, "\"20{"));
	buf_fini(&content);
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
	ck_assert_int_eq(mkdirat(dirfd_, "l2", 0700), 0);
	ck_assert_int_eq(mkfifoat(dirfd_, "l2/perilune.log", 0600), 0);
	ck_assert_ptr_null(
	    logbook_open(loop, dirfd_, "l2", FILE_BYTES, LOGBOOK_QUIET, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "not a regular file"));
	ck_assert_int_eq(symlinkat("/tmp", dirfd_, "l3"), 0);
	ck_assert_ptr_null(
	    logbook_open(loop, dirfd_, "l3", FILE_BYTES, LOGBOOK_QUIET, &err));
}
END_TEST

START_TEST(a_slow_file_drops_lines_and_says_so_later)
{
	static char text[30000];
	struct logbook_stats stats;
	struct buf content;

	memset(text, 'x', sizeof(text) - 1);
	logbook_reopen(logbook, 100u << 20);
	for (int i = 0; i < 400; i++) /* 12 MB; the loop does not run */
		say("f", text);
	logbook_stats(logbook, &stats);
	ck_assert_uint_gt(stats.dropped, 50);
	ck_assert_uint_eq(stats.lines, 400);
	flush();
	flush();
	content = file("log/perilune.log");
	ck_assert_uint_lt(content.n, (9u << 20));
	ck_assert_ptr_nonnull(strstr(content.p, "log lines were dropped here"));
	buf_fini(&content);
}
END_TEST

START_TEST(a_failing_file_is_counted_and_tried_again)
{
	struct logbook_stats stats;
	struct buf content;

	say("f", "one");
	flush();
	ck_assert_int_eq(unlinkat(dirfd_, "log/perilune.log", 0), 0);
	ck_assert_int_eq(mkdirat(dirfd_, "log/perilune.log", 0700), 0);
	say("f", "lost");
	flush();
	logbook_stats(logbook, &stats);
	ck_assert_uint_eq(stats.dropped, 1);
	ck_assert_int_eq(unlinkat(dirfd_, "log/perilune.log", AT_REMOVEDIR), 0);
	say("f", "back");
	flush();
	flush();
	content = file("log/perilune.log");
	ck_assert_ptr_nonnull(strstr(content.p, "back"));
	ck_assert_ptr_nonnull(strstr(content.p, "1 log lines were dropped"));
	buf_fini(&content);
}
END_TEST

static struct logbook_follower *follower;

static void
on_followed(struct slice line, void *arg)
{
	if (++nseen == 2)
		logbook_unfollow(follower);
}

START_TEST(followers_get_their_lines_until_they_leave)
{
	struct logbook_follower *all;

	follower = logbook_follow(logbook, "f", on_followed, NULL);
	all = logbook_follow(logbook, NULL, count_bytes, &(size_t){0});
	say("g", "not mine");
	logbook_note(logbook, LOG_LEVEL_INFO, "nor this");
	ck_assert_int_eq(nseen, 0);
	say("f", "1");
	say("f", "2");
	say("f", "3");
	ck_assert_int_eq(nseen, 2);
	logbook_unfollow(all);
	logbook_unfollow(NULL);
}
END_TEST

/* stderr becomes a pipe for the time of one call of fn. */
static struct buf
stderr_of(void (*fn)(void), bool read_it)
{
	struct buf out = {0};
	int saved = dup(STDERR_FILENO);
	int fds[2];
	ssize_t n;

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	(void)close(fds[1]);
	fn();
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(saved);
	while (read_it && (n = read(fds[0], buf_room(&out, 65536), 65536)) > 0)
		out.n += (size_t)n;
	(void)close(fds[0]);
	buf_putc(&out, '\0');
	return out;
}

static void
echo_some(void)
{
	logbook_note(logbook, LOG_LEVEL_WARN, "careful \x1b[2J\xc2\x9b now");
	say("f", "private");
}

START_TEST(the_echo_shows_the_platform_and_no_control_bytes)
{
	struct buf out;

	logbook_close(logbook);
	reopen(FILE_BYTES, LOGBOOK_PLATFORM);
	out = stderr_of(echo_some, true);
	ck_assert_ptr_nonnull(strstr(out.p, " warn  careful ?[2J? now\n"));
	ck_assert_ptr_null(strstr(out.p, "private"));
	ck_assert_ptr_null(strchr(out.p, 0x1b));
	buf_fini(&out);
	logbook_close(logbook);
	loop_free(loop);
	loop = loop_new(&err);
	reopen(FILE_BYTES, LOGBOOK_ALL);
	out = stderr_of(echo_some, true);
	ck_assert_ptr_nonnull(strstr(out.p, " info  f@3: private\n"));
	buf_fini(&out);
}
END_TEST

static void
echo_much(void)
{
	static char text[8000];

	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 100; i++)
		say("f", text);
}

START_TEST(a_full_stderr_blocks_nothing)
{
	struct logbook_stats stats;
	struct buf out;

	logbook_close(logbook);
	reopen(FILE_BYTES, LOGBOOK_ALL);
	out = stderr_of(echo_much, false);
	buf_fini(&out);
	logbook_stats(logbook, &stats);
	ck_assert_uint_ge(stats.echo_dropped, 80);
	ck_assert_uint_le(stats.echo_dropped, 99);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/stat/logbook");
	TCase *tcase = tcase_create("logbook");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, a_line_has_all_its_fields);
	tcase_add_test(tcase, the_platforms_own_lines_name_no_function);
	tcase_add_test(tcase, hostile_text_stays_one_line_of_json);
	tcase_add_test(tcase, deep_nesting_is_kept_as_text);
	tcase_add_test(tcase, long_text_is_cut_and_counted);
	tcase_add_test(tcase, tail_gives_the_newest_of_one_function_in_order);
	tcase_add_test(tcase, memory_keeps_only_the_newest);
	tcase_add_test(tcase, lines_reach_the_file_in_order);
	tcase_add_test(tcase, closing_writes_what_waits);
	tcase_add_test(tcase, a_full_file_is_renamed);
	tcase_add_test(tcase, a_file_that_was_moved_away_is_made_again);
	tcase_add_test(tcase, half_a_line_of_an_earlier_life_is_taken_back);
	tcase_add_test(tcase, what_is_no_file_is_refused);
	tcase_add_test(tcase, a_slow_file_drops_lines_and_says_so_later);
	tcase_add_test(tcase, a_failing_file_is_counted_and_tried_again);
	tcase_add_test(tcase, followers_get_their_lines_until_they_leave);
	tcase_add_test(tcase, the_echo_shows_the_platform_and_no_control_bytes);
	tcase_add_test(tcase, a_full_stderr_blocks_nothing);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
