/*
 * test_admin.c - the table of requests, and the small answers.
 *
 * Runs in: tests.
 */
#include "tests/unit/runtime/admin/admin_test.h"

START_TEST(info_says_who_and_where_the_server_is)
{
	json_t *info = get("/v1/info");

	ck_assert_str_eq(text_of(info, "version"), PERILUNE_VERSION);
	ck_assert_int_eq(number_of(info, "pid"), getpid());
	ck_assert_str_eq(text_of(info, "state_dir"), "/srv/state");
	ck_assert_str_eq(text_of(info, "functions_dir"), "/srv/\"functions\"");
	ck_assert_str_eq(text_of(info, "uploads_dir"), "/srv/uploads");
	ck_assert_uint_eq(json_array_size(json_object_get(info, "listen")), 1);
	ck_assert_int_eq(number_of(info, "started_ms"), 1767225600000);
	ck_assert(json_is_false(json_object_get(info, "ready")));
	ck_assert(json_is_false(json_object_get(info, "dev")));
	ck_assert_str_eq(text_of(info, "price_card"),
	    meter_card_name(world.meter));
	ck_assert_str_eq(text_of(info, "currency"),
	    meter_card_currency(world.meter));
	json_decref(info);
	is_ready = true;
	info = get("/v1/info?what=ever");
	ck_assert(json_is_true(json_object_get(info, "ready")));
	json_decref(info);
}
END_TEST

START_TEST(a_path_that_is_not_there_is_404_and_says_where_to_look)
{
	static const char *const paths[] = {"/", "/v1", "/v1/", "/v1/infos",
	    "/v1/info/", "/v1/info/x", "/v2/info", "/v1/functionsx",
	    "/v1/functions/", "/v1/invoke/", "/metrics/x", "/hello"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		refuses("GET", paths[i], 404, "no_such_path", "API.md");
}
END_TEST

START_TEST(a_method_that_does_not_fit_is_405_and_says_which_does)
{
	static const char *const paths[] = {"/v1/info", "/v1/functions",
	    "/v1/functions/x", "/v1/workers", "/v1/invocations", "/v1/sandbox",
	    "/v1/usage", "/v1/uploads", "/v1/logs", "/metrics", "/healthz",
	    "/readyz"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		refuses("POST", paths[i], 405, "method_not_allowed", "GET");
		ck_assert_ptr_nonnull(strstr(answer.p, "\r\nAllow: GET\r\n"));
	}
	refuses("DELETE", "/v1/functions/x", 405, "method_not_allowed", "GET");
	refuses("GET", "/v1/invoke/x", 405, "method_not_allowed", "POST");
	ck_assert_ptr_nonnull(strstr(answer.p, "\r\nAllow: POST\r\n"));
}
END_TEST

START_TEST(what_is_not_http_is_refused_and_others_are_served_on)
{
	struct client c = client_open();

	ck_assert_int_eq(send(c.fd, "GET /v1/info\r\n\r\n", 16, MSG_NOSIGNAL),
	    16);
	WAIT(client_ended(&c));
	ck_assert(client_has(&c, "HTTP/1.1 400 "));
	client_close(&c);
	json_decref(get("/v1/info"));
}
END_TEST

START_TEST(healthy_is_not_yet_ready)
{
	ck_assert_int_eq(ask("GET", "/healthz", SLICE("")), 200);
	ck_assert_str_eq(answer_body(), "ok\n");
	ck_assert_int_eq(ask("GET", "/readyz", SLICE("")), 503);
	ck_assert_str_eq(answer_body(), "not ready\n");
	is_ready = true;
	ck_assert_int_eq(ask("GET", "/readyz", SLICE("")), 200);
	ck_assert_str_eq(answer_body(), "ok\n");
}
END_TEST

START_TEST(metrics_are_brought_up_to_date_and_shown)
{
	const char *result = "ok";

	series_add(metrics_series(world.metrics, METRIC_DEPLOYS, &result), 7);
	ck_assert_int_eq(ask("GET", "/metrics", SLICE("")), 200);
	ck_assert_uint_eq(metrics_asked, 1);
	ck_assert_ptr_nonnull(
	    strstr(answer.p, "content-type: text/plain; version=0.0.4"));
	ck_assert_ptr_nonnull(strstr(answer_body(), "{result=\"ok\"} 7\n"));
}
END_TEST

/* A port for metrics is for metrics only. */
START_TEST(the_metrics_port_has_nothing_else)
{
	struct err err = {0};
	int fd;

	(void)close(statefd);
	folder_mkdir("other");
	statefd = openat(folder_fd, "other", O_RDONLY | O_DIRECTORY);
	fd = admin_socket_open(statefd, geteuid(), getegid(), &err);
	ck_assert_msg(fd >= 0, "%s", err.msg);
	admin_listen_metrics(admin, fd);
	ck_assert_int_eq(ask("GET", "/metrics", SLICE("")), 200);
	refuses("GET", "/v1/info", 404, "no_such_path", "only /metrics");
	refuses("POST", "/v1/invoke/x", 404, "no_such_path", "only /metrics");
	admin_free(admin); /* it listens here no more */
	admin = NULL;
	(void)close(fd);
}
END_TEST

static void
add(TCase *tcase)
{
	tcase_add_test(tcase, info_says_who_and_where_the_server_is);
	tcase_add_test(tcase,
	    a_path_that_is_not_there_is_404_and_says_where_to_look);
	tcase_add_test(tcase,
	    a_method_that_does_not_fit_is_405_and_says_which_does);
	tcase_add_test(tcase,
	    what_is_not_http_is_refused_and_others_are_served_on);
	tcase_add_test(tcase, healthy_is_not_yet_ready);
	tcase_add_test(tcase, metrics_are_brought_up_to_date_and_shown);
	tcase_add_test(tcase, the_metrics_port_has_nothing_else);
}

int
main(void)
{
	return admin_test_run("runtime/admin/admin", add);
}
