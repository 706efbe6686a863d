/*
 * test_journal.c - records in a file that outlives its writer.
 *
 * Runs in: tests.
 */
#include "runtime/meter/journal.h"
#include "sandbox/base/bytes.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 64

static char dir[] = "/tmp/perilune-journal-XXXXXX";
static int dirfd_;
static struct journal *journal;
static struct journal_found found;
static struct err err;

static void
reopen(void)
{
	journal_close(journal);
	journal = journal_open(dirfd_, SLOTS, &found, &err);
	ck_assert_msg(journal != NULL, "%s", err.msg);
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	dirfd_ = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	reopen();
}

static void
teardown(void)
{
	char command[128];

	journal_close(journal);
	(void)close(dirfd_);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static bool
append(uint64_t seq)
{
	struct record record = {.seq = seq, .billed_ms = seq * 2};

	(void)snprintf(record.function, sizeof(record.function), "f%llu",
	    (unsigned long long)seq);
	return journal_append(journal, &record);
}

static uint64_t
seq_at(size_t i)
{
	return journal_peek(journal, i)->seq;
}

START_TEST(a_new_journal_is_empty)
{
	struct stat st;

	ck_assert_uint_eq(found.recovered + found.lost + found.last_seq, 0);
	ck_assert(!found.bad);
	ck_assert_uint_eq(journal_waiting(journal), 0);
	ck_assert_int_eq(fstatat(dirfd_, JOURNAL_FILE, &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	/* All of it allocated: no SIGBUS when the disk fills up. */
	ck_assert_int_ge(st.st_blocks * 512, st.st_size);
}
END_TEST

START_TEST(records_come_out_in_order_and_make_room)
{
	uint64_t next = 1;
	uint64_t oldest = 1;

	for (int round = 0; round < 50; round++) {
		while (append(next))
			next++;
		ck_assert_uint_eq(journal_waiting(journal), SLOTS);
		for (size_t i = 0; i < SLOTS; i++)
			ck_assert_uint_eq(seq_at(i), oldest + i);
		journal_release(journal, 17);
		oldest += 17;
	}
	ck_assert_uint_eq(journal_dropped(journal), 50);
}
END_TEST

START_TEST(what_waits_is_there_at_the_next_start)
{
	for (uint64_t seq = 1; seq <= 10; seq++)
		ck_assert(append(seq));
	journal_release(journal, 4);
	for (uint64_t seq = 11; seq <= 20; seq++)
		ck_assert(append(seq)); /* in the slots of 4, 3, 2, 1, too */
	reopen();
	ck_assert_uint_eq(found.recovered, 16);
	ck_assert_uint_eq(found.last_seq, 20);
	ck_assert_uint_eq(found.lost, 0);
	for (size_t i = 0; i < 16; i++)
		ck_assert_uint_eq(seq_at(i), 5 + i);
	ck_assert_str_eq(journal_peek(journal, 3)->function, "f8");
	journal_release(journal, 16);
	reopen();
	ck_assert_uint_eq(found.recovered, 0);
}
END_TEST

START_TEST(what_was_dropped_is_remembered)
{
	for (uint64_t seq = 1; seq <= SLOTS + 3; seq++)
		(void)append(seq);
	ck_assert_uint_eq(journal_dropped(journal), 3);
	ck_assert_uint_eq(journal_maybe_lost(journal), 0);
	reopen();
	ck_assert_uint_eq(found.lost, 3);
	ck_assert_uint_eq(journal_dropped(journal), 0);
	ck_assert_uint_eq(journal_maybe_lost(journal), 3);
	reopen();
	ck_assert_uint_eq(found.lost, 0);
	ck_assert_uint_eq(journal_maybe_lost(journal), 3);
}
END_TEST

START_TEST(a_journal_has_one_writer)
{
	struct journal_found other;

	ck_assert_ptr_null(journal_open(dirfd_, SLOTS, &other, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "in use"));
}
END_TEST

static void
append_and_die(void)
{
	struct journal_found child_found;

	journal_close(journal);
	journal = journal_open(dirfd_, SLOTS, &child_found, &err);
	for (uint64_t seq = 1; journal != NULL && seq <= 50; seq++)
		(void)append(seq);
	(void)kill(getpid(), SIGKILL);
}

START_TEST(nothing_is_lost_by_kill_9)
{
	pid_t pid;
	int status;

	journal_close(journal);
	journal = NULL;
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		append_and_die();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	reopen();
	ck_assert_uint_eq(found.recovered, 50);
	ck_assert_uint_eq(found.lost, 0);
	for (size_t i = 0; i < 50; i++) {
		ck_assert_uint_eq(seq_at(i), i + 1);
		ck_assert_uint_eq(journal_peek(journal, i)->billed_ms,
		    2 * (i + 1));
	}
}
END_TEST

/* Write over bytes of the first slot (which is used first), at an offset in
 * it; its first four bytes are the state, its record begins at 8. */
static void
damage(off_t at, const void *p, size_t n)
{
	int fd = openat(dirfd_, JOURNAL_FILE, O_RDWR);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, p, n, 4096 + at), (ssize_t)n);
	(void)close(fd);
}

START_TEST(a_record_that_was_cut_off_counts_as_maybe_lost)
{
	uint32_t writing = 0x57;

	ck_assert(append(1));
	ck_assert(append(2));
	damage(0, &writing, sizeof(writing));
	reopen();
	ck_assert_uint_eq(found.recovered, 1);
	ck_assert_uint_eq(found.lost, 1);
	ck_assert_uint_eq(seq_at(0), 2);
	ck_assert_uint_eq(journal_maybe_lost(journal), 1);
	for (uint64_t seq = 3; seq < 3 + SLOTS - 1; seq++)
		ck_assert(append(seq)); /* its slot is free again */
	ck_assert(!append(99));
}
END_TEST

START_TEST(a_damaged_record_is_not_believed)
{
	uint64_t billed = 1000000;

	ck_assert(append(1));
	damage(8 + (off_t)offsetof(struct record, billed_ms), &billed,
	    sizeof(billed));
	reopen();
	ck_assert_uint_eq(found.recovered, 0);
	ck_assert_uint_eq(found.lost, 1);
}
END_TEST

START_TEST(a_record_without_number_is_not_believed)
{
	ck_assert(append(0));
	ck_assert(append(UINT64_MAX));
	reopen();
	ck_assert_uint_eq(found.recovered, 0);
	ck_assert_uint_eq(found.lost, 2);
}
END_TEST

static bool
exists(const char *name)
{
	return faccessat(dirfd_, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
make_foreign(int how)
{
	static const char text[] = "not a journal";
	int fd;

	(void)unlinkat(dirfd_, JOURNAL_FILE, 0);
	if (how == 0)
		return;
	if (how == 3) {
		ck_assert_int_eq(mkdirat(dirfd_, JOURNAL_FILE, 0700), 0);
		return;
	}
	if (how == 4) {
		ck_assert_int_eq(symlinkat("/etc/passwd", dirfd_, JOURNAL_FILE),
		    0);
		return;
	}
	fd = openat(dirfd_, JOURNAL_FILE, O_RDWR | O_CREAT, 0600);
	if (how == 1)
		ck_assert_int_eq(write(fd, text, sizeof(text)), sizeof(text));
	(void)close(fd);
}

START_TEST(a_foreign_file_goes_aside)
{
	struct stat st;

	journal_close(journal);
	journal = NULL;
	make_foreign(_i);
	reopen();
	ck_assert_int_eq(found.bad, _i != 0);
	ck_assert_int_eq(exists(JOURNAL_BAD), _i != 0);
	ck_assert_uint_eq(journal_maybe_lost(journal), _i != 0);
	ck_assert(append(1));
	ck_assert_int_eq(fstatat(dirfd_, JOURNAL_FILE, &st,
			     AT_SYMLINK_NOFOLLOW),
	    0);
	ck_assert(S_ISREG(st.st_mode));
}
END_TEST

START_TEST(a_journal_of_another_shape_goes_aside)
{
	ck_assert(append(1));
	journal_close(journal);
	journal = journal_open(dirfd_, SLOTS * 2, &found, &err);
	ck_assert_ptr_nonnull(journal);
	ck_assert(found.bad);
	ck_assert_uint_eq(found.recovered, 0);
	ck_assert(exists(JOURNAL_BAD));
}
END_TEST

START_TEST(a_file_cut_short_goes_aside)
{
	int fd = openat(dirfd_, JOURNAL_FILE, O_RDWR);

	ck_assert(append(1));
	journal_close(journal);
	journal = NULL;
	ck_assert_int_eq(ftruncate(fd, 5000), 0);
	(void)close(fd);
	reopen();
	ck_assert(found.bad);
	ck_assert(append(1));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/meter/journal");
	TCase *tcase = tcase_create("journal");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_new_journal_is_empty);
	tcase_add_test(tcase, records_come_out_in_order_and_make_room);
	tcase_add_test(tcase, what_waits_is_there_at_the_next_start);
	tcase_add_test(tcase, what_was_dropped_is_remembered);
	tcase_add_test(tcase, a_journal_has_one_writer);
	tcase_add_test(tcase, nothing_is_lost_by_kill_9);
	tcase_add_test(tcase, a_record_that_was_cut_off_counts_as_maybe_lost);
	tcase_add_test(tcase, a_damaged_record_is_not_believed);
	tcase_add_test(tcase, a_record_without_number_is_not_believed);
	tcase_add_loop_test(tcase, a_foreign_file_goes_aside, 0, 5);
	tcase_add_test(tcase, a_journal_of_another_shape_goes_aside);
	tcase_add_test(tcase, a_file_cut_short_goes_aside);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
