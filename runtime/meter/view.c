/*
 * view.c - a record and its cost as text.
 *
 * Runs in: gateway, cli.
 *
 * The fields of a record in JSON are those of R in runtime/admin/API.md.
 */
#include "runtime/meter/meter.h"

#include <time.h>

#define PICO 1000000000000u

void
meter_money(struct buf *out, uint64_t cost_pico)
{
	buf_addf(out, "%llu.%012llu", (unsigned long long)(cost_pico / PICO),
	    (unsigned long long)(cost_pico % PICO));
}

static void
put_text(struct buf *out, const char *key, const char *value)
{
	buf_addf(out, "\"%s\":", key);
	buf_json_string(out, slice_of(value));
	buf_putc(out, ',');
}

static void
put_number(struct buf *out, const char *key, uint64_t value)
{
	buf_addf(out, "\"%s\":%llu,", key, (unsigned long long)value);
}

static void
put_time(struct buf *out, int64_t wall_ms)
{
	int64_t ms = wall_ms < 0 ? 0 : wall_ms;
	time_t seconds = (time_t)(ms / 1000);
	char text[32] = "?";
	struct tm tm;

	if (gmtime_r(&seconds, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_addf(out, "\"time\":\"%s.%03dZ\",", text, (int)(ms % 1000));
}

static void
put_phases(struct buf *out, const struct record *record)
{
	buf_puts(out, "\"us\":{");
	put_number(out, "queue", record->queue_us);
	put_number(out, "spawn", record->spawn_us);
	put_number(out, "jail", record->jail_us);
	put_number(out, "load", record->load_us);
	put_number(out, "init", record->init_us);
	put_number(out, "handler", record->handler_us);
	buf_addf(out, "\"first\":%llu},", (unsigned long long)record->first_us);
}

void
meter_record_json(struct buf *out, const struct record *record)
{
	buf_putc(out, '{');
	put_text(out, "request_id", record->request_id);
	put_time(out, record->wall_ms);
	put_text(out, "function", record->function);
	put_number(out, "version", record->version);
	put_text(out, "source", record_source_name(record->source));
	buf_addf(out, "\"start\":{\"kind\":\"%s\",\"cause\":\"%s\"},",
	    record_kind_name(record->kind), record_cause_name(record->cause));
	put_text(out, "outcome", record_outcome_name(record->outcome));
	put_text(out, "failed_by", record_failed_by_name(record->failed_by));
	put_text(out, "reason", record->reason);
	put_number(out, "status", record->status);
	put_number(out, "attempt", record->attempt);
	put_phases(out, record);
	put_number(out, "cpu_us", record->cpu_us);
	put_number(out, "peak_kb", record->peak_kb);
	put_number(out, "memory_mb", record->memory_mb);
	put_number(out, "bytes_in", record->bytes_in);
	put_number(out, "bytes_out", record->bytes_out);
	put_number(out, "billed_ms", record->billed_ms);
	buf_puts(out, "\"cost\":\"");
	meter_money(out, record->cost_pico);
	buf_puts(out, "\"}");
}
