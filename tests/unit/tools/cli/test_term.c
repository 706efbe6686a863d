/*
 * test_term.c - nothing hostile reaches a terminal, tables are aligned.
 *
 * Runs in: tests.
 */
#include "tools/cli/term.h"

#include "tests/unit/unit.h"

static void
check_clean(struct slice in, enum term_lines lines, const char *out)
{
	struct buf clean = {0};

	term_clean(&clean, in, lines);
	buf_putc(&clean, '\0');
	ck_assert_str_eq(clean.p, out);
	buf_fini(&clean);
}

START_TEST(control_characters_become_visible)
{
	check_clean(SLICE("a\x1b[31mb\x07\x7f"), TERM_LINES,
	    "a\\x1b[31mb\\x07\\x7f");
	check_clean(SLICE("a\0b\r\n"), TERM_ONE_LINE, "a\\x00b\\r\\n");
	check_clean(SLICE("a\tb\nc\r"), TERM_LINES, "a\tb\nc\\r");
	/* C1 controls: CSI as U+009B */
	check_clean(SLICE("\xc2\x9b"
			  "31m"),
	    TERM_LINES, "\\x9b31m");
}
END_TEST

START_TEST(characters_that_turn_or_hide_text_become_visible)
{
	check_clean(SLICE("a\xe2\x80\xae"
			  "b"),
	    TERM_LINES, "a\\u202eb");
	check_clean(SLICE("\xe2\x81\xa6\xe2\x80\x8b\xef\xbb\xbf"), TERM_LINES,
	    "\\u2066\\u200b\\ufeff");
	check_clean(SLICE("\xf3\xa0\x81\x81"), TERM_LINES, "\\ue0041");
}
END_TEST

START_TEST(only_valid_utf8_passes)
{
	check_clean(SLICE("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), TERM_LINES,
	    "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	check_clean(SLICE("\xff\xc0\x80"), TERM_LINES, "\\xff\\xc0\\x80");
	check_clean(SLICE("\xed\xa0\x80"), TERM_LINES, "\\xed\\xa0\\x80");
	check_clean(SLICE("\xe0\x80\xaf\xf0\x80\x80\x80"), TERM_LINES,
	    "\\xe0\\x80\\xaf\\xf0\\x80\\x80\\x80");
	check_clean(SLICE("\xf4\x90\x80\x80"), TERM_LINES,
	    "\\xf4\\x90\\x80\\x80");
	check_clean(SLICE("\xe2\x82"), TERM_LINES, "\\xe2\\x82");
}
END_TEST

START_TEST(tables_are_aligned_and_clean)
{
	struct table *table = term_table_new("NAME|>CALLS|ROUTE");
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);

	term_table_add(table, TERM_RED, "a\x1b");
	term_table_add(table, TERM_PLAIN, "%d", 7);
	term_table_add(table, TERM_PLAIN, "/a");
	term_table_note(table, TERM_RED, "line\n3");
	term_table_add(table, TERM_PLAIN, "longname");
	term_table_add(table, TERM_PLAIN, "%d", 123456);
	term_table_add(table, TERM_PLAIN, "/b");
	term_table_print(table, f);
	term_table_free(table);
	(void)fclose(f);
	ck_assert_str_eq(text,
	    "NAME       CALLS  ROUTE\n"
	    "a\\x1b          7  /a\n"
	    "  line\\n3\n"
	    "longname  123456  /b\n");
	free(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tools/cli/term");
	TCase *tcase = tcase_create("term");

	tcase_add_test(tcase, control_characters_become_visible);
	tcase_add_test(tcase, characters_that_turn_or_hide_text_become_visible);
	tcase_add_test(tcase, only_valid_utf8_passes);
	tcase_add_test(tcase, tables_are_aligned_and_clean);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
