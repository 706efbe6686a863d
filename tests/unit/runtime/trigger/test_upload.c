/*
 * test_upload.c - files that arrive: real folders, a real loop, a store and a
 * function of the test's own.
 *
 * Runs in: tests.
 */
#include "runtime/trigger/upload.h"
#include "sandbox/base/clock.h"
#include "tests/unit/runtime/trigger/store_double.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define RUNS_MAX    4096

static struct loop *loop;
static struct store store;
static struct uploads *uploads;
static struct upload_config config;
static char folder[64]; /* has uploads/ and state/ */
static int root_fd, state_fd;

/* --- the function --------------------------------------------------------- */

struct run_seen {
	uint64_t id;
	uint32_t attempt;
	char function[65];
	char event[1024];
	char content[256];
	bool has_output;
	bool open; /* upload_finished was not called yet */
};

static struct run_seen runs[RUNS_MAX];
static size_t nruns, open_runs, most_open;
static enum { FINISH, HOLD, FAIL, BUSY } behaviour;
static size_t fail_first; /* so many runs fail, then they finish */
static char notes[8192];
static bool write_output;

static void
finish_run(size_t i, const char *error, bool retry_now)
{
	ck_assert(runs[i].open);
	runs[i].open = false;
	open_runs--;
	upload_finished(uploads, runs[i].id, error, retry_now);
}

static void
finish_soon(void *arg)
{
	struct run_seen *run = arg;
	size_t i = (size_t)(run - runs);

	if (!run->open)
		return; /* its gateway was killed */
	if (behaviour == FAIL || i < fail_first)
		finish_run(i, "bad row 17", false);
	else if (behaviour == BUSY)
		finish_run(i, "no worker", true);
	else
		finish_run(i, NULL, false);
}

static void
put_output(int dirfd)
{
	int fd = openat(dirfd, ".new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	ck_assert_int_eq(write(fd, "result", 6), 6);
	(void)close(fd);
	ck_assert_int_eq(renameat(dirfd, ".new", dirfd, "result.csv"), 0);
}

static void
on_run(const struct upload_run *run, void *arg)
{
	struct run_seen *seen = &runs[nruns++];
	ssize_t n;

	ck_assert_uint_lt(nruns, RUNS_MAX);
	*seen = (struct run_seen){.id = run->event_id,
	    .attempt = run->attempt,
	    .has_output = run->output_fd >= 0,
	    .open = true};
	(void)slice_copy(seen->event, sizeof(seen->event), run->event);
	(void)slice_copy(seen->function, sizeof(seen->function),
	    slice_of(run->function));
	n = pread(run->content_fd, seen->content, sizeof(seen->content) - 1, 0);
	ck_assert_int_ge(n, 0);
	if (write_output && run->output_fd >= 0)
		put_output(run->output_fd);
	if (++open_runs > most_open)
		most_open = open_runs;
	if (behaviour != HOLD)
		loop_defer(loop, finish_soon, seen);
}

static void
on_note(const char *function, const char *what, void *arg)
{
	size_t n = strlen(notes);

	(void)snprintf(notes + n, sizeof(notes) - n, "%s\n", what);
}

static const struct upload_callbacks callbacks = {.run = on_run,
    .on_note = on_note};

/* --- versions ------------------------------------------------------------- */

static void
set_in(const char *function, const char *dir, const char *pattern,
    const char *output)
{
	struct fn_upload upload = {.dir = slice_dup(slice_of(dir)),
	    .pattern = slice_dup(slice_of(pattern)),
	    .output = output == NULL ? NULL : slice_dup(slice_of(output))};
	struct fn_version version = {
	    .manifest = {.uploads = &upload, .nuploads = 1}};

	uploads_set(uploads, function, &version);
	free(upload.dir);
	free(upload.pattern);
	free(upload.output);
}

static void
set(const char *function)
{
	set_in(function, "in", "*.csv", "out");
}

/* --- running -------------------------------------------------------------- */

static struct loop_timer *tick;
static bool (*until)(void);
static uint64_t give_up_us;
static bool came;
static size_t wanted;

static void
on_tick(void *arg)
{
	came = until();
	if (came || clock_mono_us() > give_up_us)
		loop_stop(loop);
	else
		loop_timer_start(tick, 500);
}

static bool
run_for(bool (*condition)(void), uint64_t ms)
{
	struct err err;

	until = condition;
	give_up_us = clock_mono_us() + ms * 1000;
	loop_timer_start(tick, 0);
	ck_assert_int_eq(loop_run(loop, &err), 0);
	return came;
}

static bool
never(void)
{
	return false;
}

static size_t
count_state(enum store_event_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < store.n; i++)
		n += store.rows[i].e.state == state;
	return n;
}

static bool
all_done(void)
{
	return store.n >= wanted && count_state(STORE_EVENT_DONE) == store.n;
}

static bool
all_failed(void)
{
	return store.n >= wanted && count_state(STORE_EVENT_FAILED) == store.n;
}

static bool
all_accepted(void)
{
	return store.n >= wanted;
}

static bool
all_open(void)
{
	return open_runs >= wanted;
}

static bool
all_refused(void)
{
	struct upload_stats stats;

	uploads_stats(uploads, &stats);
	return stats.refused >= wanted;
}

static void
expect(bool (*condition)(void), size_t n)
{
	wanted = n;
	ck_assert_msg(run_for(condition, PATIENCE_MS),
	    "%zu events, %zu done, %zu failed, %zu open\n%s", store.n,
	    count_state(STORE_EVENT_DONE), count_state(STORE_EVENT_FAILED),
	    open_runs, notes);
}

/* --- files ---------------------------------------------------------------- */

static int
open_file(const char *path, int flags)
{
	int fd = openat(root_fd, path, flags | O_CLOEXEC, 0644);

	ck_assert_msg(fd >= 0, "%s", path);
	return fd;
}

static void
put(const char *path, const char *text)
{
	int fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
	size_t n = strlen(text);

	ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
	ck_assert_int_eq(close(fd), 0);
}

static void
make_folder(const char *path)
{
	ck_assert_msg(mkdirat(root_fd, path, 0755) == 0, "%s", path);
}

static void
move(const char *from, const char *to)
{
	ck_assert_int_eq(renameat(root_fd, from, root_fd, to), 0);
}

/* So many contents are in the spool. */
static size_t
spooled(void)
{
	int fd = openat(state_fd, "spool", O_RDONLY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	size_t n = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

static bool
spool_is_empty(void)
{
	return spooled() == 0;
}

/* After a marker went the whole way there is no event but n and the
 * markers. */
static void
still(size_t n)
{
	static int number;
	char path[64];

	(void)snprintf(path, sizeof(path), "in/marker%d.csv", number++);
	put(path, "marker");
	expect(all_accepted, n + 1);
	(void)run_for(never, 3 * config.settle_ms);
	ck_assert_uint_eq(store.n, n + 1);
}

/* --- life ----------------------------------------------------------------- */

static void
begin(void)
{
	uploads =
	    uploads_new(loop, &store, root_fd, state_fd, &callbacks, NULL);
	uploads_configure(uploads, &config);
}

static void
start(void)
{
	begin();
	set("f");
	uploads_start(uploads);
}

/* The gateway dies, whatever it was doing. */
static void
kill_gateway(void)
{
	struct err err;

	loop_timer_free(tick);
	uploads_free(uploads);
	loop_free(loop); /* jobs that ran finish */
	uploads = NULL;
	loop = loop_new(&err);
	store.loop = loop;
	tick = loop_timer_new(loop, on_tick, NULL);
	for (size_t i = 0; i < nruns; i++)
		runs[i].open = false;
	open_runs = 0;
}

static void
setup(void)
{
	struct err err;
	char path[96];

	(void)snprintf(folder, sizeof(folder), "/tmp/uploads.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chmod(folder, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/uploads", folder);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/state", folder);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	state_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	loop = loop_new(&err);
	store.loop = loop;
	tick = loop_timer_new(loop, on_tick, NULL);
	upload_config_init(&config);
	config.settle_ms = 20;
	config.unclosed_ms = 100;
	config.held_ms = 400;
	config.trouble_ms = 50;
	config.retry_ms[0] = 10;
	config.retry_ms[1] = 20;
	config.again_ms = 10;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void
teardown(void)
{
	loop_timer_free(tick);
	uploads_free(uploads);
	loop_free(loop);
	store_forget(&store);
	(void)close(root_fd);
	(void)close(state_fd);
	(void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- how files arrive ----------------------------------------------------- */

/* The first scan is over when a first file has gone its way. */
static void
start_watching(void)
{
	start();
	make_folder("in");
	still(0);
	expect(all_done, 1);
}

START_TEST(a_written_file_is_one_event_with_every_field)
{
	struct stat st;
	char expected[512];

	start_watching();
	put("in/a.csv", "hello\n");
	ck_assert_int_eq(fstatat(root_fd, "in/a.csv", &st, 0), 0);
	expect(all_done, 2);
	(void)snprintf(expected, sizeof(expected),
	    "{\"type\":\"upload\",\"path\":\"uploads/in/a.csv\",\"name\":"
	    "\"a.csv\",\"size\":6,\"mtime\":%lld,\"sha256\":\"5891b5b522d5df08"
	    "6d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\",\"dir\":"
	    "\"uploads/in\"}",
	    (long long)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
	ck_assert_str_eq(runs[1].event, expected);
	ck_assert_str_eq(runs[1].content, "hello\n");
	ck_assert_str_eq(runs[1].function, "f");
	ck_assert_uint_eq(runs[1].attempt, 1);
	ck_assert(runs[1].has_output);
	ck_assert_int_eq(fstatat(root_fd, "out", &st, 0), 0);
	ck_assert_str_eq(store.rows[1].note, "uploads/in/a.csv");
	ck_assert_str_eq(store.rows[1].function, "f");
	ck_assert_uint_eq(store.rows[1].e.bytes, 6);
	ck_assert_uint_eq(store.rows[1].e.attempts, 1);
	ck_assert_int_ne(store.rows[1].e.finished_ms, 0);
	still(2);
}
END_TEST

static int slow_fd;
static int slow_parts;
static struct loop_timer *slow_timer;

static void
on_slow(void *arg)
{
	if (slow_parts-- == 0) {
		(void)close(slow_fd);
		return;
	}
	ck_assert_int_eq(write(slow_fd, "part", 4), 4);
	/* Pauses longer than a file takes to settle. */
	loop_timer_start(slow_timer, config.settle_ms * 3000);
}

START_TEST(a_slow_copy_is_one_event)
{
	start_watching();
	slow_timer = loop_timer_new(loop, on_slow, NULL);
	slow_fd = open_file("in/slow.csv", O_WRONLY | O_CREAT);
	slow_parts = 10;
	on_slow(NULL);
	expect(all_done, 2);
	ck_assert_str_eq(runs[1].content,
	    "partpartpartpartpartpartpartpartpartpart");
	loop_timer_free(slow_timer);
	still(2);
}
END_TEST

START_TEST(a_file_renamed_in_is_one_event)
{
	start_watching();
	put("elsewhere", "a");
	move("elsewhere", "in/a.csv");
	expect(all_done, 2);
	put("in/b.csv.part", "b");
	move("in/b.csv.part", "in/b.csv");
	expect(all_done, 3);
	still(3);
}
END_TEST

START_TEST(a_hard_link_is_one_event)
{
	start_watching();
	put("elsewhere", "a");
	ck_assert_int_eq(linkat(root_fd, "elsewhere", root_fd, "in/a.csv", 0),
	    0);
	expect(all_done, 2);
	ck_assert_str_eq(runs[1].content, "a");
	ck_assert_int_eq(unlinkat(root_fd, "elsewhere", 0), 0);
	still(2);
}
END_TEST

START_TEST(files_in_new_subfolders_are_events)
{
	start_watching();
	make_folder("in/a");
	make_folder("in/a/b");
	put("in/a/b/first.csv", "1");
	expect(all_done, 2);
	put("in/a/b/second.csv", "2");
	put("in/a/third.csv", "3");
	expect(all_done, 4);
	make_folder("moved");
	make_folder("moved/deeper");
	put("moved/deeper/fourth.csv", "4");
	move("moved", "in/moved");
	expect(all_done, 5);
	put("in/moved/deeper/fifth.csv", "5");
	expect(all_done, 6);
	still(6);
}
END_TEST

/* Another process, so that folders are walked while they fill. */
static void
fill_folders(void)
{
	char path[64];

	for (int i = 0; i < 200; i++) {
		(void)snprintf(path, sizeof(path), "in/%d", i);
		if (mkdirat(root_fd, path, 0755) < 0)
			_exit(1);
		for (int j = 0; j < 4; j++) {
			(void)snprintf(path, sizeof(path), "in/%d/%d.csv", i,
			    j);
			(void)close(
			    openat(root_fd, path, O_WRONLY | O_CREAT, 0644));
			(void)usleep(100);
		}
	}
	_exit(0);
}

START_TEST(folders_that_fill_while_they_are_found_lose_nothing)
{
	pid_t pid;
	int status;

	start_watching();
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		fill_folders();
	expect(all_done, 801);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	still(801);
}
END_TEST

START_TEST(files_that_came_while_the_gateway_was_down_are_found)
{
	make_folder("in");
	make_folder("in/sub");
	put("in/a.csv", "a");
	put("in/sub/b.csv", "b");
	start();
	expect(all_done, 2);
	kill_gateway();
	put("in/c.csv", "c");
	put("in/a.csv", "a, changed");
	start();
	expect(all_done, 4);
	still(4);
}
END_TEST

START_TEST(an_overflow_of_the_queue_loses_nothing)
{
	struct upload_stats stats;

	start_watching();
	for (int i = 0; i < 10000; i++) { /* twice 16,384 events */
		(void)close(open_file("in/.a", O_WRONLY | O_CREAT));
		(void)close(open_file("in/.b", O_WRONLY | O_CREAT));
	}
	put("in/lost.csv", "a");
	make_folder("in/sub");
	put("in/sub/lost.csv", "b");
	expect(all_done, 3);
	ck_assert_ptr_nonnull(strstr(notes, "too many files"));
	uploads_stats(uploads, &stats);
	ck_assert_uint_ge(stats.rescans, 1);
	still(3);
}
END_TEST

START_TEST(a_rescan_finds_nothing_new_where_nothing_is)
{
	struct upload_stats stats;
	size_t finds;

	start_watching();
	put("in/a.csv", "a");
	expect(all_done, 2);
	(void)run_for(never, 100);
	finds = store.finds;
	uploads_rescan(uploads);
	(void)run_for(never, 1500);
	uploads_stats(uploads, &stats);
	ck_assert_uint_eq(stats.rescans, 1);
	ck_assert_uint_eq(store.finds, finds);
	ck_assert_uint_eq(store.n, 2);
}
END_TEST

START_TEST(a_thousand_files_at_once_are_a_thousand_events)
{
	char path[64];

	start_watching();
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(path, sizeof(path), "in/%d.csv", i);
		put(path, path);
	}
	expect(all_done, 1001);
	ck_assert_uint_eq(store.n, 1001);
	ck_assert_uint_eq(nruns, 1001);
	ck_assert(run_for(spool_is_empty, PATIENCE_MS));
	still(1001);
}
END_TEST

START_TEST(names_of_unfinished_and_hidden_files_are_ignored)
{
	static const char *const names[] = {"in/a.txt", "in/.a.csv",
	    "in/a.csv~", "in/a.csv.part", "in/a.csv.tmp", "in/a.csv.crdownload",
	    "a.csv"};

	start_watching();
	set_in("g", "in", "*", NULL);
	expect(all_done, 2); /* the marker is g's too */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put(names[i], "a");
	make_folder("in/.hidden");
	put("in/.hidden/a.csv", "a");
	expect(all_done, 3); /* a.txt for g */
	(void)run_for(never, 200);
	ck_assert_uint_eq(store.n, 3);
	ck_assert_str_eq(store.rows[2].note, "uploads/in/a.txt");
}
END_TEST

START_TEST(two_functions_get_an_event_each)
{
	start_watching();
	set("g");
	expect(all_done, 2);
	put("in/a.csv", "both");
	expect(all_done, 4);
	ck_assert_str_eq(runs[2].content, "both");
	ck_assert_str_eq(runs[3].content, "both");
	ck_assert_str_ne(runs[2].function, runs[3].function);
	ck_assert(run_for(spool_is_empty, PATIENCE_MS));
}
END_TEST

START_TEST(an_output_may_be_the_upload_of_another_function)
{
	write_output = true;
	start_watching();
	set_in("g", "out", "*", NULL);
	put("in/a.csv", "a");
	(void)run_for(never, 500);
	ck_assert_uint_ge(store.n, 3);
	ck_assert_str_eq(store.rows[store.n - 1].note,
	    "uploads/out/result.csv");
	ck_assert_str_eq(store.rows[store.n - 1].function, "g");
	ck_assert_str_eq(runs[nruns - 1].content, "result");
	ck_assert(!runs[nruns - 1].has_output);
}
END_TEST

/* --- versions ------------------------------------------------------------- */

START_TEST(overwriting_during_the_run_is_a_second_event)
{
	start_watching();
	behaviour = HOLD;
	put("in/a.csv", "first");
	expect(all_open, 1);
	put("in/a.csv", "second");
	expect(all_open, 2);
	ck_assert_str_eq(runs[1].content, "first");
	ck_assert_str_eq(runs[2].content, "second");
	finish_run(2, NULL, false);
	finish_run(1, NULL, false);
	expect(all_done, 3);
}
END_TEST

static bool
is_copying(void)
{
	return faccessat(state_fd, "spool/.copying-0", F_OK, 0) == 0;
}

START_TEST(a_file_that_changes_while_it_is_copied_settles_again)
{
	int fd;

	start_watching();
	fd = open_file("in/a.csv", O_WRONLY | O_CREAT);
	ck_assert_int_eq(ftruncate(fd, 64 * 1024 * 1024), 0);
	(void)close(fd);
	ck_assert(run_for(is_copying, PATIENCE_MS));
	fd = open_file("in/a.csv", O_WRONLY);
	ck_assert_int_eq(write(fd, "new", 3), 3);
	(void)close(fd);
	expect(all_done, 2);
	ck_assert_str_eq(runs[1].content, "new");
	still(2);
}
END_TEST

static bool
accept_is_held(void)
{
	return store.held != NULL;
}

START_TEST(a_file_that_changes_while_it_is_accepted_is_seen)
{
	start_watching();
	store.hold_accepts = true;
	put("in/a.csv", "first");
	ck_assert(run_for(accept_is_held, PATIENCE_MS));
	put("in/a.csv", "second");
	(void)run_for(never, 100);
	ck_assert_uint_eq(store.n, 2);
	store.hold_accepts = false;
	loop_defer(loop, on_reply, store.held);
	store.held = NULL;
	expect(all_done, 3);
	ck_assert_str_eq(runs[1].content, "first");
	ck_assert_str_eq(runs[2].content, "second");
}
END_TEST

START_TEST(deleting_the_file_does_not_take_the_content)
{
	start_watching();
	behaviour = HOLD;
	put("in/a.csv", "here");
	expect(all_accepted, 2);
	ck_assert_int_eq(unlinkat(root_fd, "in/a.csv", 0), 0);
	expect(all_open, 1);
	ck_assert_str_eq(runs[1].content, "here");
}
END_TEST

START_TEST(touching_only_the_inode_is_no_new_version)
{
	start_watching();
	put("in/a.csv", "a");
	expect(all_done, 2);
	ck_assert_int_eq(fchmodat(root_fd, "in/a.csv", 0600, 0), 0);
	(void)run_for(never, 300);
	move("in/a.csv", "away");
	(void)run_for(never, 100);
	move("away", "in/a.csv");
	(void)run_for(never, 300);
	kill_gateway();
	start();
	still(2);
}
END_TEST

static void
write_keeping_time(const char *path, const char *text)
{
	struct stat st;
	struct timespec times[2];

	ck_assert_int_eq(fstatat(root_fd, path, &st, 0), 0);
	put(path, text);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	ck_assert_int_eq(utimensat(root_fd, path, times, 0), 0);
}

START_TEST(other_content_of_the_same_size_and_time_is_a_new_version)
{
	start_watching();
	put("in/a.csv", "AAAA");
	expect(all_done, 2);
	write_keeping_time("in/a.csv", "BBBB");
	expect(all_done, 3);
	ck_assert_str_eq(runs[2].content, "BBBB");
	write_keeping_time("in/a.csv", "AAAA"); /* again: a third version */
	expect(all_done, 4);
	kill_gateway();
	write_keeping_time("in/a.csv", "CCCC");
	start();
	expect(all_done, 5);
	ck_assert_str_eq(runs[4].content, "CCCC");
	kill_gateway();
	start();
	still(5);
}
END_TEST

START_TEST(a_file_that_is_held_open_is_not_complete)
{
	int fd;

	start_watching();
	fd = open_file("in/a.csv", O_WRONLY | O_CREAT);
	ck_assert_int_eq(write(fd, "half", 4), 4);
	(void)run_for(never, 300);
	ck_assert_uint_eq(store.n, 1);
	expect(all_done, 2); /* after held_ms nevertheless */
	ck_assert_str_eq(runs[1].content, "half");
	ck_assert_int_eq(write(fd, "full", 4), 4);
	(void)close(fd);
	expect(all_done, 3);
	ck_assert_str_eq(runs[2].content, "halffull");
	still(3);
}
END_TEST

/* The gateway was down when it was begun, or it is written elsewhere. */
START_TEST(a_file_that_somebody_writes_is_not_complete)
{
	int fd;
	int linked;

	make_folder("in");
	fd = open_file("in/a.csv", O_WRONLY | O_CREAT);
	ck_assert_int_eq(write(fd, "half", 4), 4);
	start();
	linked = open_file("elsewhere", O_WRONLY | O_CREAT);
	ck_assert_int_eq(write(linked, "half", 4), 4);
	(void)run_for(never, 50);
	ck_assert_int_eq(linkat(root_fd, "elsewhere", root_fd, "in/b.csv", 0),
	    0);
	(void)run_for(never, 200); /* over unclosed_ms */
	ck_assert_uint_eq(store.n, 0);
	ck_assert_int_eq(write(fd, "full", 4), 4);
	ck_assert_int_eq(write(linked, "full", 4), 4);
	(void)close(fd);
	(void)close(linked);
	expect(all_done, 2);
	ck_assert_str_eq(runs[0].content, "halffull");
	ck_assert_str_eq(runs[1].content, "halffull");
	still(2);
}
END_TEST

/* Without the right to ask the kernel who has a file open. */
START_TEST(a_strangers_file_settles_by_time)
{
	int fd;

	make_folder("in");
	fd = open_file("in/b.csv", O_WRONLY | O_CREAT);
	ck_assert_int_eq(write(fd, "half", 4), 4);
	ck_assert_int_eq(fchown(root_fd, 65534, 65534), 0);
	ck_assert_int_eq(fchown(state_fd, 65534, 65534), 0);
	if (seteuid(65534) < 0)
		return;
	start();
	(void)run_for(never, 60);
	ck_assert_uint_eq(store.n, 0);
	expect(all_done, 1); /* after unclosed_ms */
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(unlinkat(root_fd, "in/b.csv", 0), 0);
	(void)close(fd);
	fd = open_file("in/a.csv", O_WRONLY | O_CREAT);
	ck_assert_int_eq(seteuid(65534), 0);
	(void)run_for(never, 250);
	ck_assert_uint_eq(store.n, 1); /* it was seen being created */
	ck_assert_int_eq(write(fd, "all", 3), 3);
	(void)close(fd);
	expect(all_done, 2);
	ck_assert_str_eq(runs[1].content, "all");
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

/* --- refusing ------------------------------------------------------------- */

static char refused[8192];

static void
on_refused(const char *file, const char *why, int64_t wall_ms, void *arg)
{
	size_t n = strlen(refused);

	ck_assert_int_gt(wall_ms, 0);
	(void)snprintf(refused + n, sizeof(refused) - n, "%s: %s\n", file, why);
}

static const char *
refusals(void)
{
	refused[0] = '\0';
	uploads_refused_each(uploads, on_refused, NULL);
	return refused;
}

START_TEST(links_and_special_files_are_refused_and_said_once)
{
	start_watching();
	ck_assert_int_eq(symlinkat("/etc/passwd", root_fd, "in/link.csv"), 0);
	ck_assert_int_eq(mkfifoat(root_fd, "in/pipe.csv", 0644), 0);
	ck_assert_int_eq(symlinkat("/etc", root_fd, "in/folder"), 0);
	expect(all_refused, 2);
	ck_assert_ptr_nonnull(
	    strstr(refusals(), "uploads/in/link.csv: a symbolic link"));
	ck_assert_ptr_nonnull(
	    strstr(refusals(), "uploads/in/pipe.csv: not a regular file"));
	ck_assert_ptr_nonnull(strstr(notes, "in/pipe.csv: refused"));
	uploads_rescan(uploads);
	(void)run_for(never, 1300);
	ck_assert(!run_for(all_refused, 0) || wanted == 2);
	wanted = 3;
	ck_assert(!run_for(all_refused, 10));
	still(1);
	kill_gateway();
	start();
	expect(all_refused, 2);
}
END_TEST

START_TEST(a_link_in_the_way_leads_nowhere)
{
	make_folder("secret");
	put("secret/a.csv", "a");
	ck_assert_int_eq(symlinkat("secret", root_fd, "in"), 0);
	start();
	(void)run_for(never, 200);
	ck_assert_uint_eq(store.n, 0);
	ck_assert_ptr_nonnull(strstr(notes, "uploads/in"));
	ck_assert_int_eq(unlinkat(root_fd, "in", 0), 0);
	make_folder("in"); /* found by looking again after trouble_ms */
	put("in/b.csv", "b");
	expect(all_done, 1);
}
END_TEST

START_TEST(what_cannot_be_read_is_refused_until_it_can)
{
	make_folder("in");
	put("in/a.csv", "a");
	ck_assert_int_eq(fchmodat(root_fd, "in/a.csv", 0, 0), 0);
	ck_assert_int_eq(fchown(root_fd, 65534, 65534), 0);
	ck_assert_int_eq(fchown(state_fd, 65534, 65534), 0);
	if (seteuid(65534) < 0)
		return;
	start();
	expect(all_refused, 1);
	ck_assert_ptr_nonnull(strstr(refusals(), "cannot be read: Permission"));
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(fchmodat(root_fd, "in/a.csv", 0644, 0), 0);
	ck_assert_int_eq(seteuid(65534), 0);
	expect(all_done, 1);
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(odd_names_and_sizes_are_refused)
{
	config.max_file_bytes = 10;
	start_watching();
	put("in/a\nb.csv", "a");
	put("in/\xff.csv", "a");
	put("in/large.csv", "12345678901");
	put("in/just.csv", "1234567890");
	expect(all_refused, 3);
	expect(all_done, 2);
	ck_assert_ptr_nonnull(
	    strstr(refusals(), "uploads/in/a?b.csv: its name"));
	ck_assert_ptr_nonnull(strstr(refusals(), "large.csv: larger than 10"));
	still(2);
}
END_TEST

START_TEST(folders_that_are_too_deep_are_refused)
{
	char path[256] = "in";

	start_watching();
	for (int i = 0; i < 17; i++) {
		(void)strcat(path, "/d");
		make_folder(path);
		if (i == 15) {
			(void)strcat(path, "/a.csv");
			put(path, "deep");
			*strrchr(path, '/') = '\0';
		}
	}
	(void)strcat(path, "/a.csv");
	put(path, "too deep");
	expect(all_refused, 1);
	expect(all_done, 2);
	ck_assert_str_eq(runs[1].content, "deep");
	still(2);
}
END_TEST

START_TEST(only_the_last_hundred_refusals_are_remembered)
{
	char path[64];
	size_t lines = 0;

	start_watching();
	for (int i = 0; i < 150; i++) {
		(void)snprintf(path, sizeof(path), "in/%d.csv", i);
		ck_assert_int_eq(symlinkat("x", root_fd, path), 0);
	}
	expect(all_refused, 150);
	for (const char *p = refusals(); *p != '\0'; p++)
		lines += *p == '\n';
	ck_assert_uint_eq(lines, 100);
	ck_assert_ptr_nonnull(strstr(notes, "not all are logged"));
}
END_TEST

/* --- running -------------------------------------------------------------- */

START_TEST(a_failing_function_is_tried_three_times)
{
	behaviour = FAIL;
	start();
	make_folder("in");
	put("in/a.csv", "a");
	expect(all_failed, 1);
	ck_assert_uint_eq(nruns, 3);
	ck_assert_uint_eq(runs[0].attempt, 1);
	ck_assert_uint_eq(runs[1].attempt, 2);
	ck_assert_uint_eq(runs[2].attempt, 3);
	ck_assert_uint_eq(store.rows[0].e.attempts, 3);
	ck_assert_str_eq(store.rows[0].error, "bad row 17");
	(void)run_for(never, 50);
	ck_assert_uint_eq(spooled(), 1); /* kept */
	kill_gateway();
	behaviour = FINISH;
	start();
	still(1);
	ck_assert_uint_eq(count_state(STORE_EVENT_FAILED), 1);
	(void)run_for(never, 50);
	ck_assert_uint_eq(spooled(), 1);
}
END_TEST

START_TEST(a_function_that_recovers_is_done)
{
	struct upload_stats stats;

	fail_first = 2;
	start();
	make_folder("in");
	put("in/a.csv", "a");
	expect(all_done, 1);
	ck_assert_uint_eq(store.rows[0].e.attempts, 3);
	ck_assert_str_eq(store.rows[0].error, "");
	uploads_stats(uploads, &stats);
	ck_assert_uint_eq(stats.retried, 2);
	ck_assert_uint_eq(stats.done, 1);
	ck_assert_uint_eq(stats.failed, 0);
}
END_TEST

START_TEST(faults_of_the_platform_do_not_count)
{
	behaviour = BUSY;
	start();
	make_folder("in");
	put("in/a.csv", "a");
	expect(all_accepted, 1);
	(void)run_for(never, 300);
	ck_assert_uint_ge(nruns, 4);
	ck_assert_uint_lt(nruns, 12); /* 10, 20, 40 ... ms apart */
	behaviour = FINISH;
	expect(all_done, 1);
	ck_assert_uint_eq(runs[nruns - 1].attempt, 1);
	ck_assert_uint_eq(store.rows[0].e.attempts, 1);
}
END_TEST

START_TEST(few_events_run_at_once)
{
	char path[64];

	config.parallel = 6;
	behaviour = HOLD;
	start();
	set_in("g", "in", "*.csv", NULL);
	make_folder("in");
	for (int i = 0; i < 10; i++) {
		(void)snprintf(path, sizeof(path), "in/%d.csv", i);
		put(path, path);
	}
	expect(all_accepted, 20);
	expect(all_open, 6);
	(void)run_for(never, 100);
	ck_assert_uint_eq(open_runs, 6);
	uploads_set(uploads, "g", NULL);
	for (size_t i = 0; i < 6; i++)
		if (strcmp(runs[i].function, "g") == 0)
			finish_run(i, NULL, false);
	(void)run_for(never, 100);
	ck_assert_uint_eq(open_runs, 4); /* of f */
	while (count_state(STORE_EVENT_DONE) + open_runs < 11 && open_runs > 0)
		for (size_t i = 0; i < nruns; i++)
			if (runs[i].open) {
				finish_run(i, NULL, false);
				(void)run_for(never, 20);
			}
	ck_assert_uint_eq(most_open, 6);
}
END_TEST

START_TEST(the_oldest_events_run_first)
{
	char path[64];

	config.parallel = 1;
	behaviour = HOLD;
	begin();
	uploads_start(uploads);
	set("f");
	set("g");
	make_folder("in");
	for (int i = 0; i < 20; i++) {
		(void)snprintf(path, sizeof(path), "in/%d.csv", i);
		put(path, path);
	}
	expect(all_accepted, 40);
	expect(all_open, 1);
	behaviour = FINISH;
	finish_run(0, NULL, false);
	expect(all_done, 40);
	for (size_t i = 0; i < 40; i++)
		ck_assert_uint_eq(runs[i].id, i + 1);
	ck_assert_uint_eq(most_open, 1);
}
END_TEST

START_TEST(events_wait_for_a_function_that_is_gone)
{
	start_watching();
	behaviour = HOLD;
	put("in/a.csv", "a");
	put("in/b.csv", "b");
	expect(all_open, 2);
	uploads_set(uploads, "f", NULL);
	finish_run(1, "again", true);
	finish_run(2, "again", true);
	(void)run_for(never, 100);
	ck_assert_uint_eq(open_runs, 0);
	ck_assert_uint_eq(count_state(STORE_EVENT_ACCEPTED), 2);
	put("in/c.csv", "c");
	(void)run_for(never, 100);
	ck_assert_uint_eq(store.n, 3);
	kill_gateway();
	behaviour = FINISH;
	begin();
	uploads_start(uploads);
	(void)run_for(never, 100);
	ck_assert_uint_eq(count_state(STORE_EVENT_ACCEPTED), 2);
	set("f");
	expect(all_done, 4);
}
END_TEST

START_TEST(a_long_backlog_does_not_live_in_memory)
{
	char path[64];

	behaviour = HOLD;
	start();
	make_folder("in");
	for (int i = 0; i < 700; i++) {
		(void)snprintf(path, sizeof(path), "in/%d.csv", i);
		put(path, path);
	}
	expect(all_accepted, 700);
	behaviour = FINISH;
	for (size_t i = 0; i < nruns; i++)
		if (runs[i].open)
			finish_run(i, NULL, false);
	expect(all_done, 700);
	ck_assert_uint_eq(nruns, 700);
}
END_TEST

START_TEST(stopping_begins_nothing_more)
{
	start_watching();
	behaviour = HOLD;
	put("in/a.csv", "a");
	expect(all_open, 1);
	uploads_stop(uploads);
	put("in/b.csv", "b");
	(void)run_for(never, 200);
	ck_assert_uint_eq(store.n, 2);
	finish_run(1, NULL, false);
	expect(all_done, 2);
}
END_TEST

/* --- dying ---------------------------------------------------------------- */

START_TEST(a_gateway_killed_at_any_moment_loses_and_doubles_nothing)
{
	char path[64];
	unsigned int seed = 7;

	make_folder("in");
	start();
	for (int i = 0; i < 60; i++) {
		(void)snprintf(path, sizeof(path), "in/%d.csv", i);
		put(path, path);
		(void)run_for(never, (uint64_t)rand_r(&seed) % 30);
		if (i % 2 == 1) {
			kill_gateway();
			start();
		}
	}
	expect(all_done, 60);
	still(60);
	for (size_t i = 0; i < 60; i++)
		ck_assert_uint_eq(store.rows[i].e.attempts, 1);
	ck_assert(run_for(spool_is_empty, PATIENCE_MS));
}
END_TEST

START_TEST(an_interrupted_attempt_is_made_again_under_its_number)
{
	behaviour = HOLD;
	fail_first = 1;
	start();
	make_folder("in");
	put("in/a.csv", "a");
	expect(all_open, 1);
	kill_gateway();
	start();
	expect(all_open, 1);
	ck_assert_uint_eq(nruns, 2);
	ck_assert_uint_eq(runs[1].attempt, 1);
	ck_assert_ptr_nonnull(strstr(store.rows[0].error, "interrupted 1"));
	finish_run(1, NULL, false);
	expect(all_done, 1);
	ck_assert_uint_eq(store.rows[0].e.attempts, 1);
}
END_TEST

START_TEST(an_event_that_takes_the_gateway_along_ends_as_failed)
{
	behaviour = HOLD;
	make_folder("in");
	put("in/a.csv", "a");
	for (int i = 0; i < 3 * (UPLOAD_INTERRUPTED + 1); i++) {
		start();
		expect(all_open, 1);
		kill_gateway();
	}
	ck_assert_uint_eq(runs[nruns - 1].attempt, 3);
	start();
	expect(all_failed, 1);
	ck_assert_ptr_nonnull(strstr(store.rows[0].error, "gateway ended"));
}
END_TEST

START_TEST(what_nobody_needs_goes_from_the_spool_at_start)
{
	char path[256];
	int fd;

	start_watching();
	behaviour = HOLD;
	put("in/a.csv", "a");
	expect(all_open, 1);
	kill_gateway();
	(void)snprintf(path, sizeof(path), "spool/%064d-%016d-%064d", 1, 2, 3);
	fd = openat(state_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	fd = openat(state_fd, "spool/.copying-1",
	    O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	(void)close(fd);
	ck_assert_uint_eq(spooled(), 2);
	start();
	expect(all_open, 1);
	ck_assert_str_eq(runs[nruns - 1].content, "a");
	ck_assert_uint_eq(spooled(), 1);
	ck_assert_int_lt(faccessat(state_fd, "spool/.copying-1", F_OK, 0), 0);
}
END_TEST

START_TEST(content_that_is_lost_is_said)
{
	start_watching();
	uploads_set(uploads, "f", NULL);
	kill_gateway();
	behaviour = HOLD;
	start();
	put("in/a.csv", "a");
	expect(all_open, 1);
	finish_run(1, "again", true);
	(void)snprintf(refused, sizeof(refused), "spool/%s",
	    store.rows[1].blob);
	ck_assert_int_eq(unlinkat(state_fd, refused, 0), 0);
	(void)run_for(never, 100);
	ck_assert_int_eq(store.rows[1].e.state, STORE_EVENT_FAILED);
	ck_assert_ptr_nonnull(strstr(store.rows[1].error, "not in the spool"));
}
END_TEST

/* --- trouble -------------------------------------------------------------- */

START_TEST(a_store_that_fails_loses_nothing)
{
	start_watching();
	store.broken = true;
	put("in/a.csv", "a");
	(void)run_for(never, 200);
	ck_assert_uint_eq(store.n, 1);
	ck_assert_ptr_nonnull(strstr(notes, "the store"));
	store.broken = false;
	expect(all_done, 2);
	still(2);
}
END_TEST

START_TEST(events_are_loaded_when_the_store_is_well_again)
{
	start_watching();
	behaviour = HOLD;
	put("in/a.csv", "a");
	expect(all_open, 1);
	kill_gateway();
	behaviour = FINISH;
	store.broken = true;
	start();
	(void)run_for(never, 100);
	store.broken = false;
	expect(all_done, 2);
}
END_TEST

START_TEST(a_disk_that_is_full_makes_files_wait)
{
	struct rlimit limit = {4, 1000}; /* as if there were four bytes */

	start_watching();
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	put("in/b.csv", "1234");
	expect(all_done, 2);
	limit.rlim_cur = 1000;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	put("elsewhere", "12345");
	limit.rlim_cur = 4;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	move("elsewhere", "in/a.csv");
	(void)run_for(never, 200);
	ck_assert_uint_eq(store.n, 2);
	ck_assert_ptr_nonnull(strstr(notes, "spooling an upload: File too"));
	limit.rlim_cur = 1000;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	expect(all_done, 3);
	ck_assert(run_for(spool_is_empty, PATIENCE_MS));
}
END_TEST

START_TEST(a_full_spool_makes_files_wait)
{
	config.max_spool_bytes = 25;
	behaviour = HOLD;
	start();
	make_folder("in");
	put("in/a.csv", "1234567890");
	put("in/b.csv", "1234567890");
	put("in/c.csv", "1234567890");
	expect(all_open, 2);
	(void)run_for(never, 200);
	ck_assert_uint_eq(store.n, 2);
	ck_assert_ptr_nonnull(strstr(notes, "the spool"));
	put("in/small.csv", "12345"); /* goes past the one that waits */
	expect(all_open, 3);
	finish_run(2, NULL, false);
	expect(all_accepted, 3);
	finish_run(0, NULL, false);
	expect(all_open, 2);
	finish_run(1, NULL, false);
	finish_run(3, NULL, false);
	expect(all_done, 4);
}
END_TEST

START_TEST(an_output_folder_that_cannot_be_is_said)
{
	put("out", "not a folder");
	start();
	make_folder("in");
	put("in/a.csv", "a");
	expect(all_failed, 1);
	ck_assert_uint_eq(nruns, 0);
	ck_assert_ptr_nonnull(
	    strstr(store.rows[0].error, "the output folder uploads/out"));
}
END_TEST

/* Folders that this process watches, as the kernel has it. */
static size_t
watches(void)
{
	DIR *dir = opendir("/proc/self/fdinfo");
	const struct dirent *entry;
	char line[256];
	size_t n = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL) {
		int fd = openat(dirfd(dir), entry->d_name, O_RDONLY);
		FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

		while (file != NULL && fgets(line, sizeof(line), file) != NULL)
			n += strncmp(line, "inotify wd:", 11) == 0;
		if (file != NULL)
			(void)fclose(file);
	}
	(void)closedir(dir);
	return n;
}

START_TEST(the_folder_itself_may_be_moved_and_made_again)
{
	start_watching();
	move("in", "old");
	make_folder("in");
	put("in/a.csv", "a");
	expect(all_done, 2);
	put("old/b.csv", "b"); /* nobody looks there any more */
	put("in/c.csv", "c");
	expect(all_done, 3);
	(void)run_for(never, 1300);
	ck_assert_uint_eq(watches(), 1);
	ck_assert_int_eq(unlinkat(root_fd, "in/a.csv", 0), 0);
	ck_assert_int_eq(unlinkat(root_fd, "in/c.csv", 0), 0);
	ck_assert_int_eq(unlinkat(root_fd, "in", AT_REMOVEDIR), 0);
	(void)run_for(never, 1300); /* it is made again */
	put("in/d.csv", "d");
	expect(all_done, 4);
	ck_assert_str_eq(runs[3].content, "d");
}
END_TEST

START_TEST(a_folder_moved_within_takes_its_new_name)
{
	start_watching();
	make_folder("in/one");
	put("in/one/a.csv", "a");
	expect(all_done, 2);
	move("in/one", "in/two");
	expect(all_done, 3); /* a new path is a new file */
	(void)run_for(never, 1300);
	put("in/two/b.csv", "b");
	expect(all_done, 4);
	ck_assert_str_eq(store.rows[3].note, "uploads/in/two/b.csv");
}
END_TEST

START_TEST(hidden_results_of_a_killed_gateway_go)
{
	make_folder("in");
	make_folder("out");
	put("out/.perilune-0123456789abcdef.tmp", "half");
	start();
	put("in/a.csv", "a");
	expect(all_done, 1);
	ck_assert_int_lt(faccessat(root_fd,
			     "out/.perilune-0123456789abcdef.tmp", F_OK, 0),
	    0);
}
END_TEST

static TCase *
add_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("runtime/trigger/upload");
	TCase *tcase = add_case(suite, "arriving");

	tcase_add_test(tcase, a_written_file_is_one_event_with_every_field);
	tcase_add_test(tcase, a_slow_copy_is_one_event);
	tcase_add_test(tcase, a_file_renamed_in_is_one_event);
	tcase_add_test(tcase, a_hard_link_is_one_event);
	tcase_add_test(tcase, files_in_new_subfolders_are_events);
	tcase_add_test(tcase,
	    folders_that_fill_while_they_are_found_lose_nothing);
	tcase_add_test(tcase,
	    files_that_came_while_the_gateway_was_down_are_found);
	tcase_add_test(tcase, an_overflow_of_the_queue_loses_nothing);
	tcase_add_test(tcase, a_rescan_finds_nothing_new_where_nothing_is);
	tcase_add_test(tcase, a_thousand_files_at_once_are_a_thousand_events);
	tcase_add_test(tcase, names_of_unfinished_and_hidden_files_are_ignored);
	tcase_add_test(tcase, two_functions_get_an_event_each);
	tcase_add_test(tcase, an_output_may_be_the_upload_of_another_function);
	tcase = add_case(suite, "versions");
	tcase_add_test(tcase, overwriting_during_the_run_is_a_second_event);
	tcase_add_test(tcase,
	    a_file_that_changes_while_it_is_copied_settles_again);
	tcase_add_test(tcase, a_file_that_changes_while_it_is_accepted_is_seen);
	tcase_add_test(tcase, deleting_the_file_does_not_take_the_content);
	tcase_add_test(tcase, touching_only_the_inode_is_no_new_version);
	tcase_add_test(tcase,
	    other_content_of_the_same_size_and_time_is_a_new_version);
	tcase_add_test(tcase, a_file_that_is_held_open_is_not_complete);
	tcase_add_test(tcase, a_file_that_somebody_writes_is_not_complete);
	tcase_add_test(tcase, a_strangers_file_settles_by_time);
	tcase = add_case(suite, "refusing");
	tcase_add_test(tcase,
	    links_and_special_files_are_refused_and_said_once);
	tcase_add_test(tcase, a_link_in_the_way_leads_nowhere);
	tcase_add_test(tcase, what_cannot_be_read_is_refused_until_it_can);
	tcase_add_test(tcase, odd_names_and_sizes_are_refused);
	tcase_add_test(tcase, folders_that_are_too_deep_are_refused);
	tcase_add_test(tcase, only_the_last_hundred_refusals_are_remembered);
	tcase = add_case(suite, "running");
	tcase_add_test(tcase, a_failing_function_is_tried_three_times);
	tcase_add_test(tcase, a_function_that_recovers_is_done);
	tcase_add_test(tcase, faults_of_the_platform_do_not_count);
	tcase_add_test(tcase, few_events_run_at_once);
	tcase_add_test(tcase, the_oldest_events_run_first);
	tcase_add_test(tcase, events_wait_for_a_function_that_is_gone);
	tcase_add_test(tcase, a_long_backlog_does_not_live_in_memory);
	tcase_add_test(tcase, stopping_begins_nothing_more);
	tcase = add_case(suite, "dying");
	tcase_add_test(tcase,
	    a_gateway_killed_at_any_moment_loses_and_doubles_nothing);
	tcase_add_test(tcase,
	    an_interrupted_attempt_is_made_again_under_its_number);
	tcase_add_test(tcase,
	    an_event_that_takes_the_gateway_along_ends_as_failed);
	tcase_add_test(tcase, what_nobody_needs_goes_from_the_spool_at_start);
	tcase_add_test(tcase, content_that_is_lost_is_said);
	tcase = add_case(suite, "trouble");
	tcase_add_test(tcase, a_store_that_fails_loses_nothing);
	tcase_add_test(tcase, events_are_loaded_when_the_store_is_well_again);
	tcase_add_test(tcase, a_disk_that_is_full_makes_files_wait);
	tcase_add_test(tcase, a_full_spool_makes_files_wait);
	tcase_add_test(tcase, an_output_folder_that_cannot_be_is_said);
	tcase_add_test(tcase, the_folder_itself_may_be_moved_and_made_again);
	tcase_add_test(tcase, a_folder_moved_within_takes_its_new_name);
	tcase_add_test(tcase, hidden_results_of_a_killed_gateway_go);
	return unit_run(suite);
}
