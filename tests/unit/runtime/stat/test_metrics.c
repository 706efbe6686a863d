/*
 * test_metrics.c - series, records, limits and the Prometheus text.
 *
 * Runs in: tests.
 */
#include "runtime/stat/metrics.h"
#include "sandbox/base/bytes.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static struct metrics *metrics;
static struct buf text;

static void
setup(void)
{
	metrics = metrics_new(0);
}

static void
teardown(void)
{
	metrics_free(metrics);
	buf_fini(&text);
}

static const char *
written(void)
{
	buf_reset(&text, SIZE_MAX);
	metrics_write(metrics, &text);
	buf_putc(&text, '\0');
	return text.p;
}

#define assert_has(line)   ck_assert_ptr_nonnull(strstr(written(), line))
#define assert_lacks(line) ck_assert_ptr_null(strstr(written(), line))

START_TEST(the_same_labels_are_the_same_series)
{
	struct series *a =
	    metrics_series(metrics, METRIC_WORKERS, (const char *[]){"idle"});
	struct series *b =
	    metrics_series(metrics, METRIC_WORKERS, (const char *[]){"busy"});

	ck_assert_ptr_ne(a, b);
	ck_assert_ptr_eq(a,
	    metrics_series(metrics, METRIC_WORKERS, (const char *[]){"idle"}));
	series_set(a, 3);
	series_add(b, 1);
	assert_has("# TYPE perilune_workers gauge\n");
	assert_has("perilune_workers{state=\"idle\"} 3\n"
		   "perilune_workers{state=\"busy\"} 1\n");
}
END_TEST

START_TEST(a_metric_without_labels_has_no_braces)
{
	series_set(metrics_series(metrics, METRIC_QUEUED, NULL), 7);
	assert_has("\nperilune_queued 7\n");
}
END_TEST

START_TEST(metrics_without_series_are_not_written)
{
	ck_assert_str_eq(written(), "");
}
END_TEST

START_TEST(label_values_cannot_break_a_line)
{
	series_add(metrics_series(metrics, METRIC_WORKERS,
		       (const char *[]){"a\"b\\c\nd\xff"}),
	    1);
	assert_has("{state=\"a\\\"b\\\\c_d_\"} 1\n");
}
END_TEST

static uint64_t
forty_two(void *arg)
{
	return *(uint64_t *)arg;
}

START_TEST(a_value_can_be_asked_for)
{
	uint64_t value = 42;

	series_read(metrics_series(metrics, METRIC_LEDGER_WAITING, NULL),
	    forty_two, &value);
	assert_has("perilune_ledger_waiting 42\n");
	value = 43;
	assert_has("perilune_ledger_waiting 43\n");
}
END_TEST

START_TEST(histograms_are_in_seconds_and_cumulative)
{
	struct series *series = metrics_series(metrics, METRIC_PHASE,
	    (const char *[]){"f", "warm", "none", "handler"});

	series_observe(series, 10);
	series_observe(series, 300);
	series_observe(series, 2000000);
#define PHASE "{function=\"f\",kind=\"warm\",cause=\"none\",phase=\"handler\""
	assert_has("# TYPE perilune_phase_seconds histogram\n");
	assert_has("seconds_bucket" PHASE ",le=\"0.000004\"} 0\n");
	assert_has("seconds_bucket" PHASE ",le=\"0.000016\"} 1\n");
	assert_has("seconds_bucket" PHASE ",le=\"0.001024\"} 2\n");
	assert_has("seconds_bucket" PHASE ",le=\"67.108864\"} 3\n");
	assert_has("seconds_bucket" PHASE ",le=\"+Inf\"} 3\n");
	assert_has("seconds_sum" PHASE "} 2.000310\n");
	assert_has("seconds_count" PHASE "} 3\n");
}
END_TEST

static struct record
a_record(const char *function)
{
	struct record record = {.kind = RECORD_KIND_IMAGE,
	    .cause = RECORD_CAUSE_FROM_ZERO,
	    .outcome = RECORD_OUTCOME_OK,
	    .queue_us = 20,
	    .handler_us = 900,
	    .load_us = 30,
	    .cpu_us = 1500000,
	    .bytes_in = 5,
	    .bytes_out = 6,
	    .billed_ms = 2,
	    .cost_pico = 1000,
	    .peak_kb = 64};

	(void)slice_copy(record.function, sizeof(record.function),
	    slice_of(function));
	return record;
}

START_TEST(a_record_feeds_all_its_series)
{
	struct record record = a_record("f");

	metrics_record(metrics, &record);
	record.peak_kb = 32;
	record.outcome = RECORD_OUTCOME_TIMEOUT;
	record.failed_by = RECORD_FAILED_LIMIT;
	record.kind = RECORD_KIND_WARM;
	record.cause = RECORD_CAUSE_NONE;
	metrics_record(metrics, &record);
	assert_has("perilune_invocations_total{function=\"f\",outcome=\"ok\","
		   "failed_by=\"\"} 1\n");
	assert_has(
	    "{function=\"f\",outcome=\"timeout\",failed_by=\"limit\"} 1");
	assert_has("perilune_starts_total{function=\"f\",kind=\"image\","
		   "cause=\"from_zero\"} 1\n");
	assert_has("perilune_billed_ms_total{function=\"f\"} 4\n");
	assert_has("perilune_cost_pico_total{function=\"f\"} 2000\n");
	assert_has("perilune_cpu_seconds_total{function=\"f\"} 3.000000\n");
	assert_has("{function=\"f\",direction=\"in\"} 10\n");
	assert_has("{function=\"f\",direction=\"out\"} 12\n");
	assert_has("perilune_peak_kb{function=\"f\"} 64\n");
	assert_has("phase=\"load\"");
	assert_lacks("phase=\"jail\"");
}
END_TEST

START_TEST(what_never_got_a_worker_has_no_start)
{
	struct record record = a_record("f");
	struct metrics_totals totals;

	record.kind = RECORD_KIND_NONE;
	record.outcome = RECORD_OUTCOME_REJECTED;
	metrics_record(metrics, &record);
	assert_lacks("perilune_starts_total");
	assert_lacks("perilune_phase_seconds");
	metrics_totals(metrics, "f", &totals);
	ck_assert_uint_eq(totals.invocations, 1);
	ck_assert_uint_eq(totals.errors, 1);
	ck_assert_uint_eq(totals.cold, 0);
}
END_TEST

static int starts_seen;

static void
on_start(enum record_kind kind, enum record_cause cause, uint64_t count,
    const struct hist *const *phases, void *arg)
{
	starts_seen++;
	ck_assert_int_eq(kind, RECORD_KIND_IMAGE);
	ck_assert_int_eq(cause, RECORD_CAUSE_FROM_ZERO);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(phases[METRICS_PHASE_HANDLER]->count, 2);
	ck_assert_uint_eq(phases[METRICS_PHASE_LOAD]->max, 30);
	ck_assert_ptr_null(phases[METRICS_PHASE_JAIL]);
}

START_TEST(starts_are_listed_with_their_phases)
{
	struct record record = a_record("f");
	struct metrics_totals totals;

	metrics_record(metrics, &record);
	metrics_record(metrics, &record);
	metrics_starts(metrics, "f", on_start, NULL);
	metrics_starts(metrics, "nobody", on_start, NULL);
	ck_assert_int_eq(starts_seen, 1);
	metrics_totals(metrics, "f", &totals);
	ck_assert_uint_eq(totals.invocations, 2);
	ck_assert_uint_eq(totals.errors, 0);
	ck_assert_uint_eq(totals.cold, 2);
}
END_TEST

START_TEST(a_forgotten_function_leaves_nothing)
{
	struct record f = a_record("f");
	struct record g = a_record("g");
	struct metrics_totals totals;

	metrics_record(metrics, &f);
	metrics_record(metrics, &g);
	metrics_forget(metrics, "f");
	assert_lacks("function=\"f\"");
	assert_has("function=\"g\"");
	metrics_totals(metrics, "f", &totals);
	ck_assert_uint_eq(totals.invocations, 0);
	metrics_record(metrics, &f);
	assert_has("perilune_billed_ms_total{function=\"f\"} 2\n");
}
END_TEST

START_TEST(beyond_the_limit_everything_counts_as_other)
{
	struct record record;
	char name[16];
	size_t lines = 0;

	metrics_free(metrics);
	metrics = metrics_new(50);
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		record = a_record(name);
		metrics_record(metrics, &record);
	}
	for (const char *p = written(); (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	ck_assert_uint_lt(lines, 500);
	assert_has("perilune_billed_ms_total{function=\"_other\"} 199");
	metrics_forget(metrics, "_other");
	assert_has("perilune_billed_ms_total{function=\"_other\"} 199");
	metrics_starts(metrics, "f9999", on_start, NULL);
	ck_assert_int_eq(starts_seen, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/stat/metrics");
	TCase *tcase = tcase_create("metrics");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_same_labels_are_the_same_series);
	tcase_add_test(tcase, a_metric_without_labels_has_no_braces);
	tcase_add_test(tcase, metrics_without_series_are_not_written);
	tcase_add_test(tcase, label_values_cannot_break_a_line);
	tcase_add_test(tcase, a_value_can_be_asked_for);
	tcase_add_test(tcase, histograms_are_in_seconds_and_cumulative);
	tcase_add_test(tcase, a_record_feeds_all_its_series);
	tcase_add_test(tcase, what_never_got_a_worker_has_no_start);
	tcase_add_test(tcase, starts_are_listed_with_their_phases);
	tcase_add_test(tcase, a_forgotten_function_leaves_nothing);
	tcase_add_test(tcase, beyond_the_limit_everything_counts_as_other);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
