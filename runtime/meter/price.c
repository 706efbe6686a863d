/*
 * price.c - reading a price card, and the arithmetic of the bill.
 *
 * Runs in: gateway, cli.
 *
 * The cost of billed_ms at memory_mb is
 *
 *	per_request + memory_mb * billed_ms * per_gb_second / (1024 * 1000)
 *
 * in 128 bits, rounded half up once, at the end.  Limits below keep the
 * product under 2^113.
 */
#include "runtime/meter/price.h"

#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BILLED_MS_MAX ((uint64_t)1 << 40) /* 34 years */
#define MEMORY_MB_MAX ((uint64_t)1 << 22) /* 4 TiB */

/* --- the bill ----------------------------------------------------------- */

bool
price_is_billed(const struct record *record)
{
	/* Where the init failed, no worker was had, but the init ran. */
	if (record->kind == RECORD_KIND_NONE && record->init_us == 0)
		return false;
	if (record->outcome == RECORD_OUTCOME_REJECTED ||
	    record->outcome == RECORD_OUTCOME_EXPIRED)
		return false;
	if (record->failed_by == RECORD_FAILED_GATEWAY ||
	    record->failed_by == RECORD_FAILED_POOL ||
	    record->failed_by == RECORD_FAILED_POLICY)
		return false;
	/* However short: what returned or raised an error has run. */
	return record->outcome == RECORD_OUTCOME_OK ||
	    record->outcome == RECORD_OUTCOME_ERROR || record->handler_us > 0 ||
	    record->init_us > 0;
}

static uint64_t
billed_ms(const struct price *price, const struct record *record)
{
	uint64_t us;
	uint64_t ms;

	if (__builtin_add_overflow(record->handler_us, record->init_us, &us))
		return BILLED_MS_MAX;
	ms = us / 1000 + (us % 1000 > 0);
	if (ms < price->minimum_ms)
		ms = price->minimum_ms;
	return ms < BILLED_MS_MAX ? ms : BILLED_MS_MAX;
}

static uint64_t
cost_pico(const struct price *price, uint64_t ms, uint64_t memory_mb)
{
	const unsigned int per = 1024 * 1000; /* MB ms in a GB second */
	unsigned __int128 cost;

	if (memory_mb > MEMORY_MB_MAX)
		memory_mb = MEMORY_MB_MAX;
	cost = (unsigned __int128)memory_mb * ms * price->per_gb_second_pico;
	cost = (cost + per / 2) / per + price->per_request_pico;
	return cost > INT64_MAX ? INT64_MAX : (uint64_t)cost;
}

/* The last that began before; the first one for what is older still. */
static const struct price *
price_at(const struct price_card *card, int64_t wall_ms)
{
	size_t i = card->n - 1;

	while (i > 0 && card->prices[i].from_ms > wall_ms)
		i--;
	return &card->prices[i];
}

void
price_record(const struct price_card *card, struct record *record)
{
	const struct price *price = price_at(card, record->wall_ms);

	record->billed_ms = 0;
	record->cost_pico = 0;
	if (!price_is_billed(record))
		return;
	record->billed_ms = billed_ms(price, record);
	record->cost_pico =
	    cost_pico(price, record->billed_ms, record->memory_mb);
}

/* --- reading a card ----------------------------------------------------- */

/* What is being read, for errors. */
struct reader {
	struct slice text;
	struct price_card card;
	struct err *err;
};

static int
wrong(struct reader *reader, int index, const char *field, const char *what)
{
	size_t line = price_line(reader->text, index, field);

	if (index < 0)
		return err_set(reader->err, ERR_BAD_INPUT, "line %zu: %s: %s",
		    line, field, what);
	return err_set(reader->err, ERR_BAD_INPUT,
	    "line %zu: cards[%d]%s%s: %s", line, index,
	    field == NULL ? "" : ".", field == NULL ? "" : field, what);
}

static int
check_known(struct reader *reader, json_t *object, int index,
    const char *const *known, const char *what)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		int i = 0;

		while (known[i] != NULL && strcmp(known[i], key) != 0)
			i++;
		if (known[i] == NULL) {
			char field[41];

			(void)slice_copy(field, sizeof(field), slice_of(key));
			return wrong(reader, index, field, what);
		}
	}
	return 0;
}

/* A short text of printable ASCII. */
static int
read_text(struct reader *reader, json_t *object, const char *field, char *dst,
    size_t dst_bytes)
{
	const char *text = json_string_value(json_object_get(object, field));
	char what[64];

	(void)snprintf(what, sizeof(what),
	    "must be a text of 1 to %zu characters (ASCII)", dst_bytes - 1);
	if (text == NULL || *text == '\0' ||
	    !slice_copy(dst, dst_bytes, slice_of(text)))
		return wrong(reader, -1, field, what);
	for (const char *p = text; *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7e)
			return wrong(reader, -1, field, what);
	return 0;
}

/* "2026-01-01": that midnight in UTC. */
static bool
parse_date(const char *text, int64_t *ms_out)
{
	struct tm tm = {0};
	time_t seconds;
	int mday;
	const char *end;

	if (text == NULL || strlen(text) != 10)
		return false;
	end = strptime(text, "%Y-%m-%d", &tm);
	if (end == NULL || *end != '\0')
		return false;
	mday = tm.tm_mday;
	seconds = timegm(&tm);
	if (tm.tm_mday != mday)
		return false; /* 30th of February: timegm made it March */
	*ms_out = (int64_t)seconds * 1000;
	return true;
}

static int
read_number(struct reader *reader, json_t *object, int index, const char *field,
    int64_t def, int64_t min, int64_t max, uint64_t *number_out)
{
	json_t *value = json_object_get(object, field);
	int64_t number = value == NULL ? def : json_integer_value(value);
	char what[80];

	(void)snprintf(what, sizeof(what),
	    "must be a whole number from %lld to %lld", (long long)min,
	    (long long)max);
	if (value == NULL && def < 0)
		return wrong(reader, index, field, "is missing");
	if ((value != NULL && !json_is_integer(value)) || number < min ||
	    number > max)
		return wrong(reader, index, field, what);
	*number_out = (uint64_t)number;
	return 0;
}

static int
read_price(struct reader *reader, json_t *object, int index)
{
	static const char *const known[] = {"valid_from",
#define X(name, def, min, max) #name,
	    PRICE_NUMBERS(X)
#undef X
		NULL};
	struct price *price = &reader->card.prices[index];

	if (!json_is_object(object))
		return wrong(reader, index, NULL, "must be an object");
	if (check_known(reader, object, index, known,
		"unknown field (valid_from, per_request_pico, "
		"per_gb_second_pico, minimum_ms)") < 0)
		return -1;
	if (!parse_date(json_string_value(
			    json_object_get(object, "valid_from")),
		&price->from_ms))
		return wrong(reader, index, "valid_from",
		    "must be a date like \"2026-01-01\"");
	if (index > 0 && price[-1].from_ms >= price->from_ms)
		return wrong(reader, index, "valid_from",
		    "must be later than that of the entry before");
#define X(name, def, min, max)                                       \
	if (read_number(reader, object, index, #name, def, min, max, \
		&price->name) < 0)                                   \
		return -1;
	PRICE_NUMBERS(X)
#undef X
	return 0;
}

static int
read_card(struct reader *reader, json_t *json)
{
	static const char *const known[] = {"name", "currency", "cards", NULL};
	json_t *cards = json_object_get(json, "cards");
	size_t n = json_array_size(cards);

	if (!json_is_object(json))
		return err_set(reader->err, ERR_BAD_INPUT,
		    "line 1: must be an object");
	if (check_known(reader, json, -1, known,
		"unknown field (name, currency, cards)") < 0 ||
	    read_text(reader, json, "name", reader->card.name, PRICE_NAME_MAX) <
		0 ||
	    read_text(reader, json, "currency", reader->card.currency,
		PRICE_CURRENCY_MAX) < 0)
		return -1;
	if (n < 1 || n > PRICE_DATES_MAX)
		return wrong(reader, -1, "cards",
		    "must be a list of 1 to 64 entries");
	for (size_t i = 0; i < n; i++)
		if (read_price(reader, json_array_get(cards, i), (int)i) < 0)
			return -1;
	reader->card.n = n;
	return 0;
}

int
price_card_parse(struct price_card *card_out, struct slice text,
    struct err *err)
{
	struct reader reader = {.text = text, .err = err};
	json_error_t wrong_json;
	json_t *json = json_loadb(text.n == 0 ? "" : text.p, text.n,
	    JSON_REJECT_DUPLICATES, &wrong_json);
	int result;

	if (json == NULL)
		return err_set(err, ERR_BAD_INPUT, "line %d: %s",
		    wrong_json.line, wrong_json.text);
	result = read_card(&reader, json);
	json_decref(json);
	if (result == 0)
		*card_out = reader.card;
	return result;
}

/* The whole file; a directory, a FIFO or a huge one is refused. */
static int
read_file(const char *path, struct buf *out, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return err_sys(err, "cannot open it");
	do {
		n = read(fd, buf_room(out, PRICE_FILE_MAX), PRICE_FILE_MAX);
		if (n > 0)
			out->n += (size_t)n;
	} while (
	    (n > 0 && out->n <= PRICE_FILE_MAX) || (n < 0 && errno == EINTR));
	if (n < 0)
		return err_sys(err, "cannot read it");
	if (out->n > PRICE_FILE_MAX)
		return err_set(err, ERR_BAD_INPUT, "is larger than %d bytes",
		    PRICE_FILE_MAX);
	return 0;
}

int
price_card_load(struct price_card *card_out, const char *path, struct err *err)
{
	struct buf text = {0};
	int result;

	if (path == NULL || *path == '\0')
		return price_card_parse(card_out,
		    slice_from(price_default_card, price_default_card_bytes),
		    err);
	result = read_file(path, &text, err);
	if (result == 0)
		result = price_card_parse(card_out, buf_slice(&text), err);
	buf_fini(&text);
	if (result < 0)
		return err_wrap(err, "price card %s", path);
	return 0;
}
