/*
 * meter.c - pricing records, and bringing them from the journal to the
 * ledger.
 *
 * Runs in: gateway, cli.
 * Owns:    the journal, the batch that is under way to the store.
 *
 *	meter_add -> journal -> batch -> store -> slots released
 *	                ^----------------- failed: again after a while
 *
 * One batch is under way at a time.  Its records stay in the journal until the
 * store has them, so that whatever dies in between, they are found again; the
 * ledger ignores a number that it has.
 */
#include "runtime/meter/meter.h"

#include "runtime/loop/loop.h"
#include "runtime/meter/journal.h"
#include "runtime/meter/price.h"
#include "runtime/store/store.h"
#include "sandbox/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_US  50000	  /* records wait so long for company */
#define RETRY_US  1000000 /* after the store refused a batch */
#define BATCH_MAX 2000
#define HURRY	  (JOURNAL_SLOTS / 16) /* so many wait: do not wait longer */

#define BEHIND (JOURNAL_SLOTS / 8 * 7)

#define BAD_JOURNAL                                             \
	"the journal was damaged or of another version: it is " \
	"now " JOURNAL_BAD ", and its records are not in the ledger"

struct flush {
	struct flush *next;
	uint64_t until; /* done when so many were released */
	void (*done)(void *arg);
	void *arg;
};

/* Outlives the meter when that is freed with the store still at work. */
struct batch {
	struct meter *meter; /* NULL: gone */
	size_t n;
};

struct meter {
	struct store *store; /* NULL: prices only */
	struct price_card card;
	char title[PRICE_NAME_MAX + PRICE_CURRENCY_MAX + 4];
	struct journal *journal;
	struct loop_timer *timer;
	bool timing;
	struct batch *batch; /* NULL: none under way */
	struct record *scratch;
	uint64_t next_seq;
	uint64_t appended; /* to the journal; recovered ones count */
	uint64_t released;
	uint64_t records;
	uint64_t recovered;
	struct flush *flushes; /* oldest first */
	bool bad_journal;
	bool failing; /* the store refused the last batch */
	char failure[ERR_MSG_MAX];
};

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static void
name_card(struct meter *meter)
{
	(void)snprintf(meter->title, sizeof(meter->title), "%s (%s)",
	    meter->card.name, meter->card.currency);
}

static void
start_timer(struct meter *meter, uint64_t after_us)
{
	meter->timing = true;
	loop_timer_start(meter->timer, after_us);
}

/* Those whose records the ledger has; all: the others too. */
static void
finish_flushes(struct meter *meter, bool all)
{
	struct flush *list = meter->flushes;
	struct flush **end = &list;
	struct flush *flush;

	while (*end != NULL && (all || (*end)->until <= meter->released))
		end = &(*end)->next;
	meter->flushes = *end;
	*end = NULL;
	while ((flush = list) != NULL) {
		list = flush->next;
		flush->done(flush->arg);
		free(flush);
	}
}

static void drain(struct meter *meter);

static void
batch_failed(struct meter *meter, const struct err *err)
{
	meter->failing = true;
	(void)snprintf(meter->failure, sizeof(meter->failure),
	    "records wait in the journal: %.200s", err->msg);
	start_timer(meter, RETRY_US);
	finish_flushes(meter, true);
}

static void
batch_added(struct meter *meter, size_t n)
{
	journal_release(meter->journal, n);
	meter->released += n;
	meter->failing = false;
	if (journal_waiting(meter->journal) >= BATCH_MAX ||
	    meter->flushes != NULL)
		drain(meter);
	else if (journal_waiting(meter->journal) > 0)
		start_timer(meter, DRAIN_US);
	finish_flushes(meter, false);
}

static void
on_added(const struct err *err, void *arg)
{
	struct batch *batch = arg;
	struct meter *meter = batch->meter;
	size_t n = batch->n;

	free(batch);
	if (meter == NULL)
		return;
	meter->batch = NULL;
	if (err != NULL)
		batch_failed(meter, err);
	else
		batch_added(meter, n);
}

/* Send the oldest to the store, unless a batch is under way already. */
static void
drain(struct meter *meter)
{
	size_t n = journal_waiting(meter->journal);

	if (meter->batch != NULL || n == 0)
		return;
	if (n > BATCH_MAX)
		n = BATCH_MAX;
	for (size_t i = 0; i < n; i++)
		meter->scratch[i] = *journal_peek(meter->journal, i);
	meter->batch = must(malloc(sizeof(*meter->batch)));
	*meter->batch = (struct batch){.meter = meter, .n = n};
	meter->timing = false;
	loop_timer_stop(meter->timer);
	store_add_records(meter->store, meter->scratch, n, on_added,
	    meter->batch);
}

static void
on_time(void *arg)
{
	struct meter *meter = arg;

	meter->timing = false;
	drain(meter);
}

/* The number after the highest that the ledger or the journal has. */
static int
recover(struct meter *meter, int statefd, struct err *err)
{
	struct journal_found found;
	uint64_t last;

	if (store_last_seq(meter->store, &last, err) < 0)
		return err_wrap(err, "ledger");
	meter->journal = journal_open(statefd, JOURNAL_SLOTS, &found, err);
	if (meter->journal == NULL)
		return -1;
	if (found.last_seq > last)
		last = found.last_seq;
	meter->next_seq = last + 1;
	meter->recovered = found.recovered;
	meter->appended = found.recovered;
	meter->bad_journal = found.bad;
	return 0;
}

struct meter *
meter_new(struct loop *loop, struct store *store,
    const struct meter_config *config, struct err *err)
{
	struct meter *meter = must(calloc(1, sizeof(*meter)));

	meter->store = store;
	meter->next_seq = 1;
	if (price_card_load(&meter->card, config->price_card, err) < 0) {
		meter_free(meter);
		return NULL;
	}
	name_card(meter);
	if (store == NULL)
		return meter;
	meter->timer = loop_timer_new(loop, on_time, meter);
	meter->scratch = must(calloc(BATCH_MAX, sizeof(*meter->scratch)));
	if (recover(meter, config->statefd, err) < 0) {
		meter_free(meter);
		return NULL;
	}
	drain(meter);
	return meter;
}

void
meter_price(const struct meter *meter, struct record *record)
{
	price_record(&meter->card, record);
}

void
meter_add(struct meter *meter, struct record *record)
{
	meter_price(meter, record);
	record->seq = meter->next_seq++;
	meter->records++;
	if (meter->store == NULL)
		return;
	meter->appended += journal_append(meter->journal, record);
	if (meter->batch != NULL)
		return; /* its completion takes this one too */
	if (!meter->failing && journal_waiting(meter->journal) > HURRY)
		drain(meter);
	else if (!meter->timing)
		start_timer(meter, DRAIN_US);
}

const char *
meter_card_name(const struct meter *meter)
{
	return meter->title;
}

const char *
meter_card_currency(const struct meter *meter)
{
	return meter->card.currency;
}

bool
meter_behind(const struct meter *meter)
{
	return meter->store != NULL &&
	    journal_waiting(meter->journal) >= BEHIND;
}

const char *
meter_note(const struct meter *meter)
{
	if (meter->failing)
		return meter->failure;
	return meter->bad_journal ? BAD_JOURNAL : NULL;
}

int
meter_reload(struct meter *meter, const char *price_card, struct err *err)
{
	if (price_card_load(&meter->card, price_card, err) < 0)
		return -1;
	name_card(meter);
	return 0;
}

void
meter_stats(const struct meter *meter, struct meter_stats *stats_out)
{
	*stats_out = (struct meter_stats){.records = meter->records,
	    .recovered = meter->recovered};
	if (meter->store == NULL)
		return;
	stats_out->maybe_lost = journal_maybe_lost(meter->journal);
	stats_out->waiting = journal_waiting(meter->journal);
	stats_out->dropped = journal_dropped(meter->journal);
}

void
meter_flush(struct meter *meter, void (*done)(void *arg), void *arg)
{
	struct flush *flush = must(calloc(1, sizeof(*flush)));
	struct flush **last = &meter->flushes;

	flush->until = meter->appended;
	flush->done = done;
	flush->arg = arg;
	while (*last != NULL)
		last = &(*last)->next;
	*last = flush;
	if (meter->store == NULL || meter->released >= flush->until)
		finish_flushes(meter, false);
	else
		drain(meter);
}

void
meter_free(struct meter *meter)
{
	if (meter == NULL)
		return;
	if (meter->batch != NULL)
		meter->batch->meter = NULL;
	finish_flushes(meter, true);
	loop_timer_free(meter->timer);
	journal_close(meter->journal);
	free(meter->scratch);
	free(meter);
}
