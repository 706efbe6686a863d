/*
 * price.h - what a record costs by a price card.  Private to runtime/meter.
 *
 * Runs in: gateway, cli.
 * Owns:    nothing; a card is plain data.
 *
 * All money is in whole 10^-12 units of the card's currency.
 */
#pragma once

#include "runtime/stat/record.h"
#include "sandbox/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define PRICE_NAME_MAX	   64 /* with the NUL */
#define PRICE_CURRENCY_MAX 8
#define PRICE_DATES_MAX	   64	 /* entries of "cards" */
#define PRICE_FILE_MAX	   65536 /* bytes */

/*
 * Fields of an entry of "cards" that are whole numbers:
 * X(name, default, min, max); the default -1 means that it must be there.
 */
#define PRICE_NUMBERS(X)                               \
	X(per_request_pico, -1, 0, 1000000000000000)   \
	X(per_gb_second_pico, -1, 0, 1000000000000000) \
	X(minimum_ms, 1, 1, 60000)

struct price {
	int64_t from_ms; /* midnight UTC of valid_from */
#define X(name, def, min, max) uint64_t name;
	PRICE_NUMBERS(X)
#undef X
};

struct price_card {
	char name[PRICE_NAME_MAX];
	char currency[PRICE_CURRENCY_MAX];
	struct price prices[PRICE_DATES_MAX]; /* rising from_ms */
	size_t n;			      /* at least 1 */
};

/* path NULL or "": the card that is built in.  On error (which names file,
 * line and field) *card_out is as it was. */
int price_card_load(struct price_card *card_out, const char *path,
    struct err *err);
int price_card_parse(struct price_card *card_out, struct slice text,
    struct err *err);

/*
 * Is this on the bill?  Yes when the function's code ran for this request
 * (its handler, or its init while the request waited), and it was not the
 * platform that failed: gateway, pool or policy.  A worker that dies while it
 * runs the function's code is billed up to then (failed_by sandbox): mostly
 * the function killed it, and dying must not be the cheap way to compute.
 */
bool price_is_billed(const struct record *record);

/* Fill billed_ms and cost_pico, by the prices of the record's day. */
void price_record(const struct price_card *card, struct record *record);

/*
 * The line (from 1) of a field in a card's text, which must be valid JSON:
 * of cards[index].field, of cards[index] when field is NULL, or of the field
 * at the top when index is -1.  1 when it is not there.
 */
size_t price_line(struct slice text, int index, const char *field);
