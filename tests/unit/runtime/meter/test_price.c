/*
 * test_price.c - what is billed, what it costs, and broken price cards.
 *
 * Runs in: tests.
 */
#include "runtime/meter/price.h"
#include "sandbox/base/err.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <unistd.h>

#define JAN_1_2026 ((int64_t)1767225600000)

static struct price_card card;
static struct err err;

static void
setup(void)
{
	ck_assert_int_eq(price_card_load(&card, NULL, &err), 0);
}

static const struct {
	const char *what;
	uint8_t kind, outcome, failed_by;
	uint64_t handler_us, init_us;
	uint64_t billed_ms;
} bills[] = {
#define CASE(what, kind, outcome, failed_by, handler, init, ms) \
	{what, RECORD_KIND_##kind, RECORD_OUTCOME_##outcome,    \
	    RECORD_FAILED_##failed_by, handler, init, ms},
    CASE("rounded up", WARM, OK, NONE, 1001, 0, 2) CASE("exact", WARM, OK, NONE,
	1000, 0, 1) CASE("one microsecond", WARM, OK, NONE, 1, 0,
	1) CASE("too short to measure", WARM, OK, NONE, 0, 0,
	1) CASE("with init: one rounding", BUILD, OK, NONE, 600, 600,
	2) CASE("long", IMAGE, OK, NONE, 3000000, 0, 3000) CASE("handler error",
	WARM, ERROR, HANDLER, 500, 0, 1) CASE("timeout", WARM, TIMEOUT, LIMIT,
	3000100, 0, 3001) CASE("out of memory", WARM, MEMORY, LIMIT, 2000, 0,
	2) CASE("died by its own hand", WARM, CRASHED, SANDBOX, 2500, 0,
	3) CASE("died, blamed on the handler", WARM, CRASHED, HANDLER, 10, 0,
	1) CASE("died before its code ran", IMAGE, CRASHED, SANDBOX, 0, 0,
	0) CASE("init failed", BUILD, ERROR, HANDLER, 0, 7100,
	8) CASE("init failed, no worker was had", NONE, ERROR, HANDLER, 0, 7100,
	8) CASE("an error, too short to measure", WARM, ERROR, HANDLER, 0, 0,
	1) CASE("init hung", BUILD, TIMEOUT, LIMIT, 0, 10000000,
	10000) CASE("client left meanwhile", WARM, CANCELLED, CLIENT, 1500, 0,
	2) CASE("client left the queue", NONE, CANCELLED, CLIENT, 0, 0,
	0) CASE("client left before the start", IMAGE, CANCELLED, CLIENT, 0, 0,
	0) CASE("queue full", NONE, REJECTED, POOL, 0, 0,
	0) CASE("rejected, whatever it says", WARM, REJECTED, NONE, 99, 0, 0)
	CASE("expired", NONE, EXPIRED, LIMIT, 0, 0, 0)
	    CASE("expired, whatever it says", WARM, EXPIRED, LIMIT, 99, 0, 0)
		CASE("zygote died", WARM, CRASHED, POOL, 5000, 0, 0)
		    CASE("gateway's fault", WARM, ERROR, GATEWAY, 5000, 0, 0)
			CASE("policy", WARM, ERROR, POLICY, 5000, 0, 0)
			    CASE("never started", NONE, OK, NONE, 5000, 0, 0)
#undef CASE
};

START_TEST(only_what_the_function_ran_is_billed)
{
	struct record record = {.kind = bills[_i].kind,
	    .outcome = bills[_i].outcome,
	    .failed_by = bills[_i].failed_by,
	    .handler_us = bills[_i].handler_us,
	    .init_us = bills[_i].init_us,
	    .queue_us = 1000000,
	    .memory_mb = 64,
	    .billed_ms = 77,
	    .cost_pico = 77};

	price_record(&card, &record);
	ck_assert_msg(record.billed_ms == bills[_i].billed_ms, "%s: %llu ms",
	    bills[_i].what, (unsigned long long)record.billed_ms);
	ck_assert_int_eq(record.cost_pico > 0, bills[_i].billed_ms > 0);
	ck_assert_int_eq(price_is_billed(&record), bills[_i].billed_ms > 0);
}
END_TEST

static uint64_t
cost(uint64_t handler_us, uint32_t memory_mb, int64_t wall_ms)
{
	struct record record = {.kind = RECORD_KIND_WARM,
	    .handler_us = handler_us,
	    .memory_mb = memory_mb,
	    .wall_ms = wall_ms};

	price_record(&card, &record);
	return record.cost_pico;
}

START_TEST(a_gb_second_costs_what_the_card_says)
{
	ck_assert_uint_eq(cost(1000000, 1024, JAN_1_2026), 200000 + 16666700);
	/* 64 MB, 1 ms: 16666700 * 64 / 1024000 = 1041.66... */
	ck_assert_uint_eq(cost(1, 64, JAN_1_2026), 200000 + 1042);
	/* A million of them cost 0.20 and a bit. */
	ck_assert_uint_eq(cost(1, 64, JAN_1_2026) * 1000000, 201042000000);
}
END_TEST

static void
parse(const char *text)
{
	ck_assert_msg(price_card_parse(&card, slice_of(text), &err) == 0, "%s",
	    err.msg);
}

#define CARD(cards) \
	"{\"name\":\"t\",\"currency\":\"EUR\",\"cards\":[" cards "]}"
#define ENTRY(date, request, gb_s)                                   \
	"{\"valid_from\":\"" date "\",\"per_request_pico\":" request \
	",\"per_gb_second_pico\":" gb_s "}"

START_TEST(halves_are_rounded_up)
{
	parse(CARD(ENTRY("2026-01-01", "0", "512000")));
	ck_assert_uint_eq(cost(1, 1, JAN_1_2026), 1); /* 0.5 */
	parse(CARD(ENTRY("2026-01-01", "0", "511999")));
	ck_assert_uint_eq(cost(1, 1, JAN_1_2026), 0);
	ck_assert_uint_eq(cost(1, 3, JAN_1_2026), 1); /* 1.4999 */
}
END_TEST

START_TEST(the_price_of_the_day_applies)
{
	parse(CARD(ENTRY("2026-01-01", "1", "0") "," ENTRY("2026-02-01", "2",
	    "0") "," ENTRY("2026-03-01", "3", "0")));
	ck_assert_uint_eq(cost(1, 64, 0), 1); /* before all: the first */
	ck_assert_uint_eq(cost(1, 64, JAN_1_2026), 1);
	ck_assert_uint_eq(cost(1, 64, JAN_1_2026 + 31 * 86400000ll - 1), 1);
	ck_assert_uint_eq(cost(1, 64, JAN_1_2026 + 31 * 86400000ll), 2);
	ck_assert_uint_eq(cost(1, 64, INT64_MAX), 3);
}
END_TEST

START_TEST(absurd_records_cost_much_and_do_not_wrap)
{
	parse(
	    CARD(ENTRY("2026-01-01", "1000000000000000", "1000000000000000")));
	ck_assert_uint_eq(cost(UINT64_MAX, UINT32_MAX, JAN_1_2026), INT64_MAX);
	ck_assert_uint_eq(cost(UINT64_MAX - 1, 1, JAN_1_2026), INT64_MAX);
}
END_TEST

START_TEST(the_minimum_is_the_cards)
{
	struct record record = {.kind = RECORD_KIND_WARM, .handler_us = 1};

	parse(CARD("{\"valid_from\":\"2026-01-01\",\"per_request_pico\":1,"
		   "\"per_gb_second_pico\":1,\"minimum_ms\":100}"));
	price_record(&card, &record);
	ck_assert_uint_eq(record.billed_ms, 100);
	record.handler_us = 100001;
	price_record(&card, &record);
	ck_assert_uint_eq(record.billed_ms, 101);
}
END_TEST

START_TEST(the_shipped_card_is_named)
{
	ck_assert_str_eq(card.name, "default-2026");
	ck_assert_str_eq(card.currency, "EUR");
	ck_assert_uint_eq(card.n, 1);
	ck_assert_int_eq(card.prices[0].from_ms, JAN_1_2026);
}
END_TEST

#define HEAD "{\n\"name\":\"t\",\n\"currency\":\"EUR\",\n\"cards\":[\n"
#define GOOD ENTRY("2026-01-01", "1", "1")

static const struct {
	const char *text;
	const char *says;
} broken[] = {
    {"", "line 1: "},
    {"[]", "line 1: must be an object"},
    {"{\n\"name\": \"x\",\n}", "line 3: "},
    {"{\n\"name\": \"\"}", "line 2: name: must be a text"},
    {"{\n\n\"name\": 7}", "line 3: name: must be a text"},
    {"{\"name\": \"a\\u001bb\"}", "line 1: name: must be a text"},
    {"{\"name\": \"t\",\n\"currency\": \"EUROPEAN\"}", "line 2: currency: "},
    {"{\"name\":\"t\",\"currency\":\"EUR\"}", "cards: must be a list of 1"},
    {"{\"name\":\"t\",\"currency\":\"EUR\",\n\"cards\":[]}",
	"line 2: cards: must be a list of 1"},
    {"{\"name\":\"t\",\n\"colour\":1}", "line 2: colour: unknown field"},
    {HEAD "7]}", "line 5: cards[0]: must be an object"},
    {HEAD GOOD ",\n7]}", "line 6: cards[1]: must be an object"},
    {HEAD "{}]}", "line 5: cards[0].valid_from: must be a date"},
    {HEAD "{\"valid_from\":\n20260101}]}",
	"line 5: cards[0].valid_from: must be a date"},
    {HEAD "{\"valid_from\":\"2026-02-30\"}]}", "valid_from: must be a date"},
    {HEAD "{\"valid_from\":\"2026-1-1\"}]}", "valid_from: must be a date"},
    {HEAD "{\"valid_from\":\"2026-01-01x\"}]}", "valid_from: must be a date"},
    {HEAD "{\"valid_from\":\"2026-01-01\"}]}",
	"cards[0].per_request_pico: is missing"},
    {HEAD GOOD ",\n" GOOD "]}",
	"line 6: cards[1].valid_from: must be later than"},
    {HEAD "{\"valid_from\":\"2026-01-01\",\n\"per_request_pico\":1.5}]}",
	"line 6: cards[0].per_request_pico: must be a whole number"},
    {HEAD "{\"valid_from\":\"2026-01-01\",\n\"per_request_pico\":-1}]}",
	"line 6: cards[0].per_request_pico: must be a whole number"},
    {HEAD ENTRY("2026-01-01", "1", "1000000000000001") "]}",
	"cards[0].per_gb_second_pico: must be a whole number from 0 to 10000"},
    {HEAD "{\"x\":[{}, \"}\\\"\"],\n\"valid_from\":\"2026-01-01\"}]}",
	"line 5: cards[0].x: unknown field"},
    {HEAD "{\"valid_from\":\"2026-01-01\",\"per_request_pico\":1,"
	  "\"per_gb_second_pico\":1,\n\n\"minimum_ms\":0}]}",
	"line 7: cards[0].minimum_ms: must be a whole number from 1"},
    {"{\"name\":\"a\",\"name\":\"b\"}", "line 1: duplicate"},
};

START_TEST(a_broken_card_is_refused_with_line_and_field)
{
	struct price_card before = card;

	ck_assert_int_lt(price_card_parse(&card, slice_of(broken[_i].text),
			     &err),
	    0);
	ck_assert_msg(strstr(err.msg, broken[_i].says) != NULL,
	    "%s\nsays \"%s\", not \"%s\"", broken[_i].text, err.msg,
	    broken[_i].says);
	ck_assert_int_eq(err.code, ERR_BAD_INPUT);
	ck_assert_mem_eq(&card, &before, sizeof(card));
}
END_TEST

START_TEST(a_card_is_read_from_a_file)
{
	char path[] = "/tmp/perilune-card-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_eq(dprintf(fd, "%s",
			     CARD(ENTRY("2026-01-01", "5", "6"))) > 0,
	    1);
	ck_assert_int_eq(price_card_load(&card, path, &err), 0);
	ck_assert_uint_eq(card.prices[0].per_request_pico, 5);
	ck_assert_int_eq(ftruncate(fd, PRICE_FILE_MAX + 1), 0);
	ck_assert_int_lt(price_card_load(&card, path, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, path));
	ck_assert_ptr_nonnull(strstr(err.msg, "larger than"));
	(void)close(fd);
	(void)unlink(path);
	ck_assert_int_lt(price_card_load(&card, path, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "No such file"));
	ck_assert_int_lt(price_card_load(&card, "/tmp", &err), 0);
	ck_assert_uint_eq(card.prices[0].per_request_pico, 5);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("runtime/meter/price");
	TCase *tcase = tcase_create("price");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_loop_test(tcase, only_what_the_function_ran_is_billed, 0,
	    (int)(sizeof(bills) / sizeof(bills[0])));
	tcase_add_test(tcase, a_gb_second_costs_what_the_card_says);
	tcase_add_test(tcase, halves_are_rounded_up);
	tcase_add_test(tcase, the_price_of_the_day_applies);
	tcase_add_test(tcase, absurd_records_cost_much_and_do_not_wrap);
	tcase_add_test(tcase, the_minimum_is_the_cards);
	tcase_add_test(tcase, the_shipped_card_is_named);
	tcase_add_loop_test(tcase, a_broken_card_is_refused_with_line_and_field,
	    0, (int)(sizeof(broken) / sizeof(broken[0])));
	tcase_add_test(tcase, a_card_is_read_from_a_file);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
