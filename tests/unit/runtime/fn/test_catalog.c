/*
 * test_catalog.c - saving is deploying: a real directory, a real loop, and a
 * builder that says what the test wants.
 *
 * Runs in: tests.
 *
 * The store is a double: two functions that remember rows.
 */
#include "runtime/fn/catalog.h"
#include "runtime/loop/loop.h"
#include "runtime/store/store.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"
#include "tests/unit/runtime/fn/folder.h"

#include <malloc.h>

#define PATIENCE_MS 5000

/* --- the store ---------------------------------------------------------- */

struct store {
	struct store_version rows[64];
	size_t n;
	bool broken;
};

void
store_versions(struct store *store,
    void (*done)(const struct store_version *versions, size_t n,
	const struct err *err, void *arg),
    void *arg)
{
	struct err err;

	(void)err_set(&err, ERR_SYSTEM, "the disk is on fire");
	done(store->rows, store->n, store->broken ? &err : NULL, arg);
}

void
store_add_version(struct store *store, const struct store_version *version,
    store_done_fn done, void *arg)
{
	struct err err;

	ck_assert_uint_lt(store->n, 64);
	store->rows[store->n++] = *version;
	(void)err_set(&err, ERR_SYSTEM, "the disk is on fire");
	done(store->broken ? &err : NULL, arg);
}

/* --- the builder -------------------------------------------------------- */

static struct loop *loop;
static struct catalog *catalog;
static struct store store;
static struct store *use_store;

static struct fn_version *held[64]; /* candidates, when hold is set */
static size_t nheld;
static bool hold;
static size_t candidates, deployed, removed, settled, most_at_once;
static char notes[16384];

static void
on_candidate(struct fn_version *candidate, void *arg)
{
	candidates++;
	ck_assert_uint_gt(candidate->number, 0);
	if (hold) {
		ck_assert_uint_lt(nheld, 64);
		held[nheld++] = fn_version_ref(candidate);
		if (nheld > most_at_once)
			most_at_once = nheld;
	} else if (strstr(candidate->modules[0].source, "broken") != NULL) {
		catalog_reject(catalog, candidate, "init.lua:1: broken");
	} else {
		catalog_accept(catalog, candidate);
	}
}

static void
on_deployed(struct fn_version *now, struct fn_version *before, void *arg)
{
	ck_assert_ptr_ne(now, before);
	deployed++;
}

static void
on_removed(struct fn_version *before, void *arg)
{
	ck_assert_ptr_nonnull(before);
	removed++;
}

static void
on_note(const char *name, const char *what, void *arg)
{
	size_t n = strlen(notes);

	(void)snprintf(notes + n, sizeof(notes) - n, "%s: %s\n",
	    name == NULL ? "-" : name, what);
}

static void
on_settled(void *arg)
{
	settled++;
}

static const struct catalog_callbacks callbacks = {
    .on_candidate = on_candidate,
    .on_deployed = on_deployed,
    .on_removed = on_removed,
    .on_note = on_note,
    .on_settled = on_settled,
};

/* --- running ------------------------------------------------------------ */

static struct loop_timer *tick;
static bool (*until)(void);
static uint64_t give_up_us;
static bool came;

static void
on_tick(void *arg)
{
	came = until();
	if (came || clock_mono_us() > give_up_us)
		loop_stop(loop);
	else
		loop_timer_start(tick, 500);
}

static bool
run_until(bool (*condition)(void), uint64_t ms)
{
	struct err err;

	until = condition;
	give_up_us = clock_mono_us() + ms * 1000;
	loop_timer_start(tick, 0);
	ck_assert_int_eq(loop_run(loop, &err), 0);
	return came;
}

static bool
never(void)
{
	return false;
}

static bool
is_settled(void)
{
	return settled > 0;
}

static void
start(void)
{
	catalog = catalog_new(loop, use_store, dup(folder_fd), folder, 4,
	    &callbacks, NULL);
	catalog_start(catalog);
}

static void
start_settled(void)
{
	start();
	ck_assert_msg(run_until(is_settled, PATIENCE_MS), "%s", notes);
}

static void
setup(void)
{
	struct err err;

	folder_setup();
	loop = loop_new(&err);
	tick = loop_timer_new(loop, on_tick, NULL);
}

static void
teardown(void)
{
	while (nheld > 0)
		fn_version_unref(held[--nheld]);
	catalog_free(catalog);
	loop_timer_free(tick);
	loop_free(loop);
	folder_teardown();
}

static const struct fn_version *
serving(const char *name)
{
	return catalog_find(catalog, slice_of(name));
}

static const char *
source(const char *name)
{
	return serving(name) == NULL ? "" : serving(name)->modules[0].source;
}

static const char *
error_of(const char *name)
{
	const struct catalog_entry *entry =
	    catalog_entry(catalog, slice_of(name));

	return entry == NULL || entry->error == NULL ? "" : entry->error;
}

/* Wait until this many more candidates, deployments, ... were seen. */
static size_t *counter;
static size_t target;

static bool
counted(void)
{
	return *counter >= target;
}

static void
await(size_t *which, size_t value)
{
	counter = which;
	target = value;
	ck_assert_msg(run_until(counted, PATIENCE_MS),
	    "%zu candidates, %zu deployed, %zu removed\n%s", candidates,
	    deployed, removed, notes);
}

static const char *wanted_name;
static const char *wanted_source; /* NULL: it is not served */

static bool
has_source(void)
{
	if (wanted_source == NULL)
		return serving(wanted_name) == NULL;
	return strcmp(source(wanted_name), wanted_source) == 0;
}

static void
await_source(const char *name, const char *text)
{
	wanted_name = name;
	wanted_source = text;
	ck_assert_msg(run_until(has_source, PATIENCE_MS),
	    "%s is \"%s\", not \"%s\"\n%s", name, source(name),
	    text == NULL ? "(gone)" : text, notes);
}

static const char *wanted_note;

static bool
has_note(void)
{
	return strstr(notes, wanted_note) != NULL;
}

static void
await_note(const char *text)
{
	wanted_note = text;
	ck_assert_msg(run_until(has_note, PATIENCE_MS), "no \"%s\" in:\n%s",
	    text, notes);
}

/* --- tests -------------------------------------------------------------- */

static void
put_in_names(const struct catalog_entry *entry, void *arg)
{
	(void)strcat(arg, entry->name);
	(void)strcat(arg, " ");
}

START_TEST(what_is_there_is_served_once_settled)
{
	char names[64] = "";

	folder_put("c.lua", "return 3");
	folder_put("a.lua", "return 1");
	folder_mkdir("b");
	folder_put("b/init.lua", "return 2");
	folder_put("bad.lua", "broken");
	folder_put("worse.lua", "return 1");
	folder_put("worse.json", "{");
	start_settled();
	ck_assert_uint_eq(deployed, 3);
	ck_assert_str_eq(source("b"), "return 2");
	catalog_each(catalog, put_in_names, names);
	ck_assert_str_eq(names, "a b bad c worse ");
	ck_assert_int_eq(catalog_entry(catalog, SLICE("a"))->state,
	    CATALOG_SERVING);
	ck_assert_int_eq(catalog_entry(catalog, SLICE("bad"))->state,
	    CATALOG_BROKEN);
	ck_assert_str_eq(error_of("bad"), "init.lua:1: broken");
	ck_assert_ptr_nonnull(strstr(error_of("worse"), "worse.json: line 1"));
	ck_assert_ptr_null(catalog_entry(catalog, SLICE("none")));
	(void)run_until(never, 50);
	ck_assert_uint_eq(settled, 1);
}
END_TEST

START_TEST(an_empty_directory_settles)
{
	start_settled();
	ck_assert_uint_eq(candidates, 0);
}
END_TEST

START_TEST(saving_deploys_within_100_ms)
{
	start_settled();
	for (int i = 1; i <= 10; i++) {
		char text[32];
		uint64_t began_us = clock_mono_us();

		(void)snprintf(text, sizeof(text), "return %d", i);
		folder_put("hello.lua", text);
		await_source("hello", text);
		ck_assert_uint_lt(clock_mono_us() - began_us, 100000);
		ck_assert_uint_eq(serving("hello")->number, i);
	}
	ck_assert_uint_eq(candidates, 10);
}
END_TEST

START_TEST(a_half_written_file_is_not_seen)
{
	int fd;

	folder_put("old.lua", "return 'old'");
	start_settled();
	fd = openat(folder_fd, "new.lua", O_WRONLY | O_CREAT, 0644);
	ck_assert_int_eq(write(fd, "return", 6), 6);
	folder_put("other.lua", "return 1"); /* makes it look around */
	await_source("other", "return 1");
	(void)run_until(never, 200);
	ck_assert_ptr_null(serving("new"));
	ck_assert_uint_eq(candidates, 2);
	ck_assert_int_eq(write(fd, " 'new'", 6), 6);
	ck_assert_int_eq(close(fd), 0);
	await_source("new", "return 'new'");
	fd = openat(folder_fd, "old.lua", O_WRONLY | O_TRUNC);
	(void)run_until(never, 200);
	ck_assert_str_eq(source("old"), "return 'old'");
	ck_assert_int_eq(write(fd, "return 2", 8), 8);
	ck_assert_int_eq(close(fd), 0);
	await_source("old", "return 2");
	ck_assert_uint_eq(candidates, 4);
}
END_TEST

START_TEST(a_writer_that_never_ends_does_not_stop_the_start)
{
	int fd = openat(folder_fd, "slow.lua", O_WRONLY | O_CREAT, 0644);

	ck_assert_int_eq(write(fd, "return", 6), 6);
	folder_put("a.lua", "return 1");
	start_settled();
	ck_assert_uint_eq(deployed, 1);
	ck_assert_int_eq(close(fd), 0);
	await_source("slow", "return");
}
END_TEST

START_TEST(renaming_and_linking_in_deploys)
{
	start_settled();
	folder_put("x.tmp", "return 1");
	folder_put(".x.lua.swp", "return 1");
	folder_put("x.lua~", "return 1");
	folder_put("README.md", "# hi");
	(void)run_until(never, 50);
	ck_assert_uint_eq(candidates, 0);
	folder_mv("x.tmp", "x.lua");
	await_source("x", "return 1");
	folder_put("y.tmp", "return 2");
	ck_assert_int_eq(linkat(folder_fd, "y.tmp", folder_fd, "y.lua", 0), 0);
	await_source("y", "return 2");
	ck_assert_str_eq(notes, "");
}
END_TEST

START_TEST(odd_names_are_said_once_and_escaped)
{
	folder_put("a b.lua", "return 1");
	start_settled();
	folder_put("\xff\n.lua", "return 1");
	await_note("\\xff\\x0a.lua: refused");
	folder_put("\xff\n.lua", "return 2");
	(void)run_until(never, 50);
	ck_assert_uint_eq(candidates, 0);
	ck_assert_ptr_nonnull(strstr(notes, "a b.lua: refused"));
	ck_assert_ptr_eq(strstr(notes, "\\xff"), strrchr(notes, '\\') - 4);
}
END_TEST

START_TEST(a_link_to_a_folder_is_refused_at_once)
{
	folder_mkdir(".real");
	folder_put(".real/init.lua", "return 1");
	start_settled();
	ck_assert_int_eq(symlinkat(".real", folder_fd, "linked"), 0);
	await_note("linked: refused"); /* rescans come later than that */
	ck_assert_int_eq(symlinkat(".real", folder_fd, "x.tmp"), 0);
	folder_mv("x.tmp", "moved");
	await_note("moved: refused");
	ck_assert_uint_eq(candidates, 0);
}
END_TEST

START_TEST(a_broken_version_keeps_the_old_one)
{
	folder_put("f.lua", "return 1");
	start_settled();
	folder_put("f.lua", "broken");
	await(&candidates, 2);
	ck_assert_str_eq(source("f"), "return 1");
	ck_assert_str_eq(error_of("f"), "init.lua:1: broken");
	ck_assert_int_eq(catalog_entry(catalog, SLICE("f"))->state,
	    CATALOG_SERVING);
	folder_put("f.json", "{\n\"timeout_ms\": 0}");
	await_note("f: f.json: line 2: timeout_ms: must be 1 to 900000 ms");
	ck_assert_str_eq(source("f"), "return 1");
	ck_assert_uint_eq(candidates, 2);
	folder_rm("f.json");
	folder_put("f.lua", "return 3");
	await_source("f", "return 3");
	ck_assert_str_eq(error_of("f"), "");
	ck_assert_uint_eq(serving("f")->number, 3);
}
END_TEST

START_TEST(going_back_clears_the_error_without_building)
{
	folder_put("f.lua", "return 1");
	start_settled();
	folder_put("f.lua", "broken");
	await(&candidates, 2);
	folder_put("f.lua", "return 1");
	(void)run_until(never, 100);
	ck_assert_str_eq(error_of("f"), "");
	ck_assert_uint_eq(candidates, 2);
	ck_assert_uint_eq(serving("f")->number, 1);
}
END_TEST

START_TEST(same_content_has_the_same_number)
{
	use_store = &store;
	folder_put("f.lua", "return 1");
	start_settled();
	folder_put("f.lua", "return 2");
	await_source("f", "return 2");
	ck_assert_uint_eq(serving("f")->number, 2);
	folder_put("f.lua", "return 1");
	await_source("f", "return 1");
	ck_assert_uint_eq(serving("f")->number, 1);
	folder_put("g.lua", "return 1");
	await_source("g", "return 1");
	ck_assert_uint_eq(serving("g")->number, 1);
	ck_assert_uint_eq(store.n, 3);
	ck_assert_str_eq(store.rows[1].name, "f");
	ck_assert_uint_eq(store.rows[1].number, 2);
	ck_assert_uint_eq(strlen(store.rows[1].hash), FN_HASH_HEX);
}
END_TEST

START_TEST(numbers_go_on_where_an_earlier_life_ended)
{
	use_store = &store;
	folder_put("f.lua", "return 1");
	start_settled();
	ck_assert_uint_eq(store.n, 1);
	store.rows[0].number = 41;
	catalog_free(catalog);
	settled = 0;
	start_settled();
	ck_assert_uint_eq(serving("f")->number, 41);
	folder_put("f.lua", "return 2");
	await_source("f", "return 2");
	ck_assert_uint_eq(serving("f")->number, 42);
}
END_TEST

START_TEST(a_broken_store_is_said_and_serving_goes_on)
{
	use_store = &store;
	store.broken = true;
	folder_put("f.lua", "return 1");
	start_settled();
	ck_assert_uint_eq(serving("f")->number, 1);
	ck_assert_ptr_nonnull(strstr(notes, "can't be read"));
	ck_assert_ptr_nonnull(strstr(notes, "could not be written down"));
}
END_TEST

START_TEST(removing_undeploys_and_coming_back_is_the_same_version)
{
	folder_put("f.lua", "return 1");
	folder_mkdir("g");
	folder_put("g/init.lua", "return 2");
	start_settled();
	folder_rm("f.lua");
	await_source("f", NULL);
	ck_assert_uint_eq(removed, 1);
	ck_assert_ptr_null(catalog_entry(catalog, SLICE("f")));
	folder_put("f.lua", "return 1");
	await_source("f", "return 1");
	ck_assert_uint_eq(serving("f")->number, 1);
	folder_rm("g/init.lua");
	await_source("g", NULL);
	folder_put("g/init.lua", "return 3");
	await_source("g", "return 3");
	folder_mv("g", "h");
	await_source("h", "return 3");
	await_source("g", NULL);
	folder_put("h/init.lua", "return 4");
	await_source("h", "return 4");
	ck_assert_uint_eq(removed, 3);
}
END_TEST

START_TEST(an_editors_swap_is_no_removal)
{
	folder_put("f.lua", "return 1");
	start_settled();
	for (int i = 0; i < 20; i++) {
		folder_mv("f.lua", "f.lua~");
		folder_put("f.lua", i % 2 == 0 ? "return 2" : "return 1");
		(void)run_until(never, 5);
	}
	await_source("f", "return 1");
	ck_assert_uint_eq(removed, 0);
}
END_TEST

START_TEST(a_folders_modules_are_watched)
{
	folder_mkdir("f");
	folder_mkdir("f/sub");
	folder_put("f/init.lua", "return 1");
	folder_put("f/sub/a.lua", "return 1");
	start_settled();
	ck_assert_uint_eq(serving("f")->nmodules, 2);
	folder_put("f/sub/a.lua", "return 2");
	await(&deployed, 2);
	ck_assert_str_eq(serving("f")->modules[1].source, "return 2");
	folder_mkdir("f/new");
	(void)run_until(never, 50);
	folder_put("f/new/b.lua", "return 1");
	await(&deployed, 3);
	ck_assert_str_eq(serving("f")->modules[1].name, "new.b");
	folder_put("f/new/b.lua", "return 2");
	await(&deployed, 4);
	ck_assert_str_eq(serving("f")->modules[1].source, "return 2");
	folder_put("f/notes.txt", "nothing");
	folder_put("f/function.json", "{\"timeout_ms\": 9}");
	await(&deployed, 5);
	ck_assert_uint_eq(serving("f")->manifest.timeout_ms, 9);
}
END_TEST

START_TEST(a_shared_module_redeploys_its_users_only)
{
	folder_mkdir("_lib");
	folder_put("_lib/x.lua", "return 1");
	folder_put("_lib/y.lua", "return require('_lib.x')");
	folder_put("direct.lua", "return require('_lib.x')");
	folder_put("indirect.lua", "return require('_lib.y')");
	folder_put("alone.lua", "return 1");
	folder_put("absent.lua", "return pcall(require, '_lib.z')");
	start_settled();
	ck_assert_uint_eq(deployed, 4);
	folder_put("_lib/x.lua", "return 2");
	await(&deployed, 6);
	(void)run_until(never, 100);
	ck_assert_uint_eq(candidates, 6);
	ck_assert_uint_eq(serving("direct")->number, 2);
	ck_assert_uint_eq(serving("indirect")->number, 2);
	ck_assert_uint_eq(serving("alone")->number, 1);
	folder_put("_lib/z.lua", "return 1");
	await(&deployed, 7);
	ck_assert_uint_eq(serving("absent")->nmodules, 2);
}
END_TEST

START_TEST(a_shared_folder_that_comes_later_is_watched)
{
	folder_put("f.lua", "return require('_lib.sub.x')");
	start_settled();
	ck_assert_uint_eq(serving("f")->nmodules, 1);
	folder_mkdir("_lib");
	folder_mkdir("_lib/sub");
	(void)run_until(never, 50);
	folder_put("_lib/sub/x.lua", "return 1");
	await(&deployed, 2);
	ck_assert_uint_eq(serving("f")->nmodules, 2);
	folder_put("_lib/sub/x.lua", "return 2");
	await(&deployed, 3);
	ck_assert_str_eq(serving("f")->modules[1].source, "return 2");
}
END_TEST

START_TEST(after_a_rename_storm_the_disk_is_right)
{
	folder_put("a.lua", "return 'a'");
	folder_put("b.lua", "return 'b'");
	start_settled();
	for (int i = 0; i < 301; i++) {
		folder_mv("a.lua", "t.tmp");
		folder_mv("b.lua", "a.lua");
		folder_mv("t.tmp", "b.lua");
		if (i % 10 == 0)
			(void)run_until(never, 1);
	}
	await_source("a", "return 'b'");
	await_source("b", "return 'a'");
	(void)run_until(never, 150);
	ck_assert_str_eq(source("a"), "return 'b'");
	ck_assert_str_eq(source("b"), "return 'a'");
	ck_assert_uint_eq(serving("a")->number, 2);
}
END_TEST

START_TEST(an_overflow_is_followed_by_a_rescan)
{
	folder_put("a.lua", "return 1");
	folder_put("gone.lua", "return 1");
	start_settled();
	for (int i = 0; i < 20000; i++) { /* the kernel keeps 16,384 */
		folder_mv("a.lua", "b.lua");
		folder_mv("b.lua", "a.lua");
	}
	folder_rm("gone.lua");
	folder_put("a.lua", "return 2");
	folder_put("new.lua", "return 3");
	await_source("new", "return 3");
	await_source("a", "return 2");
	await_source("gone", NULL);
	await_note("too many changes");
	ck_assert_ptr_null(serving("b"));
}
END_TEST

START_TEST(routes_are_one_functions_each)
{
	struct catalog_param params[8];
	struct fn_version *v;
	size_t n;

	folder_put("a.lua", "return 1");
	folder_put("a.json", "{\"route\": \"/shop/:id/items/:item\"}");
	start_settled();
	v = catalog_route(catalog, SLICE("/shop/7/items/x/more"), params, 8,
	    &n);
	ck_assert_ptr_eq(v, serving("a"));
	ck_assert_uint_eq(n, 2);
	ck_assert(slice_is(params[0].name, "id"));
	ck_assert(slice_is(params[0].value, "7"));
	ck_assert(slice_is(params[1].name, "item"));
	ck_assert(slice_is(params[1].value, "x"));
	v = catalog_route(catalog, SLICE("/shop/7/items/x"), params, 1, &n);
	ck_assert_uint_eq(n, 1);
	ck_assert_ptr_null(catalog_route(catalog, SLICE("/a"), params, 8, &n));
	ck_assert_uint_eq(n, 0);
	folder_put("b.json", "{\"route\": \"/shop/:x/items/:y\"}");
	folder_put("b.lua", "return 2");
	await_note("b: route /shop/:x/items/:y is served by a already");
	ck_assert_ptr_null(serving("b"));
	ck_assert_uint_eq(removed, 0);
	folder_rm("a.lua"); /* then b may have it */
	await_source("b", "return 2");
	v = catalog_route(catalog, SLICE("/shop/1/items/2"), params, 8, &n);
	ck_assert_ptr_eq(v, serving("b"));
	ck_assert(slice_is(params[1].name, "y"));
	folder_put("b.json", "{\"route\": \"/\"}");
	await(&deployed, 3);
	ck_assert_ptr_eq(catalog_route(catalog, SLICE("/anything"), params, 8,
			     &n),
	    serving("b"));
}
END_TEST

START_TEST(builds_are_few_at_once)
{
	hold = true;
	for (int i = 0; i < 20; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "f%02d.lua", i);
		folder_put(name, "return 1");
	}
	start();
	await(&candidates, 4);
	(void)run_until(never, 50);
	ck_assert_uint_eq(candidates, 4);
	while (nheld > 0) {
		struct fn_version *v = held[--nheld];

		ck_assert_uint_eq(settled, 0);
		catalog_accept(catalog, v);
		fn_version_unref(v);
	}
	ck_assert_uint_eq(most_at_once, 4);
	ck_assert_uint_eq(deployed, 20);
	ck_assert_uint_eq(settled, 1);
}
END_TEST

/* The oldest candidate that was held: accept it, or reject with why. */
static void
answer(const char *why)
{
	struct fn_version *v = held[0];

	ck_assert_uint_gt(nheld, 0);
	memmove(held, held + 1, --nheld * sizeof(held[0]));
	if (why == NULL)
		catalog_accept(catalog, v);
	else
		catalog_reject(catalog, v, why);
	fn_version_unref(v);
}

START_TEST(a_newer_change_waits_for_the_build)
{
	hold = true;
	start();
	folder_put("f.lua", "return 1");
	await(&candidates, 1);
	folder_put("f.lua", "return 2");
	(void)run_until(never, 50);
	folder_put("f.lua", "return 3");
	(void)run_until(never, 50);
	ck_assert_uint_eq(candidates, 1);
	answer(NULL);
	ck_assert_str_eq(source("f"), "return 1");
	ck_assert_uint_eq(candidates, 2);
	answer(NULL);
	ck_assert_str_eq(source("f"), "return 3");
	ck_assert_uint_eq(candidates, 2);
}
END_TEST

START_TEST(a_build_that_nobody_wants_any_more_is_dropped)
{
	folder_put("f.lua", "return 1");
	start_settled();
	hold = true;
	folder_put("f.lua", "return 2");
	await(&candidates, 2);
	folder_put("f.lua", "return 1"); /* back to what serves */
	(void)run_until(never, 50);
	answer(NULL);
	ck_assert_str_eq(source("f"), "return 1");
	folder_put("g.lua", "return 1");
	await(&candidates, 3);
	folder_rm("g.lua");
	(void)run_until(never, 100);
	answer(NULL);
	ck_assert_ptr_null(serving("g"));
	ck_assert_ptr_null(catalog_entry(catalog, SLICE("g")));
	folder_put("h.lua", "return 1");
	await(&candidates, 4);
	folder_put("h.lua", "\x1b");
	await_note("h: h.lua is Lua bytecode");
	answer("too slow");
	ck_assert_ptr_nonnull(strstr(error_of("h"), "bytecode"));
	ck_assert_uint_eq(removed, 0);
}
END_TEST

START_TEST(rebuilding_replaces_nothing)
{
	folder_put("f.lua", "return 1");
	folder_put("g.lua", "return 2");
	start_settled();
	hold = true;
	catalog_rescan(catalog);
	ck_assert_uint_eq(candidates, 4);
	catalog_rescan(catalog); /* another zygote, during those builds */
	answer(NULL);
	answer("no memory");
	ck_assert_uint_eq(candidates, 6);
	answer(NULL);
	answer(NULL);
	ck_assert_uint_eq(candidates, 6);
	ck_assert_uint_eq(deployed, 2);
	ck_assert_str_eq(source("f"), "return 1");
	ck_assert_str_eq(source("g"), "return 2");
}
END_TEST

START_TEST(a_directory_that_goes_keeps_serving_until_it_is_back)
{
	char aside[80];

	(void)snprintf(aside, sizeof(aside), "%s.aside", folder);
	folder_put("f.lua", "return 1");
	start_settled();
	ck_assert_int_eq(rename(folder, aside), 0);
	await_note("the functions directory is gone");
	ck_assert_str_eq(source("f"), "return 1");
	ck_assert_int_eq(mkdir(folder, 0755), 0);
	await_note("was replaced");
	await_note("is empty");
	ck_assert_str_eq(source("f"), "return 1");
	(void)close(folder_fd);
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY);
	folder_put("g.lua", "return 2");
	await_source("g", "return 2");
	await_source("f", NULL);
	folder_put("g.lua", "return 3");
	await_source("g", "return 3");
	(void)strcat(aside, "/f.lua");
	ck_assert_int_eq(unlink(aside), 0);
	*strrchr(aside, '/') = '\0';
	ck_assert_int_eq(rmdir(aside), 0);
}
END_TEST

START_TEST(a_directory_that_is_deleted_keeps_serving)
{
	folder_put("f.lua", "return 1");
	start_settled();
	folder_rm("f.lua");
	ck_assert_int_eq(rmdir(folder), 0);
	await_note("the functions directory is gone");
	ck_assert_str_eq(source("f"), "return 1");
	ck_assert_uint_eq(removed, 0);
}
END_TEST

START_TEST(freeing_does_not_wait_for_jobs)
{
	for (int i = 0; i < 200; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "f%d.lua", i);
		folder_put(name, "return 1");
	}
	for (int ms = 0; ms < 6; ms++) {
		start();
		(void)run_until(never, (uint64_t)ms);
		catalog_free(catalog);
		(void)run_until(never, 5);
	}
	start();
	catalog_free(catalog);
	catalog = NULL; /* its job is finished by loop_free */
}
END_TEST

#define MANY 10000

START_TEST(ten_thousand_functions_are_quick_and_small)
{
	char text[301];
	size_t before;
	uint64_t began_us;

	memset(text, '-', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < MANY; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "function-%d.lua", i);
		folder_put(name, text);
	}
	before = mallinfo2().uordblks;
	began_us = clock_mono_us();
	start();
	await(&deployed, MANY);
	printf("# %d functions: %llu ms, %zu bytes each\n", MANY,
	    (unsigned long long)(clock_mono_us() - began_us) / 1000,
	    (mallinfo2().uordblks - before) / MANY);
#ifndef PERILUNE_SANITIZED
	ck_assert_uint_lt(clock_mono_us() - began_us, 1000000);
	ck_assert_uint_lt((mallinfo2().uordblks - before) / MANY, 3072);
#endif
	ck_assert_uint_eq(settled, 1);
	ck_assert_str_eq(notes, "");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/fn/catalog");
	TCase *tcase = tcase_create("catalog");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, what_is_there_is_served_once_settled);
	tcase_add_test(tcase, an_empty_directory_settles);
	tcase_add_test(tcase, saving_deploys_within_100_ms);
	tcase_add_test(tcase, a_half_written_file_is_not_seen);
	tcase_add_test(tcase, a_writer_that_never_ends_does_not_stop_the_start);
	tcase_add_test(tcase, renaming_and_linking_in_deploys);
	tcase_add_test(tcase, odd_names_are_said_once_and_escaped);
	tcase_add_test(tcase, a_link_to_a_folder_is_refused_at_once);
	tcase_add_test(tcase, a_broken_version_keeps_the_old_one);
	tcase_add_test(tcase, going_back_clears_the_error_without_building);
	tcase_add_test(tcase, same_content_has_the_same_number);
	tcase_add_test(tcase, numbers_go_on_where_an_earlier_life_ended);
	tcase_add_test(tcase, a_broken_store_is_said_and_serving_goes_on);
	tcase_add_test(tcase,
	    removing_undeploys_and_coming_back_is_the_same_version);
	tcase_add_test(tcase, an_editors_swap_is_no_removal);
	tcase_add_test(tcase, a_folders_modules_are_watched);
	tcase_add_test(tcase, a_shared_module_redeploys_its_users_only);
	tcase_add_test(tcase, a_shared_folder_that_comes_later_is_watched);
	tcase_add_test(tcase, after_a_rename_storm_the_disk_is_right);
	tcase_add_test(tcase, an_overflow_is_followed_by_a_rescan);
	tcase_add_test(tcase, routes_are_one_functions_each);
	tcase_add_test(tcase, builds_are_few_at_once);
	tcase_add_test(tcase, a_newer_change_waits_for_the_build);
	tcase_add_test(tcase, a_build_that_nobody_wants_any_more_is_dropped);
	tcase_add_test(tcase, rebuilding_replaces_nothing);
	tcase_add_test(tcase,
	    a_directory_that_goes_keeps_serving_until_it_is_back);
	tcase_add_test(tcase, a_directory_that_is_deleted_keeps_serving);
	tcase_add_test(tcase, freeing_does_not_wait_for_jobs);
	tcase_add_test(tcase, ten_thousand_functions_are_quick_and_small);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
