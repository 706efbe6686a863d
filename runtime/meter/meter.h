/*
 * meter.h - what an invocation costs, and where its record goes.
 *
 * Runs in: gateway.
 * Owns:    the journal, the price cards, the totals since start.
 *
 * A finished record is priced, gets its number, and is written to the journal:
 * slots in a file mapped into memory (state/journal), so that it survives the
 * death of the gateway without a system call per request.  Within 50 ms of a
 * record the journal is drained into the ledger (store.h).  At
 * start what the last gateway left in it is added to the ledger, and what it
 * may have lost (a record begun and not finished, the ring full) is counted.
 */
#pragma once

#include "runtime/stat/record.h"
#include "sandbox/base/bytes.h"

struct err;
struct loop;
struct meter;
struct store;

struct meter_config {
	const char *price_card; /* path; NULL or "": the built-in one */
	int statefd;		/* the state directory, borrowed */
};

/*
 * Recovers the journal into the store (asynchronously, before new records).
 * store NULL: nothing is kept and there is no journal (`perilune run`); then
 * loop may be NULL too.
 */
struct meter *meter_new(struct loop *loop, struct store *store,
    const struct meter_config *config, struct err *err);

/*
 * Bill and keep this record.  Fills seq, billed_ms and cost_pico.  Billed:
 * handler time plus init when the request waited for it, rounded up to 1 ms;
 * nothing for what was rejected, only queued, or failed by the platform
 * (docs/price-card.md has the table).
 */
void meter_add(struct meter *meter, struct record *record);

/* The same sums without keeping anything: receipts of `perilune run`. */
void meter_price(const struct meter *meter, struct record *record);

/* "default-2026 (EUR)": to be named in every output with money in it. */
const char *meter_card_name(const struct meter *meter);
const char *meter_card_currency(const struct meter *meter);

/* Reread the price card (SIGHUP); the old one stays when it is broken. */
int meter_reload(struct meter *meter, const char *price_card, struct err *err);

/*
 * The store has been too slow for so long that the journal is nearly full:
 * take nothing more that would have to be billed.
 */
bool meter_behind(const struct meter *meter);

struct meter_stats {
	uint64_t records;    /* since start */
	uint64_t recovered;  /* from the journal at start */
	uint64_t maybe_lost; /* cut off or dropped by earlier ones, ever */
	uint64_t waiting;    /* not yet in the ledger */
	uint64_t dropped;    /* journal full and store too slow */
};
void meter_stats(const struct meter *meter, struct meter_stats *stats_out);

/* What is wrong now, to be logged when it changes: the journal was put aside,
 * or the store takes no records.  NULL: nothing. */
const char *meter_note(const struct meter *meter);

/* Write what waits to the store now; done when it is durable, or when the
 * store refused it (it is in the journal then, for the next start).  done may
 * be called before this returns; it may not free the meter. */
void meter_flush(struct meter *meter, void (*done)(void *arg), void *arg);

/* The record as one JSON object, for logs, listings and `invoke --json`. */
void meter_record_json(struct buf *out, const struct record *record);

/* "0.000000000123": pico units as a decimal of the currency, exact. */
void meter_money(struct buf *out, uint64_t cost_pico);

/* Before or after store_close.  Waiting flushes are done; what is not in the
 * ledger stays in the journal. */
void meter_free(struct meter *meter);
