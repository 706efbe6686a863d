/*
 * test_settings.c - the settings file: defaults, limits, mistakes, the page.
 *
 * Runs in: tests.
 */
#include "runtime/policy/settings.h"
#include "sandbox/base/bytes.h"
#include "sandbox/base/err.h"
#include "tests/unit/docs.h"
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

static struct settings s;
static struct err err;

static void
setup(void)
{
	settings_init(&s);
}

static void
teardown(void)
{
	settings_fini(&s);
}

static int
parse(const char *text)
{
	return settings_parse(&s, text, strlen(text), &err);
}

START_TEST(defaults_are_those_of_the_table)
{
#define NUMBER(name, def, min, max, unit, what) \
	ck_assert_uint_eq(s.name, def);         \
	ck_assert_uint_ge(s.name, min);         \
	ck_assert_uint_le(s.name, max);
#define TEXT(name, def, what) ck_assert_str_eq(s.name, def);
#include "runtime/policy/settings.def"
#undef NUMBER
#undef TEXT
}
END_TEST

START_TEST(what_the_file_says_replaces_the_default)
{
	ck_assert_int_eq(parse("{\"max_queue\": 7, \"user\": \"www\","
			       " \"max_buffered_bytes\": 17179869184}"),
	    0);
	ck_assert_uint_eq(s.max_queue, 7);
	ck_assert_uint_eq(s.max_buffered_bytes, 17179869184u);
	ck_assert_str_eq(s.user, "www");
	ck_assert_uint_eq(s.max_headers, 100);
}
END_TEST

static const struct {
	const char *text;
	const char *says;
} bad[] = {
    {"{\"user\": \"x\",\n\n\"max_queue\": 0}",
	"line 3: max_queue: must be 1 to 1000000 (requests), not 0"},
    {"{\"max_queue\": 1000001}", "not 1000001"},
    {"{\"max_queue\": -5}", "not -5"},
    {"{\"max_queue\": 1.0}", "must be a whole number, not a fraction"},
    {"{\"max_queue\": true}", "must be a whole number, not true"},
    {"{\"user\": \"max_queue\", \n\"max_queue\": \"9\"}",
	"line 2: max_queue: must be a whole number, not a string"},
    {"{\n\"user\": 5}", "line 2: user: must be a string, not a number"},
    {"{\n\n\"max_cue\": 5}",
	"line 3: max_cue: unknown setting, did you mean max_queue?"},
    {"{\"zzzzzzzz\": 5}", "line 1: zzzzzzzz: unknown setting"},
    {"{\"max_queue\": 5,\n\"max_queue\": 6}", "line 2: duplicate"},
    {"{\"max_queue\": 5,\n\n", "line 3: "},
    {"5", "line 1: "},
    {"[]", "line 1: must be an object"},
    {"", "line 1: "},
};

START_TEST(a_mistake_changes_nothing_and_says_where)
{
	ck_assert_int_eq(parse("{\"receipts\": 0, \"user\": \"me\"}"), 0);
	ck_assert_int_eq(parse(bad[_i].text), -1);
	ck_assert_int_eq(err.code, ERR_BAD_INPUT);
	ck_assert_msg(strstr(err.msg, bad[_i].says) != NULL,
	    "%s\nsays: %s\nnot:  %s", bad[_i].text, err.msg, bad[_i].says);
	ck_assert_uint_eq(s.max_queue, 1024);
	ck_assert_uint_eq(s.receipts, 0);
	ck_assert_str_eq(s.user, "me");
}
END_TEST

START_TEST(a_file_is_read_and_named_in_errors)
{
	char folder[] = "/tmp/settings.XXXXXX";
	FILE *file;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
	file = fopen("perilune.json", "w");
	ck_assert_int_gt(fputs("{\n\"max_queue\": 3,\n\"receipts\": 2}", file),
	    0);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(settings_load(&s, "perilune.json", &err), -1);
	ck_assert_str_eq(err.msg,
	    "perilune.json: line 3: receipts: must be "
	    "0 to 1 (0 or 1), not 2");
	ck_assert_uint_eq(s.max_queue, 1024);
	ck_assert_int_eq(truncate("perilune.json", 70000), 0);
	ck_assert_int_eq(settings_load(&s, "perilune.json", &err), -1);
	ck_assert_int_eq(err.code, ERR_LIMIT);
	ck_assert_int_eq(unlink("perilune.json"), 0);
	ck_assert_int_eq(settings_load(&s, "perilune.json", &err), -1);
	ck_assert_int_eq(err.code, ERR_SYSTEM);
	ck_assert_int_eq(mkfifo("perilune.json", 0600), 0);
	ck_assert_int_eq(settings_load(&s, "perilune.json", &err), -1);
	ck_assert_int_eq(err.code, ERR_BAD_INPUT);
	ck_assert_int_eq(unlink("perilune.json"), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(the_page_is_what_the_table_says)
{
	struct buf page = {0};

	settings_describe(&page);
	docs_check(__FILE__, "settings.md", buf_slice(&page));
	buf_fini(&page);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/policy/settings");
	TCase *tcase = tcase_create("settings");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, defaults_are_those_of_the_table);
	tcase_add_test(tcase, what_the_file_says_replaces_the_default);
	tcase_add_loop_test(tcase, a_mistake_changes_nothing_and_says_where, 0,
	    sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tcase, a_file_is_read_and_named_in_errors);
	tcase_add_test(tcase, the_page_is_what_the_table_says);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
