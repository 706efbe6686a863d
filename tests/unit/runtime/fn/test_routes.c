/*
 * test_routes.c - the most specific route answers.
 *
 * Runs in: tests.
 */
#include "runtime/fn/routes.h"
#include "runtime/fn/table.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static struct routes *routes;

static void
setup(void)
{
	routes = routes_new();
}

static void
teardown(void)
{
	routes_free(routes);
}

/* Owners are their own route strings. */
static void
add(char *route)
{
	routes_set(routes, route, route);
}

static void
check(const char *path, const char *want)
{
	const char *got = routes_match(routes, slice_of(path));

	if (want == NULL)
		ck_assert_msg(got == NULL, "%s goes to %s", path, got);
	else
		ck_assert_msg(got != NULL && strcmp(got, want) == 0,
		    "%s goes to %s, not %s", path, got == NULL ? "?" : got,
		    want);
}

static char hello[] = "/hello";
static char orders[] = "/orders";
static char order[] = "/orders/:id";
static char items[] = "/orders/:id/items";
static char fresh[] = "/orders/new";
static char top[] = "/";
static char any[] = "/:any";
static char deep[] = "/:any/b/c";

START_TEST(a_route_answers_for_itself_and_below)
{
	add(hello);
	check("/hello", hello);
	check("/hello/", hello);
	check("/hello/a/b", hello);
	check("/hello//b", hello);
	check("/hell", NULL);
	check("/hello2", NULL);
	check("/", NULL);
	check("", NULL);
	check("hello", NULL);
	check("//hello", NULL);
}
END_TEST

START_TEST(literal_before_parameter_and_long_before_short)
{
	add(orders);
	add(order);
	add(items);
	add(fresh);
	check("/orders", orders);
	check("/orders/", orders);
	check("/orders/7", order);
	check("/orders/7/x", order);
	check("/orders/7/items", items);
	check("/orders/7/items/3", items);
	check("/orders/new", fresh);
	check("/orders/new/items", fresh);
}
END_TEST

START_TEST(what_nobody_answers_goes_to_the_top)
{
	add(top);
	check("/", top);
	check("/x/y", top);
	add(any);
	check("/x/y", any);
	check("/", top);
	add(hello);
	check("/hello", hello);
	add(deep);
	check("/hello/b/c", hello); /* literal first, segment by segment */
	check("/other/b/c", deep);
	check("/other/b/d", any);
}
END_TEST

START_TEST(parameters_are_one_whatever_they_are_called)
{
	add(order);
	ck_assert_ptr_eq(routes_owner(routes, "/orders/:other"), order);
	ck_assert_ptr_null(routes_owner(routes, "/orders"));
	ck_assert_ptr_null(routes_owner(routes, "/orders/x"));
	routes_set(routes, "/orders/:x", NULL);
	ck_assert_ptr_null(routes_owner(routes, order));
	check("/orders/7", NULL);
}
END_TEST

START_TEST(many_come_and_go)
{
	static char names[3000][16];

	for (int i = 0; i < 3000; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "/f%d/:x/g", i);
		add(names[i]);
	}
	for (int i = 0; i < 3000; i += 2)
		routes_set(routes, names[i], NULL);
	for (int i = 0; i < 3000; i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "/f%d/1/g/h", i);
		check(path, i % 2 == 0 ? NULL : names[i]);
	}
}
END_TEST

struct thing {
	char key[8];
};

static struct slice
thing_key(const void *item)
{
	return slice_of(((const struct thing *)item)->key);
}

START_TEST(a_table_finds_what_was_not_removed)
{
	static struct thing things[2000];
	struct table table = {.key = thing_key};

	for (int i = 0; i < 2000; i++) {
		(void)snprintf(things[i].key, sizeof(things[i].key), "%d", i);
		table_add(&table, &things[i]);
	}
	for (int i = 0; i < 2000; i++)
		if (i % 3 != 0)
			ck_assert_ptr_eq(table_remove(&table,
					     slice_of(things[i].key)),
			    &things[i]);
	for (int i = 0; i < 2000; i++)
		ck_assert_ptr_eq(table_find(&table, slice_of(things[i].key)),
		    i % 3 == 0 ? &things[i] : NULL);
	ck_assert_ptr_null(table_remove(&table, SLICE("nobody")));
	ck_assert_uint_eq(table.n, 667);
	table_fini(&table);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/fn/routes");
	TCase *tcase = tcase_create("routes");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_route_answers_for_itself_and_below);
	tcase_add_test(tcase, literal_before_parameter_and_long_before_short);
	tcase_add_test(tcase, what_nobody_answers_goes_to_the_top);
	tcase_add_test(tcase, parameters_are_one_whatever_they_are_called);
	tcase_add_test(tcase, many_come_and_go);
	tcase_add_test(tcase, a_table_finds_what_was_not_removed);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
