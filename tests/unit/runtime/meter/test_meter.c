/*
 * test_meter.c - from a finished record to a row in the ledger, through
 * every death in between.
 *
 * Runs in: tests.
 */
#include "runtime/loop/loop.h"
#include "runtime/meter/journal.h"
#include "runtime/meter/meter.h"
#include "runtime/store/store.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/perilune-meter-XXXXXX";
static int dirfd_;
static struct loop *loop;
static struct store *store;
static struct meter *meter;
static struct meter_config config;
static struct err err;

static void
open_all(const char *kind)
{
	loop = loop_new(&err);
	store = store_open(kind, loop, dirfd_, &err);
	ck_assert_msg(store != NULL, "%s", err.msg);
	meter = meter_new(loop, store, &config, &err);
	ck_assert_msg(meter != NULL, "%s", err.msg);
}

static void
close_all(void)
{
	store_close(store);
	store = NULL;
	meter_free(meter);
	meter = NULL;
	loop_free(loop);
	loop = NULL;
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	dirfd_ = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fchdir(dirfd_), 0);
	config = (struct meter_config){.statefd = dirfd_};
}

static void
teardown(void)
{
	char command[128];

	close_all();
	(void)close(dirfd_);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static struct record
a_record(void)
{
	struct record record = {.kind = RECORD_KIND_WARM,
	    .handler_us = 1500,
	    .memory_mb = 64,
	    .wall_ms = 1767225600000,
	    .function = "f"};

	return record;
}

static uint64_t
add(void)
{
	struct record record = a_record();

	meter_add(meter, &record);
	return record.seq;
}

static void
stop(void *arg)
{
	loop_stop(loop);
}

static void
flush(void)
{
	meter_flush(meter, stop, NULL);
	ck_assert_int_eq(loop_run(loop, &err), 0);
}

static struct store_usage_row usage;

static void
on_usage(const struct store_usage_row *rows, size_t n, const struct err *e,
    void *arg)
{
	ck_assert_ptr_null(e);
	ck_assert_uint_le(n, 1);
	usage = n == 1 ? rows[0] : (struct store_usage_row){.invocations = 0};
	loop_stop(loop);
}

static uint64_t
ledger(void)
{
	struct store_usage_query query = {0};

	store_usage(store, &query, on_usage, NULL);
	ck_assert_int_eq(loop_run(loop, &err), 0);
	return usage.invocations;
}

static struct meter_stats
stats(void)
{
	struct meter_stats s;

	meter_stats(meter, &s);
	return s;
}

START_TEST(a_record_is_priced_numbered_and_kept)
{
	struct record record = a_record();

	open_all("sqlite");
	meter_add(meter, &record);
	ck_assert_uint_eq(record.seq, 1);
	ck_assert_uint_eq(record.billed_ms, 2);
	ck_assert_uint_eq(record.cost_pico, 200000 + 2083);
	ck_assert_uint_eq(add(), 2);
	ck_assert_uint_eq(stats().waiting, 2);
	flush();
	ck_assert_uint_eq(stats().waiting, 0);
	ck_assert_uint_eq(stats().records, 2);
	ck_assert_uint_eq(ledger(), 2);
	ck_assert_uint_eq(usage.cost_pico, 2 * 202083);
	ck_assert_ptr_null(meter_note(meter));
}
END_TEST

START_TEST(records_drain_by_themselves)
{
	struct loop_timer *timer;

	open_all("memory");
	(void)add();
	timer = loop_timer_new(loop, stop, NULL);
	for (int i = 0; i < 40 && stats().waiting > 0; i++) {
		loop_timer_start(timer, 50000);
		ck_assert_int_eq(loop_run(loop, &err), 0);
	}
	loop_timer_free(timer);
	ck_assert_uint_eq(stats().waiting, 0);
	ck_assert_uint_eq(ledger(), 1);
}
END_TEST

START_TEST(more_than_a_batch_is_flushed)
{
	open_all("sqlite");
	for (int i = 0; i < 7000; i++)
		(void)add();
	flush();
	ck_assert_uint_eq(stats().waiting, 0);
	ck_assert_uint_eq(ledger(), 7000);
}
END_TEST

START_TEST(flushing_nothing_is_done_at_once)
{
	open_all("memory");
	meter_flush(meter, stop, NULL);
	loop_defer(loop, stop, NULL);
	ck_assert_int_eq(loop_run(loop, &err), 0);
}
END_TEST

START_TEST(a_full_journal_drops_and_counts)
{
	open_all("memory");
	ck_assert(!meter_behind(meter));
	for (int i = 0; i < JOURNAL_SLOTS + 5; i++)
		(void)add();
	ck_assert(meter_behind(meter)); /* and long before it was full */
	ck_assert_uint_eq(stats().dropped, 5);
	ck_assert_uint_eq(stats().records, JOURNAL_SLOTS + 5);
	ck_assert_uint_eq(add(), JOURNAL_SLOTS + 6);
	/* The memory ledger is slow with so many: leave them. */
}
END_TEST

START_TEST(what_was_not_drained_is_recovered)
{
	open_all("sqlite");
	(void)add();
	flush();
	(void)add();
	(void)add();
	meter_free(meter); /* without a flush */
	meter = NULL;
	close_all();
	open_all("sqlite");
	ck_assert_uint_eq(stats().recovered, 2);
	ck_assert_uint_eq(add(), 4);
	flush();
	ck_assert_uint_eq(ledger(), 4);
	ck_assert_uint_eq(stats().maybe_lost, 0);
}
END_TEST

START_TEST(what_the_ledger_has_is_not_added_again)
{
	struct journal_found found;
	struct journal *journal;
	struct record record = a_record();

	open_all("sqlite");
	for (int i = 0; i < 3; i++)
		(void)add();
	flush();
	close_all();
	/* As if it had died after the commit, before the slots were free. */
	journal = journal_open(dirfd_, JOURNAL_SLOTS, &found, &err);
	for (record.seq = 2; record.seq <= 4; record.seq++)
		ck_assert(journal_append(journal, &record));
	journal_close(journal);
	open_all("sqlite");
	ck_assert_uint_eq(stats().recovered, 3);
	ck_assert_uint_eq(add(), 5);
	flush();
	ck_assert_uint_eq(ledger(), 5);
}
END_TEST

static void
add_and_die(int fd)
{
	open_all("sqlite");
	for (int i = 0; i < 3000; i++) {
		(void)add();
		if (i == 1500) /* some in the ledger, some under way */
			flush();
	}
	(void)!write(fd, "x", 1);
	(void)kill(getpid(), SIGKILL);
}

START_TEST(a_killed_gateway_loses_no_record)
{
	int fds[2];
	char told;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		add_and_die(fds[1]);
	(void)close(fds[1]);
	ck_assert_int_eq(read(fds[0], &told, 1), 1);
	(void)close(fds[0]);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	open_all("sqlite");
	ck_assert_uint_gt(stats().recovered, 0);
	ck_assert_uint_eq(add(), 3001);
	flush();
	ck_assert_uint_eq(ledger(), 3001);
	ck_assert_uint_eq(stats().maybe_lost, 0);
}
END_TEST

START_TEST(a_bad_journal_is_noted)
{
	int fd = open(JOURNAL_FILE, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_eq(write(fd, "hello", 5), 5);
	(void)close(fd);
	open_all("sqlite");
	ck_assert_ptr_nonnull(strstr(meter_note(meter), JOURNAL_BAD));
	ck_assert_uint_eq(stats().maybe_lost, 1);
	(void)add();
	flush();
	ck_assert_uint_eq(ledger(), 1);
}
END_TEST

static volatile bool sync_fails;

/* Instead of the C library's, for SQLite too. */
int fdatasync(int fd);
int
fdatasync(int fd)
{
	return sync_fails ? -1 : fsync(fd);
}

START_TEST(when_the_store_fails_records_stay_in_the_journal)
{
	open_all("sqlite");
	(void)add();
	flush();
	sync_fails = true;
	(void)add();
	flush(); /* is told, though it failed */
	ck_assert_ptr_nonnull(strstr(meter_note(meter), "wait in the journal"));
	ck_assert_uint_eq(stats().waiting, 1);
	(void)add();
	ck_assert_uint_eq(stats().waiting, 2);
	close_all();
	sync_fails = false;
	open_all("sqlite");
	ck_assert_uint_eq(stats().recovered, 2);
	flush();
	ck_assert_uint_eq(ledger(), 3);
}
END_TEST

START_TEST(a_meter_may_go_before_its_store)
{
	open_all("sqlite");
	(void)add();
	meter_flush(meter, stop, NULL); /* a batch is under way */
	meter_free(meter);
	meter = NULL;
	close_all();
	open_all("sqlite");
	flush();
	ck_assert_uint_eq(ledger(), 1);
}
END_TEST

START_TEST(without_a_store_there_are_prices_only)
{
	struct record record = a_record();

	meter = meter_new(NULL, NULL, &config, &err);
	ck_assert_ptr_nonnull(meter);
	meter_price(meter, &record);
	ck_assert_uint_eq(record.cost_pico, 202083);
	ck_assert_uint_eq(add(), 1);
	ck_assert_uint_eq(stats().records, 1);
	ck_assert_int_lt(access(JOURNAL_FILE, F_OK), 0);
}
END_TEST

START_TEST(a_broken_price_card_is_refused_and_the_old_one_stays)
{
	int fd = open("card.json", O_WRONLY | O_CREAT, 0600);

	ck_assert_int_eq(write(fd, "{\n\"nam\": 1}", 11), 11);
	(void)close(fd);
	config.price_card = "card.json";
	ck_assert_ptr_null(meter_new(NULL, NULL, &config, &err));
	ck_assert_str_eq(err.msg,
	    "price card card.json: line 2: nam: unknown field (name, "
	    "currency, cards)");
	config.price_card = "";
	meter = meter_new(NULL, NULL, &config, &err);
	ck_assert_str_eq(meter_card_name(meter), "default-2026 (EUR)");
	ck_assert_int_lt(meter_reload(meter, "card.json", &err), 0);
	ck_assert_str_eq(meter_card_name(meter), "default-2026 (EUR)");
	fd = open("card.json", O_WRONLY | O_TRUNC);
	ck_assert_int_gt(dprintf(fd,
			     "{\"name\":\"mine\",\"currency\":\"CHF\","
			     "\"cards\":[{\"valid_from\":\"2026-01-01\","
			     "\"per_request_pico\":7,"
			     "\"per_gb_second_pico\":0}]}"),
	    0);
	(void)close(fd);
	ck_assert_int_eq(meter_reload(meter, "card.json", &err), 0);
	ck_assert_str_eq(meter_card_name(meter), "mine (CHF)");
	ck_assert_str_eq(meter_card_currency(meter), "CHF");
}
END_TEST

START_TEST(money_is_exact)
{
	struct buf out = {0};

	meter_money(&out, 123);
	buf_putc(&out, ' ');
	meter_money(&out, 1000000000000);
	buf_putc(&out, ' ');
	meter_money(&out, UINT64_MAX);
	buf_putc(&out, '\0');
	ck_assert_str_eq(out.p,
	    "0.000000000123 1.000000000000 18446744.073709551615");
	buf_fini(&out);
}
END_TEST

START_TEST(a_record_as_json_has_the_fields_of_the_manual)
{
	struct record record = {.wall_ms = 1767225600123,
	    .version = 3,
	    .kind = RECORD_KIND_IMAGE,
	    .cause = RECORD_CAUSE_FIRST,
	    .outcome = RECORD_OUTCOME_ERROR,
	    .failed_by = RECORD_FAILED_HANDLER,
	    .status = 500,
	    .attempt = 1,
	    .init_us = 4,
	    .cost_pico = 5,
	    .function = "f",
	    .request_id = "r\"1",
	    .reason = "handler_error"};
	struct buf out = {0};
	json_t *json;
	json_t *us;

	meter_record_json(&out, &record);
	json = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(json);
	ck_assert_uint_eq(json_object_size(json), 19);
#define TEXT(key) json_string_value(json_object_get(json, key))
	ck_assert_str_eq(TEXT("time"), "2026-01-01T00:00:00.123Z");
	ck_assert_str_eq(TEXT("request_id"), "r\"1");
	ck_assert_str_eq(TEXT("outcome"), "error");
	ck_assert_str_eq(TEXT("failed_by"), "handler");
	ck_assert_str_eq(TEXT("cost"), "0.000000000005");
	us = json_object_get(json, "us");
	ck_assert_uint_eq(json_object_size(us), 7);
	ck_assert_int_eq(json_integer_value(json_object_get(us, "init")), 4);
	ck_assert_str_eq(json_string_value(
			     json_object_get(json_object_get(json, "start"),
				 "cause")),
	    "first");
	json_decref(json);
	buf_fini(&out);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/meter/meter");
	TCase *tcase = tcase_create("meter");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_record_is_priced_numbered_and_kept);
	tcase_add_test(tcase, records_drain_by_themselves);
	tcase_add_test(tcase, more_than_a_batch_is_flushed);
	tcase_add_test(tcase, flushing_nothing_is_done_at_once);
	tcase_add_test(tcase, a_full_journal_drops_and_counts);
	tcase_add_test(tcase, what_was_not_drained_is_recovered);
	tcase_add_test(tcase, what_the_ledger_has_is_not_added_again);
	tcase_add_test(tcase, a_killed_gateway_loses_no_record);
	tcase_add_test(tcase, a_bad_journal_is_noted);
	tcase_add_test(tcase, when_the_store_fails_records_stay_in_the_journal);
	tcase_add_test(tcase, a_meter_may_go_before_its_store);
	tcase_add_test(tcase, without_a_store_there_are_prices_only);
	tcase_add_test(tcase,
	    a_broken_price_card_is_refused_and_the_old_one_stays);
	tcase_add_test(tcase, money_is_exact);
	tcase_add_test(tcase, a_record_as_json_has_the_fields_of_the_manual);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
