/*
 * test_wall.c - which holes in the wall are refused, allowed, or only said.
 *
 * Runs in: tests.
 */
#include "runtime/gateway/wall.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

static struct jail_report report;
static struct buf why;

static void
setup(void)
{
	report = (struct jail_report){0};
	for (unsigned int i = 0; i < JAIL_LAYERS; i++)
		report.active[i] = true;
}

static void
teardown(void)
{
	buf_fini(&why);
}

static void
lose(enum jail_layer layer)
{
	report.active[layer] = false;
	(void)slice_copy(report.why[layer], sizeof(report.why[layer]),
	    SLICE("gone"));
}

START_TEST(a_whole_wall_is_served_behind_without_a_word)
{
	ck_assert_int_eq(wall_judge(&report, 0, 0, &why), 0);
	ck_assert_uint_eq(why.n, 0);
	ck_assert(!wall_degraded(&report));
}
END_TEST

START_TEST(a_failed_self_test_is_refused)
{
	ck_assert_int_eq(wall_judge(&report, 1, ~0u, &why), -1);
}
END_TEST

START_TEST(a_named_layer_is_refused_until_it_is_allowed_by_its_name)
{
	unsigned int bits = 0;
	struct err err;

	lose(JAIL_NET_NS);
	ck_assert_int_eq(wall_judge(&report, 0, 0, &why), -1);
	ck_assert_int_eq(wall_allow("pid-namespace", &bits, &err), 0);
	ck_assert_int_eq(wall_judge(&report, 0, bits, &why), -1);
	ck_assert_int_eq(wall_allow("network-namespace", &bits, &err), 0);
	ck_assert_int_eq(wall_judge(&report, 0, bits, &why), 0);
	ck_assert_ptr_nonnull(memmem(why.p, why.n, "network-namespace", 17));
}
END_TEST

START_TEST(nothing_allows_a_wall_without_its_filter)
{
	unsigned int bits = 0;
	struct err err;

	lose(JAIL_SECCOMP);
	ck_assert_int_eq(wall_allow("seccomp", &bits, &err), -1);
	ck_assert_int_eq(wall_judge(&report, 0, ~0u, &why), -1);
}
END_TEST

START_TEST(a_layer_that_is_only_wished_for_is_said)
{
	lose(JAIL_SPECULATION);
	ck_assert_int_eq(wall_judge(&report, 0, 0, &why), 0);
	ck_assert_uint_gt(why.n, 0);
	ck_assert(wall_degraded(&report));
}
END_TEST

START_TEST(a_name_that_is_no_layer_is_an_error)
{
	unsigned int bits = 0;
	struct err err;

	ck_assert_int_eq(wall_allow("moat", &bits, &err), -1);
	ck_assert_int_eq(err.code, ERR_BAD_INPUT);
	ck_assert_uint_eq(bits, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/gateway/wall");
	TCase *tcase = tcase_create("wall");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_whole_wall_is_served_behind_without_a_word);
	tcase_add_test(tcase, a_failed_self_test_is_refused);
	tcase_add_test(tcase,
	    a_named_layer_is_refused_until_it_is_allowed_by_its_name);
	tcase_add_test(tcase, nothing_allows_a_wall_without_its_filter);
	tcase_add_test(tcase, a_layer_that_is_only_wished_for_is_said);
	tcase_add_test(tcase, a_name_that_is_no_layer_is_an_error);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
