/*
 * test_coldstart.c - what the records say is what is shown.
 *
 * Runs in: tests.
 */
#include "tools/cli/coldstart.h"

#include "tests/unit/unit.h"
#include "tools/cli/base64.h"

#include <string.h>

static json_t *
record(const char *kind, int load)
{
	return json_pack("{s{ss} s{si si si si si si si}}", "start", "kind",
	    kind, "us", "queue", 3, "spawn", 10, "jail", 20, "load", load,
	    "init", 100, "first", 9, "handler", 7);
}

static void
add(struct samples *series, const char *kind, int load)
{
	json_t *one = record(kind, load);

	samples_add(series, one);
	json_decref(one);
}

START_TEST(total_is_what_the_caller_waited_for)
{
	struct samples series;
	struct stats total;

	samples_init(&series, "image");
	for (int load = 200; load > 0; load--)
		add(&series, "image", load);
	samples_sort(&series);
	total = samples_stats(&series, PHASE_TOTAL);
	ck_assert_uint_eq(total.count, 200);
	ck_assert_uint_eq(total.p50, 133 + 100);
	ck_assert_uint_eq(total.p99, 133 + 198);
	ck_assert_uint_eq(total.max, 133 + 200);
	ck_assert_uint_eq(samples_stats(&series, PHASE_LOAD).p90, 180);
	ck_assert_uint_eq(samples_stats(&series, PHASE_HANDLER).max, 7);
	ck_assert_uint_eq(samples_stats(&series, PHASE_FIRST).p50, 9);
	samples_fini(&series);
}
END_TEST

START_TEST(starts_of_another_kind_are_left_out_and_counted)
{
	struct samples series;
	json_t *json;

	samples_init(&series, "fork");
	add(&series, "fork", 1);
	add(&series, "warm", 2);
	samples_sort(&series);
	ck_assert_uint_eq(series.n, 1);
	ck_assert_uint_eq(series.other, 1);
	ck_assert_str_eq(series.other_kind, "warm");
	json = samples_json(&series);
	ck_assert_ptr_nonnull(json);
	ck_assert_int_eq(json_integer_value(
			     json_object_get(json, "other_kind_count")),
	    1);
	json_decref(json);
	samples_fini(&series);
}
END_TEST

START_TEST(nothing_measured_is_shown_as_nothing)
{
	struct samples series;
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);

	samples_init(&series, "image");
	samples_sort(&series);
	samples_histogram(&series, f);
	samples_print(&series, &series, f);
	(void)fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "total"));
	free(text);
	samples_fini(&series);
}
END_TEST

static bool
decodes(const char *text, struct slice want)
{
	struct buf out = {0};
	bool ok = base64_decode(&out, slice_of(text)) &&
	    slice_eq(buf_slice(&out), want);

	buf_fini(&out);
	return ok;
}

START_TEST(base64_is_what_the_rfc_says)
{
	ck_assert(decodes("", SLICE("")));
	ck_assert(decodes("Zg==", SLICE("f")));
	ck_assert(decodes("Zm8=", SLICE("fo")));
	ck_assert(decodes("Zm9vYmFy", SLICE("foobar")));
	ck_assert(decodes("AP+/", SLICE("\0\xff\xbf")));
	ck_assert(!decodes("Zg", SLICE("f")));
	ck_assert(!decodes("Z===", SLICE("")));
	ck_assert(!decodes("Zm9*", SLICE("foo")));
	ck_assert(!decodes("Zm=v", SLICE("foo")));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tools/cli/coldstart");
	TCase *tcase = tcase_create("coldstart");

	tcase_add_test(tcase, total_is_what_the_caller_waited_for);
	tcase_add_test(tcase, starts_of_another_kind_are_left_out_and_counted);
	tcase_add_test(tcase, nothing_measured_is_shown_as_nothing);
	tcase_add_test(tcase, base64_is_what_the_rfc_says);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
