/*
 * test_list.c - functions, workers, invocations, the sandbox: what is listed
 * is JSON, whatever is in it.
 *
 * Runs in: tests.
 */
#include "runtime/pool/pool.h"
#include "tests/unit/runtime/admin/admin_test.h"

static void
put_functions(void)
{
	folder_put("functions/a.lua", "return 1");
	folder_put("functions/a.json",
	    "{\"methods\":[\"GET\",\"PUT\"],\"route\":\"/x/:y\","
	    "\"env\":{\"KEY\":\"a \\\"b\\\"\"},\"triggers\":[{\"type\":"
	    "\"upload\",\"dir\":\"uploads/in\",\"pattern\":\"*.csv\"}]}");
	folder_put("functions/b.lua", "return 'broken'");
	start_catalog();
}

START_TEST(no_functions_are_an_empty_list)
{
	json_t *json = get("/v1/functions");

	ck_assert_uint_eq(json_array_size(json_object_get(json, "functions")),
	    0);
	json_decref(json);
}
END_TEST

START_TEST(functions_are_listed_in_order_with_what_is_wrong)
{
	json_t *json, *list, *a, *b;

	put_functions();
	script.stats = (struct call_function_stats){.idle = 1,
	    .busy = 2,
	    .starting = 3,
	    .queued = 4,
	    .invocations = 5,
	    .errors = 6,
	    .cold_starts = 7,
	    .image_bytes = 8};
	json = get("/v1/functions");
	list = json_object_get(json, "functions");
	ck_assert_uint_eq(json_array_size(list), 2);
	a = json_array_get(list, 0);
	ck_assert_str_eq(text_of(a, "name"), "a");
	ck_assert_str_eq(text_of(a, "state"), "serving");
	ck_assert_str_eq(text_of(a, "route"), "/x/:y");
	ck_assert_str_eq(text_of(a, "heap"), "fresh");
	ck_assert_uint_eq(strlen(text_of(a, "hash")), 64);
	ck_assert_int_eq(number_of(a, "version"), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(a, "methods")), 2);
	ck_assert_int_eq(number_of(json_object_get(a, "workers"), "starting"),
	    3);
	ck_assert_int_eq(number_of(a, "queued"), 4);
	ck_assert_int_eq(number_of(a, "invocations"), 5);
	ck_assert_int_eq(number_of(a, "errors"), 6);
	ck_assert_int_eq(number_of(a, "cold_starts"), 7);
	ck_assert_int_eq(number_of(a, "image_bytes"), 8);
	ck_assert(json_is_null(json_object_get(a, "error")));
	b = json_array_get(list, 1);
	ck_assert_str_eq(text_of(b, "state"), "broken");
	ck_assert_str_eq(text_of(b, "error"), "line 1: \"broken\"");
	ck_assert(json_is_null(json_object_get(b, "version")));
	ck_assert_int_gt(number_of(b, "changed_ms"), 0);
	json_decref(json);
}
END_TEST

START_TEST(one_function_is_shown_with_its_details)
{
	struct record record = {.kind = RECORD_KIND_IMAGE,
	    .cause = RECORD_CAUSE_FIRST,
	    .handler_us = 1500,
	    .function = "a"};
	json_t *a, *trigger;

	put_functions();
	metrics_record(world.metrics, &record);
	a = get("/v1/functions/a");
	ck_assert_str_eq(text_of(json_object_get(a, "env"), "KEY"), "a \"b\"");
	ck_assert_int_eq(number_of(json_object_get(a, "manifest"),
			     "timeout_ms"),
	    number_of(a, "timeout_ms"));
	ck_assert_uint_eq(json_array_size(json_object_get(a, "modules")), 1);
	trigger = json_array_get(json_object_get(a, "triggers"), 0);
	ck_assert_str_eq(text_of(trigger, "dir"), "uploads/in");
	ck_assert_str_eq(text_of(trigger, "pattern"), "*.csv");
	ck_assert(json_is_null(json_object_get(trigger, "output")));
	ck_assert_uint_eq(json_array_size(json_object_get(a, "starts")), 1);
	ck_assert_str_eq(text_of(json_array_get(json_object_get(a, "starts"),
				     0),
			     "kind"),
	    "image");
	json_decref(a);
	json_decref(get("/v1/functions/b")); /* without a version */
}
END_TEST

START_TEST(a_function_that_is_not_there_is_404)
{
	put_functions();
	refuses("GET", "/v1/functions/c", 404, "no_such_function", "name");
	refuses("GET", "/v1/functions/a/b", 404, "no_such_function", "name");
}
END_TEST

static const char *
text_at(const json_t *list, size_t i, const char *key)
{
	return text_of(json_array_get(list, i), key);
}

static void
states_are(const json_t *list, const char *const *states)
{
	size_t n = 0;

	for (; states[n] != NULL; n++)
		ck_assert_str_eq(text_at(list, n, "state"), states[n]);
	ck_assert_uint_eq(json_array_size(list), n);
}

START_TEST(workers_are_listed_with_their_state)
{
	struct fn_version version = {.name = "f", .number = 3};
	const struct worker workers[] = {
	    {.pid = 10, .ready = true},
	    {.pid = 11,
		.state = WIRE_RUNNING,
		.version = &version,
		.requests = 9},
	    {.pid = 12, .dying = true, .version = &version},
	    {.pid = 13, .state = WIRE_STARTING},
	    {.pid = 14, .state = WIRE_BUILDING, .version = &version},
	    {.pid = 15, .state = WIRE_IDLE, .version = &version},
	};
	static const char *const states[] = {"ready", "busy", "dying",
	    "starting", "building", "idle", NULL};
	json_t *json, *list;

	script.workers = workers;
	script.nworkers = 6;
	script.generation = 2;
	script.pool = (struct pool_stats){.forks = 20, .zygotes = 2};
	json = get("/v1/workers");
	list = json_object_get(json, "workers");
	states_are(list, states);
	ck_assert(
	    json_is_null(json_object_get(json_array_get(list, 0), "function")));
	ck_assert_str_eq(text_at(list, 1, "function"), "f");
	ck_assert_int_eq(number_of(json_array_get(list, 1), "requests"), 9);
	ck_assert_int_eq(number_of(json_object_get(json, "zygote"), "restarts"),
	    1);
	json_decref(json);
}
END_TEST

START_TEST(no_zygote_is_no_restart)
{
	json_t *json = get("/v1/workers");
	const json_t *zygote = json_object_get(json, "zygote");

	ck_assert(json_is_false(json_object_get(zygote, "alive")));
	ck_assert_int_eq(number_of(zygote, "restarts"), 0);
	json_decref(json);
}
END_TEST

static void
remember(const char *function, const char *id)
{
	struct record record = {.wall_ms = 1767225600000};

	(void)snprintf(record.function, sizeof(record.function), "%s",
	    function);
	(void)snprintf(record.request_id, sizeof(record.request_id), "%s", id);
	recent_add(world.recent, &record);
}

static size_t
count_records(const char *target, const char *first_id)
{
	json_t *json = get(target);
	json_t *records = json_object_get(json, "records");
	size_t n = json_array_size(records);

	if (first_id != NULL)
		ck_assert_str_eq(text_of(json_array_get(records, 0),
				     "request_id"),
		    first_id);
	json_decref(json);
	return n;
}

START_TEST(invocations_are_newest_first_filtered_and_cut)
{
	ck_assert_uint_eq(count_records("/v1/invocations", NULL), 0);
	remember("f", "1");
	remember("g", "2");
	remember("f", "3");
	ck_assert_uint_eq(count_records("/v1/invocations", "3"), 3);
	ck_assert_uint_eq(count_records("/v1/invocations?function=g", "2"), 1);
	ck_assert_uint_eq(count_records("/v1/invocations?lines=2", "3"), 2);
	ck_assert_uint_eq(count_records("/v1/invocations?lines=1&function=f",
			      "3"),
	    1);
	ck_assert_uint_eq(count_records("/v1/invocations?lines=99999", "3"), 3);
	ck_assert_uint_eq(count_records("/v1/invocations?function=h", NULL), 0);
	ck_assert_uint_eq(count_records("/v1/invocations?functio%6e=g", NULL),
	    3);
	ck_assert_uint_eq(count_records("/v1/invocations?function=%67", "2"),
	    1);
}
END_TEST

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

START_TEST(a_filter_that_is_not_understood_is_an_error)
{
	static const char path[] = "/v1/invocations";
	char target[256];

	(void)snprintf(target, sizeof(target), "%s?lines=ten", path);
	refuses("GET", target, 400, "bad_lines", "lines is a whole number");
	(void)snprintf(target, sizeof(target), "%s?lines=-1", path);
	refuses("GET", target, 400, "bad_lines", "lines is a whole number");
	(void)snprintf(target, sizeof(target), "%s?lines=", path);
	refuses("GET", target, 400, "bad_lines", "lines is a whole number");
	(void)snprintf(target, sizeof(target), "%s?function=" X64 "x", path);
	refuses("GET", target, 400, "bad_function", "at most 64 bytes");
	(void)snprintf(target, sizeof(target), "%s?function=a%%00b", path);
	refuses("GET", target, 400, "bad_function", "none zero");
	(void)snprintf(target, sizeof(target), "%s?function=" X64, path);
	ck_assert_uint_eq(count_records(target, NULL), 0);
}
END_TEST

static void
lose_the_network_layer(void)
{
	for (unsigned int i = 0; i < JAIL_LAYERS; i++)
		report.active[i] = true;
	report.active[JAIL_NET_NS] = false;
	(void)snprintf(report.why[JAIL_NET_NS], sizeof(report.why[0]),
	    "\"EPERM\"");
	allowed = 1u << JAIL_NET_NS;
}

START_TEST(the_sandbox_is_listed_layer_by_layer)
{
	json_t *json, *layers;

	lose_the_network_layer();
	json = get("/v1/sandbox");
	layers = json_object_get(json, "layers");
	ck_assert_uint_eq(json_array_size(layers), JAIL_LAYERS);
	ck_assert_str_eq(text_at(layers, 0, "state"), "active");
	ck_assert_str_eq(text_at(layers, JAIL_NET_NS, "state"), "allowed");
	ck_assert_str_eq(text_at(layers, JAIL_NET_NS, "why"), "\"EPERM\"");
	ck_assert(json_is_true(json_object_get(json, "degraded")));
	json_decref(json);
}
END_TEST

START_TEST(the_self_test_says_what_came_and_what_should)
{
	json_t *json, *cases;

	buf_puts(&self_test, "open\tSIGSYS\tSIGSYS\nclone\tSIGSYS\texit 0\n");
	json = get("/v1/sandbox");
	cases = json_object_get(json, "self_test");
	ck_assert_uint_eq(json_array_size(cases), 2);
	ck_assert(
	    json_is_true(json_object_get(json_array_get(cases, 0), "ok")));
	ck_assert(
	    json_is_false(json_object_get(json_array_get(cases, 1), "ok")));
	ck_assert_str_eq(text_at(cases, 1, "case"), "clone");
	ck_assert_str_eq(text_at(cases, 1, "got"), "exit 0");
	json_decref(json);
}
END_TEST

START_TEST(a_layer_that_nobody_allowed_is_missing)
{
	json_t *json = get("/v1/sandbox");

	ck_assert_str_eq(text_of(json_array_get(json_object_get(json, "layers"),
				     0),
			     "state"),
	    "missing");
	json_decref(json);
}
END_TEST

static void
add(TCase *tcase)
{
	tcase_add_test(tcase, no_functions_are_an_empty_list);
	tcase_add_test(tcase, functions_are_listed_in_order_with_what_is_wrong);
	tcase_add_test(tcase, one_function_is_shown_with_its_details);
	tcase_add_test(tcase, a_function_that_is_not_there_is_404);
	tcase_add_test(tcase, workers_are_listed_with_their_state);
	tcase_add_test(tcase, no_zygote_is_no_restart);
	tcase_add_test(tcase, invocations_are_newest_first_filtered_and_cut);
	tcase_add_test(tcase, a_filter_that_is_not_understood_is_an_error);
	tcase_add_test(tcase, the_sandbox_is_listed_layer_by_layer);
	tcase_add_test(tcase, the_self_test_says_what_came_and_what_should);
	tcase_add_test(tcase, a_layer_that_nobody_allowed_is_missing);
}

int
main(void)
{
	return admin_test_run("runtime/admin/list", add);
}
