/*
 * test_layers.c - jail reports, honest and not.
 *
 * Runs in: tests.
 */
#include "sandbox/base/err.h"
#include "sandbox/wire/layers.h"
#include "sandbox/wire/wire.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static struct jail_report
some_report(void)
{
	struct jail_report report = {0};

	for (int i = 0; i < JAIL_LAYERS; i++)
		report.active[i] = true;
	report.active[JAIL_LANDLOCK] = false;
	(void)snprintf(report.why[JAIL_LANDLOCK], JAIL_WHY_MAX, "not built in");
	return report;
}

static int
get(const struct buf *b, struct jail_report *out, struct err *err)
{
	struct wire_reader r = {(const uint8_t *)b->p, b->n, false};

	return jail_report_get(&r, out, err);
}

START_TEST(a_report_comes_back_as_it_was)
{
	struct jail_report sent = some_report(), got;
	struct err err = {0};
	struct buf b = {0};

	jail_report_put(&sent, &b);
	ck_assert_int_eq(get(&b, &got, &err), 0);
	for (int i = 0; i < JAIL_LAYERS; i++) {
		ck_assert_int_eq(got.active[i], sent.active[i]);
		ck_assert_str_eq(got.why[i], sent.why[i]);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(what_follows_a_report_stays_in_the_reader)
{
	struct jail_report sent = some_report(), got;
	struct err err = {0};
	struct buf b = {0};
	struct wire_reader r;

	jail_report_put(&sent, &b);
	wire_add_u32(&b, 7);
	r = (struct wire_reader){(const uint8_t *)b.p, b.n, false};
	ck_assert_int_eq(jail_report_get(&r, &got, &err), 0);
	ck_assert_uint_eq(wire_get_u32(&r), 7);
	ck_assert(wire_got_all(&r));
	buf_fini(&b);
}
END_TEST

START_TEST(a_report_cut_anywhere_is_an_error)
{
	struct jail_report sent = some_report();
	struct err err = {0};
	struct buf b = {0};

	jail_report_put(&sent, &b);
	for (size_t n = 0; n < b.n; n++) {
		struct jail_report got = {.active = {true}};
		struct buf cut = {b.p, n, n};

		ck_assert_int_eq(get(&cut, &got, &err), -1);
		ck_assert_int_eq(err.code, ERR_PEER);
		ck_assert(got.active[0]); /* untouched on failure */
	}
	buf_fini(&b);
}
END_TEST

/* A report in which layer 0 is said to be this. */
static const struct lie {
	const char *name;
	unsigned int active;
	const char *why;
	const char *said;
} lies[] = {
    {"nonsense", 1, "", "jail report: unknown layer"},
    {"landlock", 1, "", "jail report: landlock twice"},
    {"seccomp", 2, "", "jail report: seccomp neither active nor explained"},
    {"seccomp", 0, "", "jail report: seccomp neither active nor explained"},
    {"seccomp", 1, "x", "jail report: seccomp neither active nor explained"},
    {"seccomp", 0, "\033[2J", "jail report: bad reason for seccomp"},
    {"seccomp", 0, "caf\xc3\xa9", "jail report: bad reason for seccomp"},
    {"seccomp", 0,
	"012345678901234567890123456789012345678901234567890123456789"
	"012345678901234567890123456789012345",
	"jail report: bad reason for seccomp"},
};

START_TEST(a_zygote_that_lies_is_an_error)
{
	const struct lie *lie = &lies[_i];
	struct jail_report got;
	struct err err = {0};
	struct buf b = {0};

	wire_add_u32(&b, JAIL_LAYERS);
	for (unsigned int i = 1; i < JAIL_LAYERS; i++) {
		wire_add_str(&b, slice_of(jail_layer_name((enum jail_layer)i)));
		wire_add_u8(&b, 1);
		wire_add_str(&b, SLICE(""));
	}
	wire_add_str(&b, slice_of(lie->name));
	wire_add_u8(&b, (uint8_t)lie->active);
	wire_add_str(&b, slice_of(lie->why));
	ck_assert_int_eq(get(&b, &got, &err), -1);
	ck_assert_str_eq(err.msg, lie->said);
	buf_fini(&b);
}
END_TEST

START_TEST(a_layer_is_found_by_its_name)
{
	ck_assert_int_eq(jail_layer_find(SLICE("pid-namespace")), JAIL_PID_NS);
	ck_assert_int_eq(jail_layer_find(SLICE("pid")), JAIL_LAYERS);
	ck_assert_int_eq(jail_layer_need(JAIL_PID_NS), JAIL_NAMED);
	ck_assert_int_eq(jail_layer_need(JAIL_SECCOMP), JAIL_ALWAYS);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sandbox/wire/layers");
	TCase *tcase = tcase_create("report");

	tcase_add_test(tcase, a_report_comes_back_as_it_was);
	tcase_add_test(tcase, what_follows_a_report_stays_in_the_reader);
	tcase_add_test(tcase, a_report_cut_anywhere_is_an_error);
	tcase_add_loop_test(tcase, a_zygote_that_lies_is_an_error, 0,
	    sizeof(lies) / sizeof(lies[0]));
	tcase_add_test(tcase, a_layer_is_found_by_its_name);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
