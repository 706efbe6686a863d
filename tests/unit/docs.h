/*
 * docs.h - a page under docs/ is what the code's table prints.
 *
 * Runs in: tests.
 *
 * tools/gendocs runs the same tests with PERILUNE_WRITE_DOCS set: then the
 * page is written instead of compared.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* here: __FILE__ of a test below tests/unit/. */
static inline void
docs_check(const char *here, const char *page, struct slice expected)
{
	const char *tests = strstr(here, "tests/unit/");
	char path[4096];
	char text[65536];
	FILE *file;
	size_t n;

	ck_assert_ptr_nonnull(tests);
	(void)snprintf(path, sizeof(path), "%.*sdocs/%s", (int)(tests - here),
	    here, page);
	if (getenv("PERILUNE_WRITE_DOCS") != NULL) {
		file = fopen(path, "w");
		ck_assert_msg(file != NULL, "cannot write %s", path);
		ck_assert_uint_eq(fwrite(expected.p, 1, expected.n, file),
		    expected.n);
		ck_assert_int_eq(fclose(file), 0);
	}
	file = fopen(path, "r");
	ck_assert_msg(file != NULL, "cannot read %s", path);
	n = fread(text, 1, sizeof(text), file);
	(void)fclose(file);
	ck_assert_msg(slice_eq(slice_from(text, n), expected),
	    "docs/%s is not what the code says: run tools/gendocs", page);
}
