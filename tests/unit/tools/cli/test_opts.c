/*
 * test_opts.c - options in every spelling, and hints for the mistyped.
 *
 * Runs in: tests.
 */
#include "tools/cli/opts.h"

#include "tests/unit/unit.h"
#include "tools/cli/cli.h"

static bool follow, all;
static const char *state;
static uint64_t count;

static const struct opt table[] = {
    {"follow", 'f', OPT_FLAG, &follow, 0, 0},
    {"all", 'a', OPT_FLAG, &all, 0, 0},
    {"state", 's', OPT_TEXT, &state, 0, 0},
    {"lines", 'n', OPT_NUMBER, &count, 1, 100},
};

/* Parse a copy of these words; *operands_out: how many were left. */
static int
parse(char **argv, int *operands_out)
{
	int argc = 0;
	int rc;

	follow = all = false;
	state = NULL;
	count = 0;
	while (argv[argc] != NULL)
		argc++;
	rc = opts_parse(OPTS(table), &argc, argv, 0, 2, "NAME");
	*operands_out = argc - 1;
	return rc;
}

#define WORDS(...) ((char *[]){(char[]){"logs"}, __VA_ARGS__, NULL})
#define W(text)	   ((char[]){text})

START_TEST(options_and_operands_mix)
{
	char **argv = WORDS(W("x"), W("--state"), W("dir"), W("-fa"), W("y"),
	    W("--lines=7"));
	int n;

	ck_assert_int_eq(parse(argv, &n), 0);
	ck_assert_int_eq(n, 2);
	ck_assert_str_eq(argv[1], "x");
	ck_assert_str_eq(argv[2], "y");
	ck_assert_str_eq(state, "dir");
	ck_assert_uint_eq(count, 7);
	ck_assert(follow && all);
}
END_TEST

START_TEST(letters_take_values_attached_or_not)
{
	int n;
	/* the words must outlive the look at them */
	int first = parse(WORDS(W("-n5"), W("-s"), W("-f")), &n);

	ck_assert_int_eq(first, 0);
	ck_assert_uint_eq(count, 5);
	ck_assert_str_eq(state, "-f");
	ck_assert(!follow);
	ck_assert_int_eq(parse(WORDS(W("-"), W("--"), W("-n5")), &n), 0);
	ck_assert_int_eq(n, 2);
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(what_is_wrong_is_refused)
{
	int n;

	ck_assert_int_eq(parse(WORDS(W("--stat")), &n), CLI_USAGE);
	ck_assert_int_eq(parse(WORDS(W("-x")), &n), CLI_USAGE);
	ck_assert_int_eq(parse(WORDS(W("--follow=1")), &n), CLI_USAGE);
	ck_assert_int_eq(parse(WORDS(W("--state")), &n), CLI_USAGE);
	ck_assert_int_eq(parse(WORDS(W("-n"), W("0")), &n), CLI_USAGE);
	ck_assert_int_eq(parse(WORDS(W("-n"), W("101")), &n), CLI_USAGE);
	ck_assert_int_eq(parse(WORDS(W("-n"), W("7x")), &n), CLI_USAGE);
	ck_assert_int_eq(parse(WORDS(W("a"), W("b"), W("c")), &n), CLI_USAGE);
}
END_TEST

START_TEST(the_nearest_word_is_meant)
{
	static const char *const words[] = {"ls", "logs", "deploy", "describe",
	    "coldstart", "invoke"};

	ck_assert_str_eq(opts_nearest("lgos", words, 6), "logs");
	ck_assert_str_eq(opts_nearest("delpoy", words, 6), "deploy");
	ck_assert_str_eq(opts_nearest("desc", words, 6), "describe");
	ck_assert_str_eq(opts_nearest("coldstrat", words, 6), "coldstart");
	ck_assert_ptr_null(opts_nearest("banana", words, 6));
	ck_assert_ptr_null(opts_nearest("x", words, 6));
	ck_assert_ptr_null(opts_nearest("", words, 6));
	ck_assert_ptr_null(
	    opts_nearest("a-word-that-is-far-longer-than-any-command-could-be",
		words, 6));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tools/cli/opts");
	TCase *tcase = tcase_create("opts");

	tcase_add_test(tcase, options_and_operands_mix);
	tcase_add_test(tcase, letters_take_values_attached_or_not);
	tcase_add_test(tcase, what_is_wrong_is_refused);
	tcase_add_test(tcase, the_nearest_word_is_meant);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
